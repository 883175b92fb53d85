from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from docwell.ingest.chunking import UNIT_TOKENS, cut_pages
from docwell.ingest.indexing import pack_units
from docwell.models import Page, Units
from docwell.query.retrieval.ranking import nearest
from tests.unit.fakes import FakeEmbedder


def unit_vectors(count: int, dimension: int = 384) -> np.ndarray:
    vectors = np.random.default_rng(3).normal(size=(count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def units_of(text: str) -> list[tuple[int, int]]:
    """Return the units of a page that is one chunk."""
    ((_, [(_, spans)]),) = cut_pages([Page(1, text)], FakeEmbedder(), 1000)
    return list(spans)


def test_a_byte_for_each_number_keeps_a_cosine_to_a_hundredth() -> None:
    vectors, asked = unit_vectors(50), unit_vectors(1)[0]
    units = pack_units([(i, i + 1) for i in range(50)], vectors)
    assert len(units.vectors) == 50 * 384
    kept = [replace(units, spans=((0, 1),), vectors=units.vectors[384 * i :][:384]) for i in range(50)]
    assert np.abs(nearest(kept, asked) - vectors @ asked).max() < 0.01


def test_a_vector_of_zeros_is_near_to_nothing() -> None:
    units = pack_units([(0, 1), (1, 2)], np.zeros((2, 8), dtype=np.float32))
    assert nearest([units], np.ones(8, dtype=np.float32)).tolist() == [0.0]


def test_without_units_there_is_nothing_to_compare() -> None:
    assert nearest([Units(), Units()], np.ones(8, dtype=np.float32)).tolist() == [-1.0, -1.0]
    assert pack_units([], np.empty((0, 8), dtype=np.float32)) == Units()


def test_a_chunk_of_one_unit_has_none_of_its_own() -> None:
    assert units_of("A short sentence.") == []


@pytest.mark.parametrize("sentences", [9, 40])
def test_units_cover_the_words_of_a_chunk_in_order(sentences: int) -> None:
    text = " ".join(f"Sentence number {i} says that the boiler is warm." for i in range(sentences))
    spans = units_of(text)
    assert len(spans) > 1
    assert " ".join(text[start:end] for start, end in spans) == text
    assert max(len(tokens) for tokens in FakeEmbedder().offsets([text[a:b] for a, b in spans])) <= UNIT_TOKENS
