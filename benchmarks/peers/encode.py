"""Encode texts with sentence-transformers, with its defaults.

Follows https://sbert.net/docs/quickstart.html.

In: `model` (a folder), `texts_file` (a JSON list of strings), `threads`.
Out: `seconds` of the second of two runs.
"""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    asked = json.loads(sys.argv[1])
    import torch  # type: ignore[import-not-found]
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]

    torch.set_num_threads(asked["threads"])
    model = SentenceTransformer(asked["model"], device="cpu")
    texts = json.loads(Path(asked["texts_file"]).read_text(encoding="utf-8"))
    model.encode(texts)
    started = time.perf_counter()
    model.encode(texts)
    print(json.dumps({"seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
