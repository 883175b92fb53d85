"""The model in OpenVINO, which is faster, above all on processors that multiply bfloat16, and larger."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
import openvino
from numpy.typing import NDArray

from docwell.adapters.embedding.model_manifest import OUTPUT

Precision = Literal["bf16", "f32"]
# For each shape the runtime keeps about 1 MB of code that it made. Its own limit of 5,000 parts let that grow to
# 970 MB over 600 shapes; with this one, and the few shapes that there are below, all of it stays under 400 MB.
_CACHED_PARTS = 400


def native_precision() -> Precision:
    """bf16 where the processor computes with it by itself, else f32.

    Said outright, because OpenVINO would else take f16 on ARM. Of bf16 the vectors keep a cosine of 0.9999 or more
    to those of f32 (tests/unit/test_embedder_parity.py).
    """
    return "bf16" if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"


class OpenvinoSession:
    """`onnx_embedder.Session`."""

    most_rows = 16
    # A new shape costs 10 ms or more, as code is made for it; a step of 8 leaves 32 lengths for 2% more padding.
    length_step = 8

    def __init__(self, path: Path, threads: int, precision: Precision | None = None) -> None:
        """Load an ONNX file; no `precision` is the processor's own. Raises what OpenVINO raises."""
        self.precision = precision or native_precision()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",  # one batch at a time, on all threads
            "INFERENCE_PRECISION_HINT": self.precision,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # of two workers on one machine both would take the first cores
            "CPU_RUNTIME_CACHE_CAPACITY": _CACHED_PARTS,
        }
        model = openvino.Core().compile_model(str(path), "CPU", settings)
        self.inputs = frozenset(each.get_any_name() for each in model.inputs)
        self._request = model.create_infer_request()
        self._one_at_a_time = Lock()

    def run(self, feed: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """(rows, dimension) float32."""
        with self._one_at_a_time:
            self._request.infer(dict(feed), share_inputs=True)
            # A copy: the request writes its next result to the same place.
            return np.array(self._request.get_tensor(OUTPUT).data, dtype=np.float32)
