from __future__ import annotations

import numpy as np
import pytest

from docwell.ingest.indexing import InContext, embedded_texts
from docwell.models import Chunk
from docwell.text.naming import file_words
from tests.unit.fakes import FakeEmbedder


def chunk(text: str, heading: str = "", tokens: int = 3) -> Chunk:
    return Chunk(text, 1, 0, len(text), tokens, heading=heading)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("a/b/ACME_2022-10K.pdf", "ACME 2022 10K"),
        ("notes.v2.PDF", "notes v2"),
        ("a/.pdf", ""),
        ("日本/図面.pdf", "図面"),
    ],
)
def test_a_file_is_called_by_the_words_of_its_name(key: str, words: str) -> None:
    assert file_words(key) == words


def test_a_section_is_embedded_over_its_chunks_and_a_quote_stays_as_it_was() -> None:
    chunks = [chunk("It is warm.", "Results"), chunk("It is cold.")]
    assert embedded_texts(chunks, FakeEmbedder(), 100) == ["Results\nIt is warm.", "It is cold."]


def test_a_chunk_that_fills_the_model_is_embedded_without_its_section() -> None:
    chunks = [chunk("full", "One two three", tokens=100), chunk("nearly", "One two three", tokens=98)]
    assert embedded_texts(chunks, FakeEmbedder(), 100) == ["full", "One two\nnearly"]


def moved(*batches: np.ndarray) -> np.ndarray:
    """Return the vectors of all batches, moved towards each other."""
    context = InContext(4)
    return np.concatenate([*(context.add(batch) for batch in batches), context.last()])


@pytest.mark.parametrize("cuts", [[1], [2], [1, 2], [1, 2, 3, 4], [4]])
def test_the_size_of_batches_does_not_change_vectors(cuts: list[int]) -> None:
    vectors = np.random.default_rng(5).normal(size=(5, 4)).astype(np.float32)
    assert moved(*np.split(vectors, cuts)) == pytest.approx(moved(vectors))


def test_vectors_lean_to_their_neighbours() -> None:
    vectors = np.eye(4, dtype=np.float32)[:3]
    leaning = moved(vectors)
    assert np.linalg.norm(leaning, axis=1) == pytest.approx([1, 1, 1])
    assert leaning.argmax(axis=1).tolist() == [0, 1, 2]  # each is still nearest to itself
    assert leaning[0, 1] > leaning[0, 2] == 0  # the second is a neighbour, the third is not
