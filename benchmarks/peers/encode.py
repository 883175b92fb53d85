"""Texts to vectors by sentence-transformers.

As https://sbert.net/docs/quickstart.html shows; `backend="onnx"` as
https://sbert.net/docs/sentence_transformer/usage/efficiency.html does. Batch size and all else are its defaults.

In: `model` (a folder), `texts_file` (a JSON list of strings), `threads`, `backend` (torch or onnx).
Out: `seconds`. The texts are encoded once before, and that is not counted.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def _load(model: str, backend: str, threads: int) -> Any:
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]

    if backend == "torch":
        return SentenceTransformer(model, device="cpu")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    settings = {"provider": "CPUExecutionProvider", "session_options": options}
    return SentenceTransformer(model, device="cpu", backend="onnx", model_kwargs=settings)


def main() -> None:
    """Measure what the argument says."""
    asked = json.loads(sys.argv[1])
    import torch  # type: ignore[import-not-found]

    torch.set_num_threads(asked["threads"])
    model = _load(asked["model"], asked["backend"], asked["threads"])
    texts = json.loads(Path(asked["texts_file"]).read_text(encoding="utf-8"))
    model.encode(texts)
    started = time.perf_counter()
    model.encode(texts)
    print(json.dumps({"seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
