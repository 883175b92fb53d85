"""Every kind of poison PDF by name. No file is stored: a virus scanner or a preview would open it too."""

from __future__ import annotations

from benchmarks.poison import files, pages, structure
from benchmarks.poison.build import Make


def poison_kinds() -> dict[str, Make]:
    """Return the makers by name. Some files unpack to a gigabyte; none is over 40 MB."""
    return {**files.KINDS, **pages.KINDS, **structure.KINDS}
