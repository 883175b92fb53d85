"""Answer what one document is, from the pieces of it that ingest has marked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from typing import TypeVar

from docwell.answers import Mode, Sentence
from docwell.errors import BadInput
from docwell.models import Mark, Part, Passage
from docwell.ports import Overviews
from docwell.query.checking.extractive import Candidate, candidates, quotable, quoted, repeats
from docwell.query.checking.grounding import GroundedAnswer
from docwell.query.checking.suspicion import suspicion
from docwell.query.modes import Basis, Searched
from docwell.query.prompting import Prompt
from docwell.text.lexicon import SENTENCE_ENDS, content_words, segments
from docwell.text.prose import is_bibliography, is_sentence, paragraphs

_Item = TypeVar("_Item")

# Statements in place of one passage, so that an overview's prompt is about as long as that of other questions: a
# statement has about 48 tokens and a passage 200. The opening has two passages' worth, the headings one.
_PER_PASSAGE = 4
_OTHERS = 3
_HEADINGS = 12
# An overview without a model: the beginning, which has the title, the authors and the date, in characters; then
# sentences of the opening, of the passages found by the question, and of the other pieces.
_BEGINNING = 700
_OF_OPENING, _OF_FOUND, _OF_OTHERS = 3, 4, 3
# The first pieces are the opening, which has about two chunks.
_OPENING = 2

ONE_DOCUMENT = "an overview is of one document, and this question has found several: name one as `document`"


@dataclass(frozen=True, slots=True)
class Overview:
    """The mode `overview`: the documents' marked pieces, and the prompt for them.

    An overview that is `extractive` is the document's own sentences, at once: a slow model host writes none.
    """

    index: Overviews
    prompt: Prompt
    extractive: bool = False

    def basis(self, searched: Searched) -> Basis | None:
        """Return the pieces of the document that all passages are of, about as long as `top_k` passages.

        They are of the passages' generation, in the order of the document, with the passages among them. None
        without a passage, and for a document that an earlier release has indexed. Raises `BadInput` for passages
        of several documents.
        """
        documents = {(one.document, one.generation) for one in searched.passages}
        if len(documents) > 1:
            raise BadInput(ONE_DOCUMENT)
        near = searched.passages
        found = [piece for one in documents for piece in pieces(self.index.marked(*one), searched.top_k, near)]
        basis = Basis(Mode.OVERVIEW, tuple(found), self.prompt) if found else None
        if basis is None or not self.extractive:
            return basis
        answer, sentences = digest(searched.text, basis.passages)
        return replace(basis, answer=answer, sentences=sentences) if answer.citations else None


def pieces(
    marked: Sequence[tuple[Passage, Sequence[Mark]]], top_k: int, near: Sequence[Passage] = ()
) -> tuple[Passage, ...]:
    """Return the opening, the largest headings and statements from all parts, in the order of the document.

    The passages nearest to the question, best first, take the places of pieces that they hold. A chunk that gives
    orders has no piece: a piece alone may look harmless. Without marks there is none.
    """
    found: dict[str, tuple[Mark, Passage, str]] = {}
    for passage, marks in sorted(marked, key=lambda one: (one[0].chunk.page, one[0].chunk.start)):
        for mark in sorted(marks, key=lambda one: one.start):
            piece = _piece(passage, mark)
            found.setdefault(piece.chunk.text, (mark, piece, passage.chunk.text))
    by_part = {part: [one for one in found.values() if one[0].part is part] for part in Part}
    chosen = [
        *by_part[Part.OPENING],
        *nlargest(_HEADINGS, by_part[Part.HEADING], key=lambda one: one[0].size),
        *spread(by_part[Part.STATEMENT], _PER_PASSAGE * max(top_k - _OTHERS, 1)),
    ]
    # Last, as a document of 20,000 pages has 10,000 marked chunks.
    kept = [piece for _, piece, whole in chosen if not suspicion(whole)]
    best = [one for one in near if kept and not suspicion(one.chunk.text)]
    others = [piece for piece in kept if not any(_holds(one, piece) for one in best)]
    return tuple(sorted([*best, *others], key=lambda piece: (piece.chunk.page, piece.chunk.start)))


def digest(question: str, passages: Sequence[Passage]) -> tuple[GroundedAnswer, tuple[Sentence, ...]]:
    """Return an overview in the document's own words and order, without a model: right by construction.

    It has the beginning, then whole sentences: central ones of the opening, those of the passages found that are
    nearest to the question ("What did the court decide in the end?"), and central ones of all parts.
    """
    chosen = [*_beginning(passages)]
    lists = {number for number, one in enumerate(passages, 1) if is_bibliography(one.chunk.text)}
    found = [one for one in candidates(question, passages) if not repeats(one, chosen)]
    # Some languages mark no ends.
    left = [one for one in found if one.marker not in lists and is_sentence(one.text)] or found
    counts = Counter(word for one in passages for word in content_words(one.chunk.text))
    parts = (
        ([one for one in left if one.marker <= _OPENING], _OF_OPENING),
        (_nearest(left, passages), _OF_FOUND),
        ([one for one in left if one.marker > _OPENING], _OF_OTHERS),
    )
    for some, most in parts:
        chosen += _central([one for one in some if one not in chosen], most, counts, len(passages), chosen)
    return quoted(sorted(chosen, key=lambda one: (one.marker, one.start)), passages)


def _beginning(passages: Sequence[Passage]) -> Iterator[Candidate]:
    """Yield the first lines of the first passage, if they can be quoted, without a heading at their end."""
    for passage in passages[:1]:
        text = passage.chunk.text
        ends = [end for _, end in segments(text) if end <= _BEGINNING] or [segments(text)[0][1]]
        lines = paragraphs(text[: ends[-1]])
        ended = [number for number, line in enumerate(lines, 1) if line.endswith(tuple(SENTENCE_ENDS))]
        said = [quotable(line) for line in lines[: max(ended, default=len(lines))]]
        if not any(removed for _, removed in said):
            shown = "\n".join(line for line, _ in said)
            yield Candidate(0.0, 1, 0, ends[-1], shown, content_words(shown))


def _central(
    found: list[Candidate], most: int, counts: Counter[str], passages: int, chosen: Sequence[Candidate]
) -> Iterator[Candidate]:
    """Yield up to `most` sentences, each with most of the words of other passages that none before it has.

    Words of all passages say as little about the document as those of one.
    """
    known = frozenset[str]().union(*(one.words for one in chosen))
    taken = [*chosen]
    weights = {word: count * math.log(passages / count) for word, count in counts.items() if count > 1}
    for _ in range(most):
        free = [one for one in found if not repeats(one, taken)]
        if not free:
            return
        best = max(free, key=lambda one: math.fsum(weights.get(word, 0.0) for word in one.words - known))
        yield best
        taken.append(best)
        known |= best.words


def _nearest(found: Sequence[Candidate], passages: Sequence[Passage]) -> list[Candidate]:
    """Return the nearest sentence of each of the best passages found; other passages have no score."""
    best: dict[int, Candidate] = {}
    for one in sorted(found, key=lambda one: -one.merit):
        if passages[one.marker - 1].score > 0:
            best.setdefault(one.marker, one)
    return [*best.values()][:_OF_FOUND]


def spread(items: Sequence[_Item], most: int) -> list[_Item]:
    """Return up to `most` items at equal distances, the first among them."""
    return [items[number * len(items) // most] for number in range(most)] if len(items) > most else [*items]


def _holds(passage: Passage, piece: Passage) -> bool:
    """Whether a piece is a part of a passage of the same document."""
    one, other = passage.chunk, piece.chunk
    return one.page == other.page and one.start <= other.start and other.end <= one.end


def _piece(passage: Passage, mark: Mark) -> Passage:
    """Return the piece as a passage of its page."""
    chunk = passage.chunk
    text, start = chunk.text[mark.start : mark.end], chunk.start + mark.start
    return replace(passage, chunk=replace(chunk, text=text, start=start, end=start + len(text)))
