"""The uploads of the suite, PDFs of known words, and the model that embeds them.

The model is a BERT of one layer and 16 dimensions in the format of `make model`, so the real embedder runs it in
microseconds. Every page names its document and revision, so a passage shows where it comes from.
"""

import json
import random
import shutil
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
# The pipeline of a re-index: the same model with longer chunks.
NEXT_CHUNK_TOKENS = 40

_HIDDEN = 16
_POSITIONS = 64
_UNKNOWN = "[UNK]"
_SPECIAL = ["[PAD]", _UNKNOWN, "[CLS]", "[SEP]"]
_SYLLABLES = ["ba", "den", "fir", "gol", "hap", "kes", "lom", "nuv", "pir", "rax", "sot", "tim", "vul", "zed"]
WORDS = [first + second for first in _SYLLABLES for second in _SYLLABLES]


def build_model_folder(folder: Path) -> Path:
    if (folder / "manifest.json").exists():
        return folder
    source = folder.with_name(f"{folder.name}-source")
    _write_source(source)
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


def _write_source(folder: Path) -> None:
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
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token=_UNKNOWN))
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
