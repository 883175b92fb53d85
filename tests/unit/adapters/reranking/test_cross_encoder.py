"""The cross-encoder's files and scores, against a forward pass of BERT in numpy."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as onnxruntime_state
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, processors

from docwell.adapters.embedding.onnx_embedder import SessionOpener
from docwell.adapters.embedding.onnxruntime_session import OnnxruntimeSession
from docwell.adapters.reranking.cross_encoder import CrossEncoder
from docwell.deadline import Deadline, run
from docwell.errors import DeadlineExceeded, ModelDamaged
from layers.embedder import build_reranker
from tests.unit.adapters.embedding import tiny_model

QUESTION = "pump valve"
TEXTS = ["the tank", "valve", "lease the restart " * 4, "pump pump tank", "passage", "the tank the lease"]
MOST_TOKENS = 16


def write(folder: Path, *, labels: int = 1) -> Path:
    """Write a BERT of random weights that scores pairs, as transformers saves it."""
    tiny_model.write(folder, layers=2)
    random = np.random.default_rng(3)
    weights = {f"bert.{name}": value for name, value in load_file(folder / "model.safetensors").items()}
    for name, rows in (("bert.pooler.dense", tiny_model.HIDDEN), ("classifier", labels)):
        weights[f"{name}.weight"] = random.standard_normal((rows, tiny_model.HIDDEN)).astype(np.float32)
        weights[f"{name}.bias"] = random.standard_normal(rows).astype(np.float32)
    save_file(weights, folder / "model.safetensors")
    tiny_model.write_json(folder / "tokenizer_config.json", {"model_max_length": MOST_TOKENS})
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    special = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=special
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def build(source: Path, out: Path) -> int:
    with patch("sys.argv", ["build_reranker.py", "--model", str(source), "--out", str(out)]):
        return build_reranker.main()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("cross-encoder") / "source")


@pytest.fixture(scope="module")
def folder(source: Path) -> Path:
    assert build(source, source.parent / "built") == 0
    return source.parent / "built"


@pytest.fixture(params=["onnxruntime", "openvino"])
def runtime(request: pytest.FixtureRequest) -> SessionOpener:
    if request.param == "onnxruntime":
        return OnnxruntimeSession
    reason = "OpenVINO is not installed"
    module = pytest.importorskip("docwell.adapters.embedding.openvino_session", reason=reason)
    return partial(module.OpenvinoSession, precision="f32")


def normal(hidden: NDArray[Any], weights: dict[str, NDArray[Any]], name: str) -> NDArray[Any]:
    centred = hidden - hidden.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt(hidden.var(axis=-1, keepdims=True) + 1e-12)
    return np.asarray(scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"])


def score_by_numpy(source: Path, text: str) -> float:
    """The score of the question and one text by the formulas of BERT, without batches or padding."""
    bert = {name.removeprefix("bert."): one for name, one in load_file(source / "model.safetensors").items()}
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MOST_TOKENS)
    pair = tokenizer.encode(QUESTION, text)
    assert 1 in pair.type_ids

    def dense(hidden: NDArray[Any], name: str) -> NDArray[Any]:
        return np.asarray(hidden @ bert[f"{name}.weight"].T + bert[f"{name}.bias"])

    tables = ("word", "position", "token_type")
    places = (pair.ids, range(len(pair.ids)), pair.type_ids)
    hidden = sum(
        bert[f"embeddings.{table}_embeddings.weight"][list(place)]
        for table, place in zip(tables, places, strict=True)
    )
    hidden = normal(np.asarray(hidden), bert, "embeddings.LayerNorm")
    width, gelu = tiny_model.HIDDEN // 2, np.vectorize(lambda one: one * 0.5 * (1 + math.erf(one / math.sqrt(2))))
    for number in range(2):
        layer = f"encoder.layer.{number}"
        query, key, value = (dense(hidden, f"{layer}.attention.self.{one}") for one in ("query", "key", "value"))
        heads = []
        for head in (slice(0, width), slice(width, 2 * width)):
            weights = np.exp(query[:, head] @ key[:, head].T / math.sqrt(width))
            heads.append(weights / weights.sum(axis=-1, keepdims=True) @ value[:, head])
        attended = dense(np.concatenate(heads, axis=-1), f"{layer}.attention.output.dense") + hidden
        attended = normal(attended, bert, f"{layer}.attention.output.LayerNorm")
        inner = gelu(dense(attended, f"{layer}.intermediate.dense"))
        hidden = normal(dense(inner, f"{layer}.output.dense") + attended, bert, f"{layer}.output.LayerNorm")
    return float(dense(np.tanh(dense(hidden[0], "pooler.dense")), "classifier")[0])


def test_each_score_is_that_of_the_formulas(folder: Path, source: Path, runtime: SessionOpener) -> None:
    scores = CrossEncoder(folder, 1, runtime).scores(QUESTION, TEXTS)
    expected = [score_by_numpy(source, text) for text in TEXTS]
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    assert len({round(one, 3) for one in expected}) == len(TEXTS)


def test_a_long_passage_is_cut_and_a_long_question_is_no_error(folder: Path, runtime: SessionOpener) -> None:
    encoder = CrossEncoder(folder, 1, runtime)
    one, other = encoder.scores(QUESTION, ["the tank " * 50, "the tank " * 90])
    assert one == pytest.approx(other, abs=1e-5)
    assert len(encoder.scores("pump " * 90, ["the tank " * 50])) == 1


def test_it_stops_between_batches_when_the_time_is_up(folder: Path) -> None:
    encoder = CrossEncoder(folder, 1, OnnxruntimeSession)
    with pytest.raises(DeadlineExceeded):
        encoder.scores(QUESTION, TEXTS, Deadline(0.0))
    assert run(encoder.rerank(QUESTION, TEXTS, 0.0)) == ()


class BrokenSession:
    """A session that scores one pair, as at the start, and fails on more."""

    most_rows, length_step = 8, 1
    inputs = frozenset({"input_ids", "attention_mask", "token_type_ids"})

    def __init__(self, fails: Callable[[int], NDArray[np.float32]]) -> None:
        self.fails = fails

    def run(self, feed: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        rows = len(feed["input_ids"])
        return np.ones((rows, 1), dtype=np.float32) if rows == 1 else self.fails(rows)


def raising(error: BaseException) -> Callable[[int], NDArray[np.float32]]:
    def fails(_rows: int) -> NDArray[np.float32]:
        raise error

    return fails


# The text of an error may quote a passage.
FAILURES: dict[str, Callable[[int], NDArray[np.float32]]] = {
    "an error of the runtime": raising(onnxruntime_state.Fail("the tank")),
    "no memory": raising(MemoryError("the tank")),
    "NaN": lambda rows: np.full((rows, 1), np.nan, dtype=np.float32),
    "two scores each": lambda rows: np.ones((rows, 2), dtype=np.float32),
    "flat": lambda rows: np.ones(rows, dtype=np.float32),
    "too few": lambda rows: np.ones((rows - 1, 1), dtype=np.float32),
    "one for all": lambda _rows: np.ones((1, 1), dtype=np.float32),
}


@pytest.mark.parametrize("fails", FAILURES.values(), ids=FAILURES)
def test_a_model_that_fails_at_one_question_gives_no_scores_and_quotes_nothing(
    folder: Path, fails: Callable[[int], NDArray[np.float32]], caplog: pytest.LogCaptureFixture
) -> None:
    encoder = CrossEncoder(folder, 1, lambda _path, _threads: BrokenSession(fails))
    assert run(encoder.rerank(QUESTION, ["the tank", "the tank"], 5.0)) == ()
    assert "the tank" not in str([vars(record) for record in caplog.records])


# One score for one pair is right.
@pytest.mark.parametrize("name", sorted(FAILURES.keys() - {"one for all"}))
def test_a_model_that_can_score_no_pair_is_damaged_at_the_start(folder: Path, name: str) -> None:
    fails = FAILURES[name]
    session = BrokenSession(fails)
    session.run = lambda feed: fails(len(feed["input_ids"]))  # type: ignore[method-assign]
    with pytest.raises(ModelDamaged, match=str(folder)):
        CrossEncoder(folder, 1, lambda _path, _threads: session)


@pytest.mark.parametrize("content", [None, b"", b"?"])
@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "manifest.json"])
def test_the_error_of_a_damaged_file_has_its_name_and_the_command_that_makes_it(
    tmp_path: Path, folder: Path, name: str, content: bytes | None
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content + (copy / name).read_bytes()[1:] if content else content)
    with pytest.raises(ModelDamaged, match=name) as damaged:
        CrossEncoder(copy, 1, OnnxruntimeSession)
    assert "make model" in damaged.value.detail
