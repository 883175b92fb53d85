"""The uploads of the suite, PDFs of known words, and the model that embeds them.

The model is a BERT of one layer and 16 dimensions in the format of `make model`, so the real embedder runs it in
microseconds. Every page names its document and revision, so a passage shows where it comes from.
"""

import random
import shutil
from hashlib import sha256
from io import StringIO
from pathlib import Path
from string import ascii_lowercase
from unittest.mock import patch

from layers.embedder import build_model
from tests.unit.adapters.embedding import tiny_model

CHUNK_TOKENS = 24
# The pipeline of a re-index: the same model with longer chunks.
NEXT_CHUNK_TOKENS = 40

_MOST_TOKENS = 64
_SYLLABLES = ["ba", "den", "fir", "gol", "hap", "kes", "lom", "nuv", "pir", "rax", "sot", "tim", "vul", "zed"]
WORDS = [first + second for first in _SYLLABLES for second in _SYLLABLES]


def build_model_folder(folder: Path) -> Path:
    if (folder / "manifest.json").exists():
        return folder
    source = folder.with_name(f"{folder.name}-source")
    words = [*ascii_lowercase, *WORDS]
    tiny_model.write(source, layers=1, words=words, most_tokens=_MOST_TOKENS)
    arguments = ["build_model.py", "--model", str(source), "--out", str(folder)]
    with patch("sys.argv", arguments), patch("sys.stdout", StringIO()):
        if build_model.main() != 0:
            raise RuntimeError("the tiny model cannot be built")
    shutil.rmtree(source)
    return folder


def text_of(key: str, revision: int, pages: int) -> list[str]:
    """Return the text of each page: words that follow from the key and the revision alone."""
    chooser = random.Random(f"{key} {revision}")
    mark = f"doc{sha256(key.encode()).hexdigest()[:8]}"
    texts = []
    for page in range(1, pages + 1):
        count = chooser.randint(4, 5 * CHUNK_TOKENS)
        texts.append(" ".join([f"{mark} rev{revision} page{page}.", *chooser.choices(WORDS, k=count)]))
    return texts


def question(chooser: random.Random) -> str:
    return " ".join(chooser.choices(WORDS, k=5))
