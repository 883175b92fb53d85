from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer

from docwell.errors import Corrupt
from layers.embedder.bert_onnx import Blocks
from layers.embedder.multilingual_e5 import Packed
from tests.unit.embedder import packed_model


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "model.bin"
    packed_model.write(path)
    return path


@pytest.fixture(scope="module")
def tokenizer(path: Path) -> Tokenizer:
    target = path.with_name("tokenizer.json")
    Packed.read(path).write_tokenizer(target)
    return Tokenizer.from_file(str(target))


def test_every_weight_has_its_bert_name_and_the_value_of_its_blocks(tmp_path: Path) -> None:
    written = packed_model.write(tmp_path / "model.bin")
    weights = Packed.read(tmp_path / "model.bin").weights
    assert len(weights) == len(written)
    expected = {
        "emb.word": "embeddings.word_embeddings.weight",
        "emb.ln.b": "embeddings.LayerNorm.bias",
        "l0.q.w": "encoder.layer.0.attention.self.query.weight",
        "l1.ao.w": "encoder.layer.1.attention.output.dense.weight",
        "l1.fo.w": "encoder.layer.1.output.dense.weight",
        "l1.aln.w": "encoder.layer.1.attention.output.LayerNorm.weight",
    }
    for name, bert_name in expected.items():
        assert np.array_equal(floats(weights[bert_name]), written[name]), name


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("lease", ["▁lease"]),
        (" lease", ["▁lease"]),
        ("query: lease", ["▁query", ":", "▁lease"]),
        ("lease\nlease", ["▁lease", "▁lease"]),
        ("lease  \t lease", ["▁lease", "▁lease"]),
        ("leasé", ["▁", "le", "as", "é"]),
        ("lease\u0301", ["▁", "le", "as", "é"]),
        ("\uff4cease", ["▁lease"]),
    ],
)
def test_text_is_normalised_and_cut_as_sentencepiece_does(
    tokenizer: Tokenizer, text: str, pieces: list[str]
) -> None:
    assert tokenizer.encode(text, add_special_tokens=False).tokens == pieces


def test_a_text_stands_between_its_special_tokens_and_unknown_characters_are_one_token(
    tokenizer: Tokenizer,
) -> None:
    assert tokenizer.encode("租中文").tokens == ["<s>", "▁", "租", "中文", "</s>"]
    assert tokenizer.encode("租中文").ids[-2:] == [3, 2]


@pytest.mark.parametrize("kept", [0, 8, 100, 900])
def test_a_damaged_file_is_refused_with_its_name(path: Path, tmp_path: Path, kept: int) -> None:
    (tmp_path / "damaged.bin").write_bytes(path.read_bytes()[:kept])
    with pytest.raises(Corrupt, match=r"damaged\.bin: not a packed model"):
        Packed.read(tmp_path / "damaged.bin")


def floats(weight: NDArray[Any] | Blocks) -> NDArray[Any]:
    return weight.floats() if isinstance(weight, Blocks) else weight
