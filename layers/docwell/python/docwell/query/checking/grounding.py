"""Resolve the markers of an answer to passages, and cut a quote out of each. Pure.

Every marker of the result is a passage that the model was given. Every quote is verbatim on its page: runs of
white space count as one blank, and invisible characters (`docwell.text.visible`) do not count.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from docwell.answers import Citation
from docwell.models import Passage
from docwell.query.checking.cleaning import clean_answer
from docwell.query.checking.suspicion import suspicion
from docwell.text.lexicon import MARKER, SENTENCE_ENDS, sentences, windows, words
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

    def weight(self, wanted: frozenset[str]) -> float:
        """Return the sum of the words' weights."""
        return sum(
            math.log(1 + len(self.known) / (1 + sum(word in known for known in self.known)))
            * (_FIGURE_WEIGHT if word.isdecimal() else 1.0)
            for word in wanted
        )

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
        """Return (start, end) of the sentence or two of a passage that show best where the words come from."""
        text = self.passages[index].chunk.text
        asked = self._question - said

        def merit(window: tuple[int, int]) -> float:
            have = self._split(text[slice(*window)])
            shown = self.weight(said & have) + _QUESTION_WEIGHT * self.weight(asked & have)
            return shown - _LENGTH_PENALTY * len(have)

        return max(windows(text), key=merit)


def ground(text: str, passages: Sequence[Passage], question: str = "", *, each: bool = False) -> GroundedAnswer:
    """Resolve the markers of an answer: `[1]` is `passages[0]`.

    Markers without a passage are removed. A marker whose passage holds much less of its sentence than another is
    moved to the other. If the model wrote no valid marker, each sentence gets the passage that holds most of it,
    from `MIN_SUPPORT` on; with `each`, a sentence without a marker does so in any case.
    """
    text = _with_single_markers(text.strip(), len(passages))
    if not passages:
        return GroundedAnswer(text, ())
    evidence = Evidence(passages, question)
    attribute = each or not MARKER.search(text)
    said: dict[int, frozenset[str]] = {}
    pieces: list[str] = []
    for sentence in sentences(text):
        content = words(MARKER.sub("", sentence))
        checked, markers = _resolved(sentence, content, evidence, attribute=attribute)
        pieces.append(checked)
        for marker in markers:
            said[marker] = said.get(marker, frozenset()) | content
    citations = (
        cite(marker, passages[marker - 1], *evidence.window(own, marker - 1)) for marker, own in said.items()
    )
    return GroundedAnswer(" ".join(pieces), tuple(citations))


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
        quote=quote,
        display_quote=clean_answer(quote, trusted)[0],
        start=chunk.start + start,
        end=chunk.start + end,
        score=round(passage.score, 4),
        suspicious=not trusted,
        ocr_confidence=chunk.confidence,
    )


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
    sentence: str, content: frozenset[str], evidence: Evidence, *, attribute: bool
) -> tuple[str, list[int]]:
    """Return the sentence with the markers that it should have, and these."""
    named = marked(sentence, len(evidence.passages))
    best = evidence.best(content)
    support = evidence.support(content, best)
    if not named:
        if not attribute or support < MIN_SUPPORT:
            return sentence, []
        return with_marker(sentence, best + 1), [best + 1]
    if all(support - evidence.support(content, marker - 1) > BETTER_BY for marker in named):
        return with_marker(MARKER.sub("", sentence), best + 1), [best + 1]
    return sentence, named


def _with_single_markers(text: str, count: int) -> str:
    """Turn `[1, 2]` into `[1][2]`, and remove numbers without a passage."""
    cleaned = MARKER.sub(lambda match: "".join(f"[{number}]" for number in marked(match[0], count)), text)
    return re.sub(r"[ \t]+([.,;])", r"\1", re.sub(r"[ \t]{2,}", " ", cleaned)).strip()
