"""The model's text becomes an answer whose every marker is a passage that the model was given. Pure.

A citation's quote is cut out of the passage, so it stands verbatim on the page.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from docwell.models import Citation, Passage

_MARKER = re.compile(r"\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]")
# A full stop with what belongs to it: closing quotes, and markers that stand after it.
_SENTENCE_END = re.compile(
    r"(?:[.!?؟।][\"'”’)]*(?:\s*\[[\d,;\s]+\])*(?=\s|$)|[。！？][\"'”’」』）)]*(?:\s*\[[\d,;\s]+\])*|\n{2,})\s*"
)
_WORD = re.compile(r"\w+", re.UNICODE)
_NO_WORD_GAPS = re.compile(r"[぀-ヿ㐀-鿿豈-﫿฀-๿]")

# A quote longer than this is no quote; a shorter window of the passage is taken.
MAX_QUOTE_CHARACTERS = 320
# Of a sentence's words (by weight), this much must stand in a passage for it to be called the source.
MIN_SUPPORT = 0.5
# A passage that holds this much more of a sentence than the one the model named is its source instead.
BETTER_BY = 0.2
# A figure says more than a word about where a sentence is from.
_FIGURE_WEIGHT = 2.0
# The question's words help to choose among passages and quotes that hold the answer's words alike.
_QUESTION_WEIGHT = 0.3


@dataclass(frozen=True, slots=True)
class GroundedAnswer:
    """`text` with markers that all resolve; no citation means that nothing in it could be tied to a passage."""

    text: str
    citations: tuple[Citation, ...]


class _Evidence:
    """The passages' words, weighted: a word that stands in few of them says more (inverse document frequency)."""

    def __init__(self, passages: Sequence[Passage], question: str) -> None:
        self.passages = passages
        self._known = [words(passage.chunk.text) for passage in passages]
        self._question = words(question)

    def weight(self, wanted: set[str]) -> float:
        return sum(
            math.log(1 + len(self._known) / (1 + sum(word in known for known in self._known)))
            * (_FIGURE_WEIGHT if word.isdecimal() else 1.0)
            for word in wanted
        )

    def support(self, said: set[str], index: int) -> float:
        """The share (0 to 1) of what was said that stands in the passage."""
        return self.weight(said & self._known[index]) / (self.weight(said) or 1.0)

    def best(self, said: set[str]) -> int:
        """The passage that supports it most; of equals, the one nearer to the question, then the higher rank."""

        def merit(index: int) -> float:
            return self.support(said, index) + _QUESTION_WEIGHT * self.support(self._question, index)

        return max(range(len(self._known)), key=merit)

    def relevance(self, said: set[str], text: str) -> float:
        """How well a piece of a passage shows what was said; of two as good the shorter one wins."""
        have = words(text)
        asked = self._question - said
        return self.weight(said & have) + _QUESTION_WEIGHT * self.weight(asked & have) - 0.01 * len(have)


def ground(text: str, passages: Sequence[Passage], question: str = "") -> GroundedAnswer:
    """Resolve the markers of `text` against `passages`, where `[1]` means `passages[0]`.

    Markers without a passage are removed, and one whose passage holds much less of its sentence than another
    does is moved there. Where the model gave no valid marker at all, each sentence gets that of the passage
    that holds most of it, if that is at least `MIN_SUPPORT`.
    """
    text = _normalise_markers(text.strip(), len(passages))
    if not passages:
        return GroundedAnswer(text, ())
    evidence = _Evidence(passages, question)
    attribute_all = not _MARKER.search(text)
    said: dict[int, set[str]] = {}
    pieces: list[str] = []
    for sentence in sentences(text):
        checked, markers, content = _checked(sentence, evidence, attribute=attribute_all)
        pieces.append(checked)
        for marker in markers:
            said.setdefault(marker, set()).update(content)
    citations = tuple(_cite(marker, evidence, content) for marker, content in said.items())
    return GroundedAnswer(" ".join(pieces), citations)


def _checked(sentence: str, evidence: _Evidence, *, attribute: bool) -> tuple[str, list[int], set[str]]:
    """The sentence with the markers it should have, these markers, and its words."""
    content = words(_MARKER.sub("", sentence))
    named = list(dict.fromkeys(int(number) for number in _MARKER.findall(sentence)))
    best = evidence.best(content)
    support = evidence.support(content, best)
    if not named:
        if not attribute or support < MIN_SUPPORT:
            return sentence, [], content
        return _marked(sentence, best + 1), [best + 1], content
    if all(support - evidence.support(content, marker - 1) > BETTER_BY for marker in named):
        return _marked(_MARKER.sub("", sentence), best + 1), [best + 1], content
    return sentence, named, content


def sentences(text: str) -> list[str]:
    """The sentences of an answer; a marker after the full stop belongs to the sentence before it.

    >>> sentences("It rains. [1] It pours [2].")
    ['It rains. [1]', 'It pours [2].']
    """
    cuts = [0, *(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]
    return [piece for start, end in pairwise(cuts) if (piece := text[start:end].strip())]


def words(text: str) -> set[str]:
    """Lower-case words for comparing; scripts without gaps between words give pairs of characters."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    found: set[str] = set()
    for word in _WORD.findall(folded):
        if _NO_WORD_GAPS.search(word) and len(word) > 1:
            found.update(word[i : i + 2] for i in range(len(word) - 1))
        else:
            found.add(word)
    return found


def _normalise_markers(text: str, count: int) -> str:
    """`[1, 2]` becomes `[1][2]`; numbers without a passage go."""

    def valid(match: re.Match[str]) -> str:
        return "".join(f"[{n}]" for n in dict.fromkeys(map(int, re.findall(r"\d+", match[1]))) if 1 <= n <= count)

    cleaned = _MARKER.sub(valid, text)
    return re.sub(r"[ \t]+([.,;])", r"\1", re.sub(r"[ \t]{2,}", " ", cleaned)).strip()


def _marked(sentence: str, marker: int) -> str:
    """The sentence with the marker before its full stop."""
    body, stop = re.fullmatch(r"(.*?)\s*([.!?؟।。！？]*)\s*", sentence, re.DOTALL).groups()  # type: ignore[union-attr] # matches anything
    return f"{body} [{marker}]{stop}"


def _cite(marker: int, evidence: _Evidence, said: set[str]) -> Citation:
    passage = evidence.passages[marker - 1]
    chunk = passage.chunk
    start, end = _best_window(chunk.text, lambda piece: evidence.relevance(said, piece))
    return Citation(
        marker=marker,
        document=passage.document,
        version=passage.version,
        page=chunk.page_start,
        page_label=chunk.label,
        quote=" ".join(chunk.text[start:end].split()),
        start=chunk.start + start,
        end=chunk.start + end,
        score=round(passage.score, 4),
    )


def _best_window(text: str, relevance: Callable[[str], float]) -> tuple[int, int]:
    """(start, end) of the most relevant one or two neighbouring sentences."""
    spans = _segments(text)
    windows = list(spans)
    for (start, _), (_, end) in pairwise(spans):
        if end - start <= MAX_QUOTE_CHARACTERS:
            windows.append((start, end))
    return max(windows, key=lambda window: relevance(text[window[0] : window[1]]))


def _segments(text: str) -> list[tuple[int, int]]:
    """(start, end) of each sentence without its outer white space; an over-long one is cut at blanks."""
    cuts = [0, *(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]
    spans: list[tuple[int, int]] = []
    for start, end in pairwise(cuts):
        position = start
        while position < end:
            stop = end
            if end - position > MAX_QUOTE_CHARACTERS:
                blank = max(
                    text.rfind(" ", position, position + MAX_QUOTE_CHARACTERS),
                    text.rfind("\n", position, position + MAX_QUOTE_CHARACTERS),
                )
                stop = blank + 1 if blank > position else position + MAX_QUOTE_CHARACTERS
            piece = text[position:stop]
            left = position + len(piece) - len(piece.lstrip())
            right = stop - (len(piece) - len(piece.rstrip()))
            if left < right:
                spans.append((left, right))
            position = stop
    return spans or [(0, len(text))]
