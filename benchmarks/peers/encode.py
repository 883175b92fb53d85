"""Encode texts with sentence-transformers, with its defaults.

Follows https://sbert.net/docs/quickstart.html; `backend="onnx"` follows
https://sbert.net/docs/sentence_transformer/usage/efficiency.html.

In: `model` (a folder), `texts_file` (a JSON list of strings), `threads`, `backend` (torch or onnx).
Out: `seconds` of the second of two runs.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    asked = json.loads(sys.argv[1])
    import torch  # type: ignore[import-not-found]
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]

    torch.set_num_threads(asked["threads"])
    settings: dict[str, Any] = {}
    if asked["backend"] == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = asked["threads"]
        session = {"provider": "CPUExecutionProvider", "session_options": options}
        settings = {"backend": "onnx", "model_kwargs": session}
    model = SentenceTransformer(asked["model"], device="cpu", **settings)
    texts = json.loads(Path(asked["texts_file"]).read_text(encoding="utf-8"))
    model.encode(texts)
    started = time.perf_counter()
    model.encode(texts)
    print(json.dumps({"seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
