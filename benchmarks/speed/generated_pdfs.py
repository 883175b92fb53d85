"""PDFs of any length, the same at each run: words of English reports on pages of Helvetica."""

from __future__ import annotations

import random

from benchmarks.faults.documents import pdf

# The embedding model makes about 1.1 tokens of each, as of real reports.
_WORDS = (
    "the of and to in for is on that by this with you it not or be are from at as your all have new more an was "
    "report revenue operating income quarter compared increase decrease percent million capital expenditure "
    "management believes results cash flow equity assets liabilities customers products services segment market "
    "growth costs expenses tax rate interest foreign currency risk contract agreement period ended december fiscal"
)
_SENTENCE_WORDS = 15


def pages_of_words(pages: int, words: int, seed: str = "") -> bytes:
    """A PDF with about so many words on each page, 350 at most. Another seed gives other words."""
    chooser = random.Random(f"{pages} {words} {seed}")
    return pdf([f"Page {number}. {_sentences(chooser, words)}" for number in range(1, pages + 1)])


def _sentences(chooser: random.Random, words: int) -> str:
    lengths = [_SENTENCE_WORDS] * (words // _SENTENCE_WORDS) + [words % _SENTENCE_WORDS or _SENTENCE_WORDS]
    known = _WORDS.split()
    return " ".join(f"{' '.join(chooser.choices(known, k=length)).capitalize()}." for length in lengths)
