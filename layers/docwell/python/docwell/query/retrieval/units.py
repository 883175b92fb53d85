"""How near the units of a chunk are to a question: `docwell.ingest.units` packs them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from docwell.models import Units


def cosines(units: Sequence[Units], vector: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """For each chunk (n,) float32: how near its units are to a vector of unit length; (0,) where it has none."""
    joined = np.frombuffer(b"".join(one.vectors for one in units), dtype=np.int8)
    packed = joined.reshape(-1, len(vector)).astype(np.float32)
    near = packed @ vector / np.maximum(np.linalg.norm(packed, axis=1), 1.0)
    ends = np.cumsum([len(one.spans) for one in units])
    return np.split(near, ends[:-1]) if units else []
