"""The runtimes themselves, as their documentation shows, with a number of threads and all else by default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Feed = dict[str, NDArray[np.int64]]


def raw_onnxruntime(path: Path, threads: int) -> Callable[[Feed], object]:
    """What gives the vectors of one batch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda feed: session.run(None, feed)


def raw_openvino(path: Path, threads: int) -> Callable[[Feed], object]:
    """The same of OpenVINO, which takes the precision that the processor has."""
    import openvino

    model = openvino.Core().compile_model(
        str(path), "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    )
    request = model.create_infer_request()
    return lambda feed: request.infer(feed, share_inputs=True)
