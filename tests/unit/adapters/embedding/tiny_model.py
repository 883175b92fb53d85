"""A sentence-transformers folder with a real BERT of a few thousand random weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from layers.embedder import build_model

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = ["pump", "valve", "tank", "lease", "the", "re", "##start", "##s", "über", "query", ":", "passage"]
HIDDEN = 16
POSITIONS = 64


def write(
    folder: Path,
    *,
    layers: int = 2,
    pooling: str = "mean",
    normalize: bool = True,
    words: Sequence[str] = WORDS,
    most_tokens: int = 12,
) -> Path:
    """Write the folder: 16 dimensions, at most `most_tokens` tokens, of which 2 are special."""
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder, layers=layers, words=len(words))
    config = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": HIDDEN,
        "num_attention_heads": 2,
        "num_hidden_layers": layers,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": POSITIONS,
        "pad_token_id": 0,
    }
    modules = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    paths = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    entries = [{"path": paths[name], "type": f"sentence_transformers.models.{name}"} for name in modules]
    write_json(folder / "config.json", config)
    write_json(folder / "modules.json", entries)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": most_tokens, "do_lower_case": False})
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode": pooling})
    write_tokenizer(folder / "tokenizer.json", words)
    return folder


def build(source: Path | str, out: Path) -> Path:
    """Build a model folder as `make model` does, and return it."""
    arguments = ["build_model.py", "--model", f"{source}", "--out", f"{out}"]
    with patch("sys.argv", arguments), redirect_stdout(StringIO()):
        assert build_model.main() == 0
    return out


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_weights(
    folder: Path, *, layers: int, seed: int = 7, words: int = len(WORDS)
) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(SPECIAL) + words, HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
    }
    norms = ["embeddings.LayerNorm"]
    for number in range(layers):
        layer = f"encoder.layer.{number}"
        inner = 4 * HIDDEN
        for part in ("attention.self.query", "attention.self.key", "attention.self.value"):
            shapes |= {f"{layer}.{part}.weight": (HIDDEN, HIDDEN), f"{layer}.{part}.bias": (HIDDEN,)}
        shapes |= {f"{layer}.attention.output.dense.weight": (HIDDEN, HIDDEN)}
        shapes |= {f"{layer}.attention.output.dense.bias": (HIDDEN,)}
        shapes |= {f"{layer}.intermediate.dense.weight": (inner, HIDDEN)}
        shapes |= {f"{layer}.intermediate.dense.bias": (inner,)}
        shapes |= {f"{layer}.output.dense.weight": (HIDDEN, inner), f"{layer}.output.dense.bias": (HIDDEN,)}
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    for norm in norms:
        shapes |= {f"{norm}.weight": (HIDDEN,), f"{norm}.bias": (HIDDEN,)}
    weights = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(weights, folder / "model.safetensors")
    return weights


def write_tokenizer(path: Path, words: Sequence[str] = WORDS) -> None:
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=special)
    # Upstream files have these settings too; the embedder must ignore them.
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=4)
    tokenizer.save(str(path))
