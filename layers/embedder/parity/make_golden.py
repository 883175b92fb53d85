"""Write golden.npz: the vectors of sentence-transformers for the 200 texts of texts.json.

Run it from the root of the repository in an environment with sentence-transformers and Python 3.11, like the
committed file's:

    python3.11 -m venv .venv-export
    .venv-export/bin/python -m pip install -r requirements/export.txt
    python -m layers.embedder.download all-minilm-l6-v2          # prints the files in FOLDER
    .venv-export/bin/python layers/embedder/parity/make_golden.py FOLDER
"""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import sentence_transformers  # type: ignore[import-not-found]  # only in .venv-export
import torch  # type: ignore[import-not-found]
from sentence_transformers import SentenceTransformer

_HERE = Path(__file__).resolve().parent


def main(folder: str) -> None:
    """Encode one text at a time, so that no vector depends on padding."""
    content = (_HERE / "texts.json").read_bytes()
    texts = [entry["text"] for entry in json.loads(content)]
    model = SentenceTransformer(folder, device="cpu")
    vectors = model.encode(texts, batch_size=1, show_progress_bar=False)
    np.savez(
        _HERE / "golden.npz",
        vectors=vectors.astype(np.float32),
        texts_sha256=sha256(content).hexdigest(),
        made_with=f"sentence-transformers {sentence_transformers.__version__}, torch {torch.__version__}",
    )


if __name__ == "__main__":
    main(sys.argv[1])
