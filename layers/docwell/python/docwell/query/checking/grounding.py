"""The markers, citations and quotes of an answer, and answers that consist of quotes. Pure.

Every marker of the result names a passage of the prompt. Every quote is verbatim on its page: runs of white space
count as one blank, and invisible characters (`docwell.text.visible`) do not count.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from docwell.answers import Citation, Sentence
from docwell.models import Chunk, CitationUnit, Passage, UnitKind
from docwell.query.checking.cleaning import clean_answer
from docwell.query.checking.suspicion import suspicion
from docwell.text.lexicon import (
    MARKER,
    MAX_QUOTE_CHARACTERS,
    SENTENCE_ENDS,
    content_words,
    rarity,
    segments,
    statements,
    windows,
)
from docwell.text.prose import after_headings
from docwell.text.visible import strip_invisible

# The weight of a figure: it shows the source of a sentence better than a word.
_FIGURE_WEIGHT = 2.0
# The weight of the question's words, which decide between sentences with the same words of the answer.
_QUESTION_WEIGHT = 0.3
# Between two equally good pieces, prefer the one with fewer words.
_LENGTH_PENALTY = 0.01
MAX_CHARACTERS = 600
# A line of fewer content words is a heading or a scrap of a table, but not "Subletting is forbidden."
_FEWEST_WORDS, _FEWEST_OF_SENTENCE = 4, 2
# The weight of the passage's cosine beside the share of the question's words in the sentence.
_SCORE_WEIGHT = 0.5
# Two sentences that share more than this part of their words are repeats.
_SAME = 0.7


@dataclass(frozen=True, slots=True)
class GroundedAnswer:
    """An answer whose markers all resolve. Without citations, no passage supports any part of it."""

    text: str
    citations: tuple[Citation, ...]


class Evidence:
    """The content words of some passages, `known`, weighted by inverse document frequency among them."""

    def __init__(self, passages: Sequence[Passage], question: str) -> None:
        self.passages = passages
        self.known = [content_words(passage.chunk.text) for passage in passages]
        self._question = content_words(question)
        self._weights: dict[str, float] = {}

    def weight(self, weighed: frozenset[str]) -> float:
        """Return the sum of the words' weights."""
        for word in weighed - self._weights.keys():
            having = sum(word in held for held in self.known)
            figure = _FIGURE_WEIGHT if word.isdecimal() else 1.0
            self._weights[word] = rarity(having, len(self.known)) * figure
        return math.fsum(self._weights[word] for word in weighed)

    def share(self, content: frozenset[str], held: frozenset[str]) -> float:
        """Return the share (0 to 1), by weight, of some words that are among others."""
        return self.weight(content & held) / (self.weight(content) or 1.0)

    def window(self, content: frozenset[str], index: int) -> tuple[int, int]:
        """Return (start, end) of the one or two sentences of a passage that best show the source of the words.

        A part of a longer sentence begins where the sentence does, and a list ends with its last item, if that
        adds up to `MAX_QUOTE_CHARACTERS`.
        """
        text = self.passages[index].chunk.text
        question = self._question - content
        spans, merits = windows(text), list[float]()
        for span in spans:
            have = content_words(text[slice(*span)])
            shown = self.weight(content & have) + _QUESTION_WEIGHT * self.weight(question & have)
            merits.append(shown - _LENGTH_PENALTY * len(have))
        start, end = spans[merits.index(max(merits))]
        begins = max(first for first, _ in segments(text, len(text)) if first <= start)
        ends = max(last for first, last in statements(text) if first < end)
        start = begins if start - begins <= MAX_QUOTE_CHARACTERS else start
        return start, max(end, ends) if ends - start <= MAX_QUOTE_CHARACTERS else end


def numbered(
    text: str, citations: Sequence[Citation], sentences: Sequence[Sentence], first: int = 1
) -> tuple[GroundedAnswer, tuple[Sentence, ...]]:
    """Return an answer and its sentences with their markers numbered from `first`, in order of first use.

    Citations without a marker in the text are dropped.
    """
    order = dict.fromkeys(int(number) for number in MARKER.findall(text) if number.isdecimal())
    numbers = {marker: number for number, marker in enumerate(order, first)}

    def marked_anew(part: str) -> str:
        return MARKER.sub(lambda match: f"[{numbers[int(match[1])]}]" if match[1].isdecimal() else match[0], part)

    used = (replace(cited, marker=numbers[cited.marker]) for cited in citations if cited.marker in numbers)
    return GroundedAnswer(marked_anew(text), tuple(sorted(used, key=lambda citation: citation.marker))), tuple(
        replace(part, text=marked_anew(part.text), markers=tuple(numbers[marker] for marker in part.markers))
        for part in sentences
    )


def cite(marker: int, passage: Passage, start: int, end: int) -> Citation:
    """Return the citation of a passage's text from `start` to `end`."""
    chunk = passage.chunk
    quote = " ".join(strip_invisible(chunk.text[start:end]).split())
    trusted = () if suspicion(chunk.text) else (quote,)
    return Citation(
        marker=marker,
        document=passage.document,
        version=passage.version,
        page=chunk.page,
        page_label=chunk.label and clean_answer(chunk.label, ())[0],
        unit=unit_of(chunk, start),
        quote=quote,
        display_quote=clean_answer(quote, trusted)[0],
        start=chunk.start + start,
        end=chunk.start + end,
        score=round(passage.score, 4),
        suspicious=not trusted,
        ocr_confidence=chunk.confidence,
    )


def unit_of(chunk: Chunk, start: int) -> CitationUnit:
    """Return the unit of a place in a chunk's text, in a PDF the page. Clean its label: the document wrote it."""
    page = CitationUnit(UnitKind.PAGE, chunk.label or str(chunk.page), f"page={chunk.page}")
    unit = [page, *(unit for first, unit in chunk.citation_units if first <= start)][-1]
    return replace(unit, label=clean_answer(unit.label, ())[0])


def marked(text: str, count: int) -> list[int]:
    """Return the numbers of passages in the markers of a text, each once. There are `count` passages."""
    numbers = (int(number) for marker in MARKER.findall(text) for number in re.findall(r"\d+", marker))
    return list(dict.fromkeys(number for number in numbers if 1 <= number <= count))


def with_marker(sentence: str, marker: int) -> str:
    """Return the sentence with a marker before its full stop: "It rains [2]."."""
    sentence = sentence.rstrip()
    body = sentence.rstrip(SENTENCE_ENDS)
    return f"{body.rstrip()} [{marker}]{sentence[len(body) :]}"


class Candidate(NamedTuple):
    """A sentence of a passage: `start` to `end` in characters of its text. `text` is harmless."""

    merit: float
    marker: int
    start: int
    end: int
    text: str
    words: frozenset[str]


def likely(question: str, passages: Sequence[Passage], limit: int = 1) -> list[Candidate]:
    """Return up to `limit` sentences that most likely answer, of `MAX_CHARACTERS` together, best first.

    The best sentence holds most of the question's words, by rarity, in a passage with a high score. Suspicious
    passages are left out, and so are sentences with markup or reference marks, which would read as citations;
    addresses are spelled as in `clean_answer`.
    """
    chosen, left = list[Candidate](), MAX_CHARACTERS
    for candidate in sorted(candidates(question, passages), key=lambda candidate: -candidate.merit):
        if len(chosen) < limit and not repeats(candidate, chosen) and len(candidate.text) <= left:
            chosen.append(candidate)
            left -= len(candidate.text)
    return chosen


def repeats(candidate: Candidate, chosen: Iterable[Candidate]) -> bool:
    """Return whether one of the chosen sentences says the same."""
    return any(
        len(candidate.words & earlier.words) > _SAME * min(len(candidate.words), len(earlier.words))
        for earlier in chosen
    )


def quoted(
    chosen: Sequence[Candidate], passages: Sequence[Passage]
) -> tuple[GroundedAnswer, tuple[Sentence, ...]]:
    """Return the sentences as an answer, "" for none, and each; the first of each passage is its quote."""
    firsts = {candidate.marker: candidate for candidate in reversed(chosen)}
    texts = [row.text + ("" if row.text.endswith(tuple(SENTENCE_ENDS)) else ".") for row in chosen]
    sentences = [(with_marker(text, row.marker), row.marker) for text, row in zip(texts, chosen, strict=True)]
    return numbered(
        " ".join(text for text, _ in sentences),
        [quote_of(candidate, passages[marker - 1]) for marker, candidate in firsts.items()],
        [Sentence(text, (marker,), support=1.0, supported=True, missing=()) for text, marker in sentences],
    )


def candidates(question: str, passages: Sequence[Passage]) -> Iterator[Candidate]:
    """Yield the sentences that can be quoted, in order."""
    asked = content_words(question)
    evidence = Evidence(passages, question)
    for marker, passage in enumerate(passages, 1):
        text = passage.chunk.text
        if suspicion(text):
            continue
        for begin, end in statements(text):
            start = after_headings(text, begin, end)
            sentence, removed = quotable(text[start:end])
            content = content_words(sentence)
            is_whole = sentence.endswith(tuple(SENTENCE_ENDS))
            if removed or len(content) < (_FEWEST_OF_SENTENCE if is_whole else _FEWEST_WORDS):
                continue
            merit = evidence.share(asked, content) + _SCORE_WEIGHT * passage.score
            yield Candidate(merit, marker, start, end, sentence, content)


def quotable(text: str) -> tuple[str, bool]:
    """Return a text cleaned and on one line, and whether cleaning changes more than its spelling."""
    line = " ".join(strip_invisible(text).split())
    sentence, removed = clean_answer(line, [line])
    return sentence, bool(removed or MARKER.search(sentence))


def quote_of(candidate: Candidate, passage: Passage) -> Citation:
    """Return the citation of a candidate of this passage; the quote has as many of its sentences as fit."""
    start, last = candidate.start, min(candidate.end, candidate.start + MAX_QUOTE_CHARACTERS)
    ends = [end for _, end in segments(passage.chunk.text) if start < end <= last]
    return cite(candidate.marker, passage, start, max(ends, default=candidate.end))
