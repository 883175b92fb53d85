"""What the suite uploads, and with what it is embedded: small PDFs of known words, and a model of tiny weights.

The model is a BERT of one layer and 16 dimensions in the format of `make model`, so the real embedder runs it
in microseconds. Every page names its document and revision, so a passage says by itself where it comes from.
"""

from __future__ import annotations

import json
import random
import shutil
import zlib
from hashlib import sha256
from io import StringIO
from pathlib import Path
from string import ascii_lowercase
from unittest.mock import patch

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from layers.embedder import build_model

CHUNK_TOKENS = 24
# A re-index needs another pipeline: the same model with other chunks.
NEXT_CHUNK_TOKENS = 40

_HIDDEN = 16
_POSITIONS = 64
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
_SYLLABLES = ["ba", "den", "fir", "gol", "hap", "kes", "lom", "nuv", "pir", "rax", "sot", "tim", "vul", "zed"]
WORDS = [first + second for first in _SYLLABLES for second in _SYLLABLES]
_LINE_WORDS = 8
_LINES = 44


def build_model_folder(folder: Path) -> Path:
    """Write the model, as `make model` would, into `folder`."""
    if (folder / "manifest.json").exists():
        return folder
    source = folder.with_name(f"{folder.name}-source")
    _write_source(source)
    # What it prints is of use to those who build a real model.
    arguments = ["build_model.py", "--model", str(source), "--out", str(folder)]
    with patch("sys.argv", arguments), patch("sys.stdout", StringIO()):
        if build_model.main() != 0:
            raise RuntimeError("the tiny model cannot be built")
    shutil.rmtree(source)
    return folder


def text_of(key: str, revision: int, pages: int) -> list[str]:
    """The text of each page: words that follow from the key and the revision alone."""
    chooser = random.Random(f"{key} {revision}")
    texts = []
    for page in range(1, pages + 1):
        count = chooser.randint(4, 5 * CHUNK_TOKENS)
        mark = f"{document_mark(key)} rev{revision} page{page}."
        texts.append(" ".join([mark, *chooser.choices(WORDS, k=count)]))
    return texts


def document_mark(key: str) -> str:
    """A word that stands for a key in its pages."""
    return f"doc{sha256(key.encode()).hexdigest()[:8]}"


def question(chooser: random.Random) -> str:
    """Some words, as a reader would ask for them."""
    return " ".join(chooser.choices(WORDS, k=5))


def pdf(pages: list[str]) -> bytes:
    """A PDF with one Helvetica text a page, wrapped. At most about 350 words a page."""
    font = 3 + 2 * len(pages)
    kids = " ".join(f"{3 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
    ]
    for i, text in enumerate(pages):
        stream = zlib.compress(_content(text))
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {4 + 2 * i} 0 R "
            f"/Resources << /Font << /F1 {font} 0 R >> >> >>".encode()
        )
        head = f"<< /Length {len(stream)} /Filter /FlateDecode >>\nstream\n".encode()
        objects.append(head + stream + b"\nendstream")
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    return _file(objects)


def _content(text: str) -> bytes:
    words = text.split()
    lines = [" ".join(words[i : i + _LINE_WORDS]) for i in range(0, len(words), _LINE_WORDS)][:_LINES]
    shown = "\n".join(f"({line}) Tj T*" for line in lines)
    return f"BT /F1 10 Tf 14 TL 50 800 Td\n{shown}\nET".encode("ascii")


def _file(objects: list[bytes]) -> bytes:
    parts = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(parts))
        parts += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(parts)
    parts += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    parts += b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets)
    parts += f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(parts)


def _write_source(folder: Path) -> None:
    """A sentence-transformers folder."""
    (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
    vocabulary = {token: number for number, token in enumerate([*_SPECIAL, *ascii_lowercase, *WORDS])}
    _write_weights(folder / "model.safetensors", len(vocabulary))
    config = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": _HIDDEN,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": _POSITIONS,
        "pad_token_id": 0,
    }
    parts = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [{"path": path, "type": f"sentence_transformers.models.{name}"} for name, path in parts.items()]
    for name, content in (
        ("config.json", config),
        ("modules.json", modules),
        ("sentence_bert_config.json", {"max_seq_length": _POSITIONS, "do_lower_case": False}),
        ("1_Pooling/config.json", {"pooling_mode": "mean"}),
    ):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))  # noqa: S106 - a word piece
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=special)
    tokenizer.save(str(folder / "tokenizer.json"))


def _write_weights(path: Path, words: int) -> None:
    generator = np.random.default_rng(7)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (words, _HIDDEN),
        "embeddings.position_embeddings.weight": (_POSITIONS, _HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, _HIDDEN),
    }
    layer, inner = "encoder.layer.0", 4 * _HIDDEN
    square = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
    for name, shape in (
        *((part, (_HIDDEN, _HIDDEN)) for part in square),
        ("intermediate.dense", (inner, _HIDDEN)),
        ("output.dense", (_HIDDEN, inner)),
    ):
        shapes |= {f"{layer}.{name}.weight": shape, f"{layer}.{name}.bias": shape[:1]}
    for norm in ("embeddings.LayerNorm", f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"):
        shapes |= {f"{norm}.weight": (_HIDDEN,), f"{norm}.bias": (_HIDDEN,)}
    save_file({name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}, path)
