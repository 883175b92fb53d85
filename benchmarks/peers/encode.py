"""Encode texts with sentence-transformers, with its defaults, or with OpenVINO and batches of 8.

Follows https://sbert.net/docs/quickstart.html and
https://sbert.net/docs/sentence_transformer/usage/efficiency.html.

In: `model` (a folder), `texts_file` (a JSON list of strings), `threads`, `best` (whether with OpenVINO).
Out: `seconds` of the second of two runs.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

# The fastest, as in frameworks.py.
BATCH = 8


def main() -> None:
    asked = json.loads(sys.argv[1])
    import torch  # type: ignore[import-not-found]
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]

    torch.set_num_threads(asked["threads"])
    fast: dict[str, Any] = {}
    if asked["best"]:
        settings = {"ov_config": {"INFERENCE_NUM_THREADS": asked["threads"]}}
        fast = {"backend": "openvino", "model_kwargs": settings}
    model = SentenceTransformer(asked["model"], device="cpu", **fast)
    texts = json.loads(Path(asked["texts_file"]).read_text(encoding="utf-8"))
    batch = {"batch_size": BATCH} if asked["best"] else {}
    model.encode(texts, **batch)
    started = time.perf_counter()
    model.encode(texts, **batch)
    print(json.dumps({"seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
