from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer, models, pre_tokenizers

from docwell.adapters.embedding.model_manifest import ModelManifest
from docwell.adapters.embedding.onnx_embedder import (
    OnnxEmbedder,
    SessionOpener,
    cuts_at_blanks,
    session_opener,
    threads_for,
)
from docwell.adapters.embedding.onnxruntime_session import OnnxruntimeSession
from docwell.errors import BadInput, Corrupt
from tests.unit.adapters.embedding import tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("model")
    return tiny_model.build(tiny_model.write(root / "source"), root / "built")


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def runtime(request: pytest.FixtureRequest) -> SessionOpener:
    if request.param == "onnxruntime":
        return OnnxruntimeSession
    # Single precision, so that equal vectors compare equal.
    return partial(openvino_session().OpenvinoSession, precision="f32")


def openvino_session() -> Any:
    return pytest.importorskip("docwell.adapters.embedding.openvino_session", reason="OpenVINO is not installed")


@pytest.fixture(scope="module")
def embedder(folder: Path, runtime: SessionOpener) -> OnnxEmbedder:
    return OnnxEmbedder(folder, 1, runtime)


def copy_of(folder: Path, target: Path) -> Path:
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def rewrite_manifest(folder: Path, **changes: object) -> None:
    replace(ModelManifest.read(folder), **changes).write(folder)  # type: ignore[arg-type]


TEXTS = ["pump", "the valve restarts", "", "tank tank tank tank tank tank tank tank", "lease", "???"] * 4


def test_vectors_come_in_the_order_of_the_texts_whatever_the_batch(embedder: OnnxEmbedder) -> None:
    together = embedder.embed_passages(TEXTS)
    alone = np.concatenate([embedder.embed_passages([text]) for text in TEXTS])
    assert together.shape == (24, tiny_model.HIDDEN)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    assert np.abs(together[0] - together[1]).max() > 0.01
    assert embedder.cuts_at_blanks


def test_texts_can_be_embedded_in_several_threads(embedder: OnnxEmbedder) -> None:
    alone = [embedder.embed_passages([text]) for text in TEXTS]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: embedder.embed_passages([text]), TEXTS))
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_batches_have_the_shapes_of_their_runtime_and_fit_the_model(
    embedder: OnnxEmbedder,
) -> None:
    texts = ["pump " * tokens for tokens in (1, 2, 3, 4, 5, 9, 10)] * 5
    feeds = embedder.feeds(texts)
    shapes = [feed["input_ids"].shape for _, feed in feeds]
    assert sorted(position for positions, _ in feeds for position in positions) == list(range(35))
    step = embedder.session.length_step
    assert step == 1 or {rows for rows, _ in shapes} <= {1, 2, 4, 8, 16}
    assert max(rows for rows, _ in shapes) == embedder.session.most_rows
    assert max(width for _, width in shapes) == 12
    assert all(width % step == 0 or width == 12 for _, width in shapes)


def test_openvino_runs_the_model_where_it_is_installed_unless_the_settings_name_onnxruntime() -> None:
    assert session_opener("onnxruntime") is OnnxruntimeSession
    with patch("docwell.adapters.embedding.onnx_embedder.find_spec", return_value=None):
        assert session_opener("auto") is OnnxruntimeSession
    session = openvino_session().OpenvinoSession
    assert session_opener("auto") is session_opener("openvino") is session


@pytest.mark.parametrize(
    ("memory_mb", "threads"), [(None, 4), (128, 1), (1769, 1), (2048, 1), (3008, 2), (10_240, 4)]
)
def test_a_function_has_a_thread_for_each_processor_of_its_memory(
    monkeypatch: pytest.MonkeyPatch, memory_mb: int | None, threads: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    assert threads_for(memory_mb) == threads


def test_offsets_are_those_of_the_characters_and_nothing_is_cut_or_padded(embedder: OnnxEmbedder) -> None:
    long = "über restarts " * 10
    spans = embedder.offsets(["über restarts", long])
    assert spans[0] == [(0, 4), (5, 7), (7, 12), (12, 13)]
    assert len(spans[1]) == 40
    assert spans[1][-1] == (138, 139)


def test_a_passage_of_exactly_the_most_tokens_is_read_and_one_more_is_refused(embedder: OnnxEmbedder) -> None:
    assert embedder.max_tokens == 10
    embedder.embed_passages(["pump " * 10])
    with pytest.raises(BadInput, match="11 tokens; the embedding model reads 10"):
        embedder.embed_passages(["pump", "pump " * 11])


def test_a_question_that_is_too_long_is_cut_with_its_last_special_token_kept(embedder: OnnxEmbedder) -> None:
    cut = embedder.embed_queries(["pump " * 10 + "valve valve"])
    np.testing.assert_allclose(cut, embedder.embed_queries(["pump " * 10]), atol=1e-6)


def test_prompts_precede_the_text_and_count_as_tokens(
    folder: Path, tmp_path: Path, runtime: SessionOpener
) -> None:
    prompted = copy_of(folder, tmp_path / "prompted")
    rewrite_manifest(prompted, prompts={"query": "query: ", "passage": "passage: "})
    embedder, plain = OnnxEmbedder(prompted, 1, runtime), OnnxEmbedder(folder, 1, runtime)
    assert embedder.max_tokens == 8
    np.testing.assert_allclose(embedder.embed_queries(["pump"]), plain.embed_passages(["query: pump"]), atol=1e-6)
    np.testing.assert_allclose(
        embedder.embed_passages(["pump"]), plain.embed_passages(["passage: pump"]), atol=1e-6
    )
    assert embedder.manifest.fingerprint != plain.manifest.fingerprint


def test_the_fingerprint_depends_on_files_and_settings_and_not_on_the_folder(
    folder: Path, tmp_path: Path, embedder: OnnxEmbedder
) -> None:
    copy = copy_of(folder, tmp_path / "elsewhere")
    assert OnnxEmbedder(copy).manifest.fingerprint == embedder.manifest.fingerprint
    rewrite_manifest(copy, max_sequence_length=11)
    assert OnnxEmbedder(copy).manifest.fingerprint != embedder.manifest.fingerprint


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_file_with_one_changed_byte_is_refused_by_name(folder: Path, tmp_path: Path, name: str) -> None:
    copy = copy_of(folder, tmp_path / "copy")
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(Corrupt, match=f"{name}: expected SHA-256"):
        OnnxEmbedder(copy)


def test_a_file_that_is_cut_short_or_absent_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    copy = copy_of(folder, tmp_path / "copy")
    (copy / "model.onnx").write_bytes(b"short")
    with pytest.raises(Corrupt, match=r"model.onnx: expected \d+ bytes, found 5"):
        OnnxEmbedder(copy)
    (copy / "model.onnx").unlink()
    with pytest.raises(Corrupt, match=r"model.onnx: No such file"):
        OnnxEmbedder(copy)
    with pytest.raises(Corrupt, match="make model"):
        OnnxEmbedder(tmp_path)


def embedded(source: Path, ids: list[int]) -> NDArray[np.float32]:
    """The embedding stage of BERT in numpy: words, positions and types, then layer normalisation."""
    weights = load_file(source / "model.safetensors")
    hidden = weights["embeddings.word_embeddings.weight"][ids]
    hidden = hidden + weights["embeddings.position_embeddings.weight"][: len(ids)]
    hidden = hidden + weights["embeddings.token_type_embeddings.weight"][0]
    centred = hidden - hidden.mean(axis=1, keepdims=True)
    scaled = centred / np.sqrt(hidden.var(axis=1, keepdims=True) + 1e-12)
    return np.asarray(scaled * weights["embeddings.LayerNorm.weight"] + weights["embeddings.LayerNorm.bias"])


@pytest.mark.parametrize(("pooling", "normalize"), [("mean", True), ("cls", True), ("mean", False)])
def test_pooling_follows_the_models_settings(
    tmp_path: Path,
    runtime: SessionOpener,
    pooling: str,
    normalize: bool,
) -> None:
    source = tiny_model.write(tmp_path / "source", layers=0, pooling=pooling, normalize=normalize)
    embedder = OnnxEmbedder(tiny_model.build(source, tmp_path / "built"), 1, runtime)
    vector = embedder.embed_passages(["valve", "pump valve"])[0]
    hidden = embedded(source, [2, 5, 3])  # [CLS] valve [SEP]
    expected = hidden.mean(axis=0) if pooling == "mean" else hidden[0]
    # The port promises unit length in either case.
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-6)


def test_making_it_again_does_nothing_until_source_or_result_changes(tmp_path: Path) -> None:
    source = tiny_model.write(tmp_path / "source")
    out = tiny_model.build(source, tmp_path / "built")
    made = (out / "model.onnx").stat().st_mtime_ns
    tiny_model.build(source, out)
    assert (out / "model.onnx").stat().st_mtime_ns == made

    (out / "tokenizer.json").write_text("{}")
    tiny_model.build(source, out)
    OnnxEmbedder(out)

    before = ModelManifest.read(out).fingerprint
    tiny_model.write_weights(source, layers=2, seed=8)
    tiny_model.build(source, out)
    assert ModelManifest.read(out).fingerprint != before


def test_equal_weights_give_equal_bytes(tmp_path: Path, folder: Path) -> None:
    again = tiny_model.build(tiny_model.write(tmp_path / "source"), tmp_path / "built")
    assert (again / "model.onnx").read_bytes() == (folder / "model.onnx").read_bytes()


def test_prompts_are_chosen_as_sentence_transformers_chooses_them(tmp_path: Path) -> None:
    source = tiny_model.write(tmp_path / "source")
    prompts = {"prompts": {"query": "query: ", "other": "the "}, "default_prompt_name": "other"}
    (source / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    manifest = ModelManifest.read(tiny_model.build(source, tmp_path / "built"))
    assert manifest.prompts == {"query": "query: ", "passage": "the "}


_SPLIT, _MARKED = pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()


@pytest.mark.parametrize(
    ("splitter", "cuts"),
    [
        (pre_tokenizers.Sequence([_SPLIT, _MARKED]), True),  # XLM-RoBERTa
        (pre_tokenizers.Whitespace(), True),
        (pre_tokenizers.Sequence([_SPLIT, pre_tokenizers.Metaspace(prepend_scheme="first")]), False),
        (_MARKED, False),  # a blank belongs to the word after it
        (pre_tokenizers.ByteLevel(add_prefix_space=True), False),  # GPT-2
        (pre_tokenizers.Punctuation(), False),
        (None, False),
    ],
)
def test_a_tokenizer_cuts_at_blanks_only_where_words_do(
    splitter: pre_tokenizers.PreTokenizer | None, *, cuts: bool
) -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    if splitter is not None:
        tokenizer.pre_tokenizer = splitter
    assert cuts_at_blanks(tokenizer) is cuts
