"""Texts to vectors by sentence-transformers.

As https://sbert.net/docs/quickstart.html shows; `backend="onnx"` as
https://sbert.net/docs/sentence_transformer/usage/efficiency.html does. Batch size and all else are its defaults.

In: `model` (a folder), `texts_file` (a JSON list of strings), `threads`, `backend` (torch or onnx), `repeats`.
Out: `seconds` of each repeat, `tokens` that one repeat reads (special ones included, padding not),
`import_seconds`, `load_seconds`. One run before the first repeat is not counted.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def _load(model: str, backend: str, threads: int) -> Any:  # noqa: ANN401 - this environment has no types of it
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found] # noqa: PLC0415 - timed

    if backend == "torch":
        return SentenceTransformer(model, device="cpu")
    import onnxruntime  # noqa: PLC0415 - as above

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    settings = {"provider": "CPUExecutionProvider", "session_options": options}
    return SentenceTransformer(model, device="cpu", backend="onnx", model_kwargs=settings)


def _tokens(model: Any, texts: list[str]) -> int:  # noqa: ANN401 - as above
    encoded = model.tokenizer(texts, truncation=True, max_length=model.max_seq_length)
    return sum(len(ids) for ids in encoded["input_ids"])


def main() -> None:
    """Measure what the argument says."""
    asked = json.loads(sys.argv[1])
    began = time.perf_counter()
    import torch  # type: ignore[import-not-found] # noqa: PLC0415 - timed

    torch.set_num_threads(asked["threads"])
    import sentence_transformers  # noqa: F401, PLC0415 - timed

    imported = time.perf_counter()
    model = _load(asked["model"], asked["backend"], asked["threads"])
    loaded = time.perf_counter()
    texts = json.loads(Path(asked["texts_file"]).read_text(encoding="utf-8"))
    model.encode(texts)
    seconds = []
    for _ in range(asked["repeats"]):
        started = time.perf_counter()
        model.encode(texts)
        seconds.append(time.perf_counter() - started)
    answer = {
        "seconds": seconds,
        "tokens": _tokens(model, texts),
        "import_seconds": imported - began,
        "load_seconds": loaded - imported,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
