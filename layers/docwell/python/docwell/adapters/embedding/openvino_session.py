"""Run the model with OpenVINO: larger, and faster, above all on processors with bfloat16."""

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
# The runtime caches about 1 MB of generated code for each shape. Its default of 5,000 parts grew to 970 MB over
# 600 shapes; this limit, with the few shapes below, keeps the cache under 400 MB.
_CACHED_PARTS = 400


def native_precision() -> Precision:
    """Return bf16 where the processor supports it natively, else f32: by default OpenVINO takes f16 on ARM.

    Vectors in bf16 have a cosine of 0.9999 or more to those in f32 (tests/unit/embedder/test_parity.py).
    """
    return "bf16" if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"


class OpenvinoSession:
    """`onnx_embedder.Session`."""

    most_rows = 16
    # A new shape costs 10 ms or more for generating code; a step of 8 leaves 32 lengths for 2% more padding.
    length_step = 8

    def __init__(self, path: Path, threads: int, precision: Precision | None = None) -> None:
        """Load an ONNX file; the default precision is the processor's native one. Raises OpenVINO's errors."""
        self.precision = precision or native_precision()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",  # use all threads for one batch at a time
            "INFERENCE_PRECISION_HINT": self.precision,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # two workers on one machine would pin the same cores
            "CPU_RUNTIME_CACHE_CAPACITY": _CACHED_PARTS,
        }
        model = openvino.Core().compile_model(str(path), "CPU", settings)
        self.inputs = frozenset(tensor.get_any_name() for tensor in model.inputs)
        self._request = model.create_infer_request()
        self._one_at_a_time = Lock()

    def run(self, feed: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """Return (rows, dimension) float32."""
        with self._one_at_a_time:
            self._request.infer(dict(feed), share_inputs=True)
            # Copy the result: the request reuses its memory.
            return np.array(self._request.get_tensor(OUTPUT).data, dtype=np.float32)
