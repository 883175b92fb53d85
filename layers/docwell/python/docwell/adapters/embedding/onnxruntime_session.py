"""Run the model with onnxruntime: small enough for a layer; computes in single precision on every processor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from docwell.adapters.embedding.model_manifest import OUTPUT


class OnnxruntimeSession:
    """`onnx_embedder.Session`."""

    # 200 mixed texts on 2 cores: 1.2 s in batches of 8 sorted by length, 1.7 s in sorted batches of 32, 5.7 s in
    # unsorted batches of 32. Padding costs more than a larger batch gains.
    most_rows = 8
    length_step = 1

    def __init__(self, path: Path, threads: int) -> None:
        """Load an ONNX file. Raises onnxruntime's errors."""
        onnxruntime.disable_telemetry_events()  # some builds send events by default
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that spin while they wait slow down shared cores: 147 ms for a batch instead of 60 ms.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = frozenset(tensor.name for tensor in self._session.get_inputs())

    def run(self, feed: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """Return (rows, dimension) float32."""
        (vectors,) = self._session.run([OUTPUT], dict(feed))
        return np.asarray(vectors, dtype=np.float32)
