"""Resolve the markers of an answer to passages, and cut a quote out of each. Pure.

Every marker of the result is a passage that the model was given. Every quote is verbatim on its page: runs of
white space count as one blank, and invisible characters (`docwell.text.visible`) do not count.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from docwell.answers import Answer, Citation, Sentence
from docwell.citation_units import CitationUnit
from docwell.models import Chunk, Passage
from docwell.query.checking.claims import Claim
from docwell.query.checking.cleaning import clean_answer
from docwell.query.checking.polarity import verdict
from docwell.query.checking.suspicion import suspicion
from docwell.query.checking.wording import answer_sentences, claimed, rejoined, verbatim_source
from docwell.text.lexicon import (
    MARKER,
    MAX_QUOTE_CHARACTERS,
    SENTENCE_ENDS,
    rarity,
    segments,
    statements,
    windows,
    words,
)
from docwell.text.visible import strip_invisible

# A passage is a sentence's source if it holds this share of its words, by weight.
MIN_SUPPORT = 0.5
# Move a marker to the best passage if that holds this much more of the sentence.
BETTER_BY = 0.2
# A figure shows better than a word where a sentence comes from.
_FIGURE_WEIGHT = 2.0
# The question's words help to choose among passages and quotes that hold the same words of the answer.
_QUESTION_WEIGHT = 0.3
# Of two pieces that are equally good, prefer the one with fewer words.
_LENGTH_PENALTY = 0.01


@dataclass(frozen=True, slots=True)
class GroundedAnswer:
    """An answer whose markers all resolve. Without citations, no part of it could be tied to a passage."""

    text: str
    citations: tuple[Citation, ...]


class Evidence:
    """The words of some passages, weighted by inverse document frequency among them.

    `split` returns the words of a text as they are compared, and `known` has the words of each passage.
    """

    def __init__(
        self, passages: Sequence[Passage], question: str, split: Callable[[str], frozenset[str]] = words
    ) -> None:
        self.passages = passages
        self.known = [split(passage.chunk.text) for passage in passages]
        self._split = split
        self._question = split(question)
        self._weights: dict[str, float] = {}

    def weight(self, wanted: frozenset[str]) -> float:
        """Return the sum of the words' weights."""
        return math.fsum(map(self._weight, wanted))

    def _weight(self, word: str) -> float:
        weight = self._weights.get(word)
        if weight is None:
            having = sum(word in known for known in self.known)
            weight = rarity(having, len(self.known)) * (_FIGURE_WEIGHT if word.isdecimal() else 1.0)
            self._weights[word] = weight
        return weight

    def support(self, said: frozenset[str], index: int) -> float:
        """Return the share (0 to 1), by weight, of the words that a passage holds."""
        return self.share(said, self.known[index])

    def share(self, said: frozenset[str], known: frozenset[str]) -> float:
        """Return the share (0 to 1), by weight, of the words that are among the known ones."""
        return self.weight(said & known) / (self.weight(said) or 1.0)

    def best(self, said: frozenset[str]) -> int:
        """Return the passage that holds most of the words; of equals, the one that is nearer to the question."""

        def merit(index: int) -> float:
            return self.support(said, index) + _QUESTION_WEIGHT * self.support(self._question, index)

        return max(range(len(self.known)), key=merit)

    def window(self, said: frozenset[str], index: int) -> tuple[int, int]:
        """Return (start, end) of the sentence or two of a passage that show best where the words come from.

        A part of a longer sentence begins where the sentence does, and a list ends with its last item, if that
        adds up to `MAX_QUOTE_CHARACTERS`.
        """
        text = self.passages[index].chunk.text
        asked = self._question - said

        def merit(window: tuple[int, int]) -> float:
            have = self._split(text[slice(*window)])
            shown = self.weight(said & have) + _QUESTION_WEIGHT * self.weight(asked & have)
            return shown - _LENGTH_PENALTY * len(have)

        start, end = max(windows(text), key=merit)
        begins = max(first for first, _ in segments(text, len(text)) if first <= start)
        ends = max(last for first, last in statements(text) if first < end)
        start = begins if start - begins <= MAX_QUOTE_CHARACTERS else start
        return start, max(end, ends) if ends - start <= MAX_QUOTE_CHARACTERS else end


def ground(text: str, passages: Sequence[Passage], question: str = "", *, each: bool = False) -> GroundedAnswer:
    """Resolve the markers of an answer: `[1]` is `passages[0]`.

    Markers without a passage are removed. A sentence that a passage has word by word gets the marker of this
    passage, and a sentence with figures those of the passages that state the figures of the same thing. A marker
    whose passage holds much less of another sentence than a second passage is moved to that. If the model wrote no
    valid marker, each sentence gets the passage that holds most of it, from `MIN_SUPPORT` on; with `each`, a
    sentence without a marker does so in any case. A scale that only a table's caption states ("in thousands") is
    added to the figure.
    """
    text = _with_single_markers(text.strip(), len(passages))
    if not passages:
        return GroundedAnswer(text, ())
    evidence = Evidence(passages, question)
    attribute = each or not MARKER.search(text)
    said: dict[int, frozenset[str]] = {}
    pieces = answer_sentences(text)
    changed: list[str] = []
    for sentence in pieces:
        content = words(MARKER.sub("", sentence))
        checked, markers = _resolved(sentence, content, evidence, question, attribute=attribute)
        changed.append(checked)
        for marker in markers:
            said[marker] = said.get(marker, frozenset()) | content
    citations = (
        cite(marker, passages[marker - 1], *evidence.window(own, marker - 1)) for marker, own in said.items()
    )
    return GroundedAnswer(rejoined(text, pieces, changed), tuple(citations))


def numbered(grounded: GroundedAnswer, checked: Sequence[Sentence]) -> tuple[GroundedAnswer, tuple[Sentence, ...]]:
    """Return an answer and its sentences with their markers numbered from 1, in order of first use."""
    order = dict.fromkeys(int(number) for number in MARKER.findall(grounded.text) if number.isdecimal())
    numbers = {marker: number for number, marker in enumerate(order, 1)}

    def renumbered(text: str) -> str:
        return MARKER.sub(lambda found: f"[{numbers[int(found[1])]}]" if found[1].isdecimal() else found[0], text)

    citations = [replace(one, marker=numbers[one.marker]) for one in grounded.citations if one.marker in numbers]
    sentences = tuple(
        replace(one, text=renumbered(one.text), markers=tuple(numbers[marker] for marker in one.markers))
        for one in checked
    )
    ordered = tuple(sorted(citations, key=lambda one: one.marker))
    return GroundedAnswer(renumbered(grounded.text), ordered), sentences


def shifted(answer: Answer, by: int) -> Answer:
    """Return an answer whose citations are numbered from `by` + 1."""

    def renumbered(text: str) -> str:
        return MARKER.sub(lambda found: f"[{int(found[1]) + by}]" if found[1].isdecimal() else found[0], text)

    return replace(
        answer,
        answer=renumbered(answer.answer),
        citations=tuple(replace(one, marker=one.marker + by) for one in answer.citations),
        sentences=tuple(
            replace(one, text=renumbered(one.text), markers=tuple(marker + by for marker in one.markers))
            for one in answer.sentences
        ),
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
    """Return the unit of a place in a chunk's text. Its label, which the document wrote, has no links."""
    unit = chunk.unit_at(start)
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


def _resolved(
    sentence: str, content: frozenset[str], evidence: Evidence, question: str, *, attribute: bool
) -> tuple[str, list[int]]:
    """Return the sentence with the markers that it should have, and these."""
    texts = [passage.chunk.text for passage in evidence.passages]
    named = marked(sentence, len(texts))
    source = verbatim_source(sentence, texts)
    decided = verdict(sentence, question, texts)
    if source is None and decided and decided.bare and decided.agrees:
        source = decided.passage
    if source is not None:
        return _marked(sentence, named, [source + 1])
    bare = claimed(sentence)
    claim = Claim.of(bare, question, texts)
    holders = _holders(claim, evidence, content, named)
    if holders and (named or attribute):
        sentence = _scaled(sentence, claim, [texts[holder - 1] for holder in holders])
        return _marked(sentence, named, holders)
    best = evidence.best(content)
    support = evidence.support(content, best)
    if not named:
        return (sentence, []) if not attribute or support < MIN_SUPPORT else _marked(sentence, [], [best + 1])
    if all(support - evidence.support(content, marker - 1) > BETTER_BY for marker in named):
        return _marked(sentence, named, [best + 1])
    return sentence, named


def _marked(sentence: str, named: list[int], markers: list[int]) -> tuple[str, list[int]]:
    """Return the sentence with these markers, in their places if it has them all, and the markers."""
    if set(named) == set(markers):
        return sentence, named
    sentence = MARKER.sub("", sentence)
    for marker in markers:
        sentence = with_marker(sentence, marker)
    return sentence, markers


def _holders(claim: Claim, evidence: Evidence, content: frozenset[str], named: Sequence[int]) -> list[int]:
    """Return the markers of the passages that hold the figures of a sentence; none if no passage holds any.

    The markers that the model wrote stay if they hold as many figures as any. Otherwise the passages that add most
    figures are taken, then those with most of the words.
    """
    held = {number: claim.held(passage.chunk.text) for number, passage in enumerate(evidence.passages, 1)}
    reachable = frozenset[int]().union(*held.values())
    if not reachable or reachable <= frozenset[int]().union(*(held[marker] for marker in named)):
        return [marker for marker in named if held[marker]] if reachable else []
    chosen: list[int] = []
    covered = frozenset[int]()
    while reachable - covered:
        best = max(
            held,
            key=lambda number: (
                len(held[number] - covered),
                number in named,
                evidence.support(content, number - 1),
                -number,
            ),
        )
        chosen.append(best)
        covered |= held[best]
    return chosen


def _scaled(sentence: str, claim: Claim, texts: Sequence[str]) -> str:
    """Return the sentence with the scale of the table's caption behind the last figure that lacks it."""
    for figure in reversed(claim.figures):
        found = [mention for text in texts for mention in claim.mentions_of(figure, text)]
        captions = {mention.caption for mention in found if claim.lacks_scale(figure, mention)}
        if len(captions) == 1 and all(mention.caption in captions for mention in found):
            (caption,) = captions
            written = re.compile(rf"(?<![\w.,]){re.escape(figure.figure.written)}(?![\w]|[.,]\d)")
            ends = [match.end() for match in written.finditer(sentence)]
            if ends:
                return f"{sentence[: ends[-1]]} ({caption}){sentence[ends[-1] :]}"
    return sentence


def _with_single_markers(text: str, count: int) -> str:
    """Turn `[1, 2]` into `[1][2]`, and remove numbers without a passage."""
    cleaned = MARKER.sub(lambda match: "".join(f"[{number}]" for number in marked(match[0], count)), text)
    return re.sub(r"[ \t]+([.,;])", r"\1", re.sub(r"[ \t]{2,}", " ", cleaned)).strip()
