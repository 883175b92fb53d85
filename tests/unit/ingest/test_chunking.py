"""`cut_pages` with a simple tokenizer: its properties first, then where chunks end."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer as BertTokenizer
from tokenizers import models, normalizers
from tokenizers.pre_tokenizers import BertPreTokenizer

from docwell.ingest.chunking import UNIT_TOKENS, cut_pages
from docwell.ingest.indexing import pack_units
from docwell.models import Chunk, Page, Units
from docwell.query.retrieval.ranking import nearest
from tests.unit.cases import rows
from tests.unit.fakes import FakeEmbedder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from docwell.ports import Tokenizer


class WordPieces:
    """Splits words into pieces of up to four letters; skips control characters and accents.

    Like the real one it makes one token of a word over 100 letters, and gives other counts for halves.
    """

    cuts_at_blanks = True
    pattern = re.compile(r"\w{101,}|\w{1,4}|[^\w\s\x00-\x1f]")

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return [[match.span() for match in self.pattern.finditer(text)] for text in texts]


class Bytes:
    """One token for each byte: several tokens share the span of one character."""

    cuts_at_blanks = True

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return [
            [(at, at + 1) for at, letter in enumerate(text) for _ in letter.encode("utf-8", "replace")]
            for text in texts
        ]


def chunks(text: str, limit: int = 16, tokenizer: WordPieces | Bytes | None = None) -> list[Chunk]:
    ((_, cut),) = cut_pages([Page(7, text, "vii")], tokenizer or WordPieces(), limit)
    return [chunk for chunk, _ in cut]


words = st.text(alphabet="abcdeé日本ไท.!?。- \n\t\x03", max_size=400)
anything = st.text(max_size=200)


@given(st.one_of(words, anything), st.integers(4, 40), st.sampled_from([WordPieces(), Bytes()]))
def test_chunks_are_slices_in_order_and_lose_no_text(text: str, limit: int, tokenizer: WordPieces) -> None:
    found = chunks(text, limit, tokenizer)
    covered = [False] * len(text)
    reached = 0
    for chunk in found:
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.text == chunk.text.strip() != ""
        assert chunk.tokens == len(tokenizer.offsets([chunk.text])[0]) <= limit
        assert chunk.start >= reached
        assert (chunk.page, chunk.label) == (7, "vii")
        covered[chunk.start : chunk.end] = [True] * (chunk.end - chunk.start)
        reached = chunk.end
    assert all(seen or character.isspace() for seen, character in zip(covered, text, strict=True))
    assert found == chunks(text, limit, tokenizer)


class Masks(WordPieces):
    """Has a special token that takes the blanks before it, as XLM-RoBERTa's <mask> does."""

    pattern = re.compile(rf"[ ]*<m>|{WordPieces.pattern.pattern}")


class Bert:
    """BERT's tokenizer with a few pieces. It joins the words around a vertical tab."""

    cuts_at_blanks = True

    def __init__(self) -> None:
        pieces = ("[UNK]", "a", "b", ".", "##a", "##b", "##ab", "aba", "##bab")
        self.bert = BertTokenizer(models.WordPiece({piece: at for at, piece in enumerate(pieces)}))
        self.bert.normalizer, self.bert.pre_tokenizer = normalizers.BertNormalizer(), BertPreTokenizer()

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return [one.offsets for one in self.bert.encode_batch(list(texts), add_special_tokens=False)]


class Apart:
    """A tokenizer of which nothing is known: each piece is tokenized again."""

    cuts_at_blanks = False

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.offsets = tokenizer.offsets


@given(
    st.one_of(words, anything, st.text(alphabet="ab. \n\x0b\x1c", max_size=400)),
    st.integers(4, 60),
    st.sampled_from([WordPieces(), Bytes(), Bert()]),
)
@example("ab" + " <m>" * 40, 4, Masks())
@example("b" + "\x0bab" * 40, 4, Bert())
def test_tokens_of_the_page_give_the_chunks_and_units_of_each_piece_alone(
    text: str, limit: int, tokenizer: WordPieces
) -> None:
    pages = [Page(1, text)]
    assert list(cut_pages(pages, tokenizer, limit)) == list(cut_pages(pages, Apart(tokenizer), limit))


@given(st.lists(st.text(alphabet="ab", min_size=1, max_size=4), min_size=1, max_size=300))
def test_no_chunk_of_a_long_page_is_small(parts: list[str]) -> None:
    limit = 30
    sizes = [chunk.tokens for chunk in chunks(" ".join(parts), limit)]
    assert len(sizes) == 1 or min(sizes) >= limit // 3


def test_a_chunk_never_crosses_a_page() -> None:
    cut = cut_pages([Page(1, "one"), Page(2, "two")], WordPieces(), 100)
    assert [(chunk.page, chunk.text) for _, chunks in cut for chunk, _ in chunks] == [(1, "one"), (2, "two")]


@pytest.mark.parametrize(("text", "first"), rows(__file__, "breaks"))
def test_the_strongest_break_is_taken(text: str, first: str) -> None:
    assert chunks(text, 10)[0].text == first


@pytest.mark.parametrize("mark", ["。", "！", "？", "؟ ", "। ", "። "])  # noqa: RUF001 - the marks themselves
def test_sentences_end_in_other_scripts_too(mark: str) -> None:
    found = chunks(f"一 二 三 四 五 六 七{mark}八 九 十 百 千 万", 10)
    assert found[0].text == f"一 二 三 四 五 六 七{mark}".strip()


def test_a_heading_stays_with_the_text_after_it() -> None:
    prose = "Many words stand on this long line of the page and go on\nuntil the end of it is reached here."
    text = f"{prose}\nThe Heading\n{prose}"
    assert [chunk.text for chunk in chunks(text, 36)] == [prose, f"The Heading\n{prose}"]


def test_the_tokenizer_reads_each_character_of_a_long_page_few_times() -> None:
    class Counting(WordPieces):
        characters = 0

        def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
            self.characters += sum(map(len, texts))
            return super().offsets(texts)

    tokenizer, text = Counting(), "A sentence of some words that says nothing much. " * 4_000
    chunks(text, 100, tokenizer)
    assert tokenizer.characters <= 2 * len(text)


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


def test_a_zero_vector_is_near_no_text() -> None:
    units = pack_units([(0, 1), (1, 2)], np.zeros((2, 8), dtype=np.float32))
    assert nearest([units, Units()], np.ones(8, dtype=np.float32)).tolist() == [0.0, -1.0]
    assert pack_units([], np.empty((0, 8), dtype=np.float32)) == Units()


@pytest.mark.parametrize("sentences", [9, 40])
def test_units_cover_the_words_of_a_chunk_in_order(sentences: int) -> None:
    text = " ".join(f"Sentence number {i} says that the boiler is warm." for i in range(sentences))
    spans = units_of(text)
    assert len(spans) > 1
    assert units_of("A short sentence.") == []
    assert " ".join(text[start:end] for start, end in spans) == text
    assert max(len(tokens) for tokens in FakeEmbedder().offsets([text[a:b] for a, b in spans])) <= UNIT_TOKENS
