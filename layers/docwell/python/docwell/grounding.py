"""The model's text becomes an answer whose every marker is a passage that the model was given. Pure.

A citation's quote is cut out of the passage, so it stands verbatim on the page.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
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
# Of a sentence's words, this many must stand in one passage for the passage to be called its source.
MIN_SUPPORT = 0.5


@dataclass(frozen=True, slots=True)
class GroundedAnswer:
    """`text` with markers that all resolve; no citation means that nothing in it could be tied to a passage."""

    text: str
    citations: tuple[Citation, ...]


def ground(text: str, passages: Sequence[Passage]) -> GroundedAnswer:
    """Resolve the markers of `text` against `passages`, where `[1]` means `passages[0]`.

    Markers without a passage are removed. Where the model gave no valid marker at all, each sentence gets
    the marker of the passage that holds most of its words, if that is at least `MIN_SUPPORT` of them.
    """
    text = _normalise_markers(text.strip(), len(passages))
    if not _MARKER.search(text):
        text = _attribute(text, passages)
    said: dict[int, list[str]] = {}
    for sentence in sentences(text):
        for marker in _numbers(sentence):
            said.setdefault(marker, []).append(_MARKER.sub("", sentence))
    citations = tuple(_cite(marker, passages[marker - 1], " ".join(said[marker])) for marker in said)
    return GroundedAnswer(text, citations)


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


def _attribute(text: str, passages: Sequence[Passage]) -> str:
    known = [words(passage.chunk.text) for passage in passages]
    marked: list[str] = []
    for sentence in sentences(text):
        said = words(sentence)
        support = [len(said & have) / len(said) if said else 0.0 for have in known]
        best = max(range(len(known)), key=support.__getitem__, default=None)
        if best is not None and support[best] >= MIN_SUPPORT:
            marked.append(f"{sentence} [{best + 1}]")
        else:
            marked.append(sentence)
    return " ".join(marked)


def _numbers(sentence: str) -> list[int]:
    return [int(n) for n in dict.fromkeys(_MARKER.findall(sentence))]


def _cite(marker: int, passage: Passage, said: str) -> Citation:
    start, end = _best_window(passage.chunk.text, words(said))
    chunk = passage.chunk
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


def _best_window(text: str, said: set[str]) -> tuple[int, int]:
    """(start, end) of the one or two neighbouring sentences that share most words with what was said."""
    spans = _segments(text)
    best, best_score = spans[0], -1.0
    for i, (start, end) in enumerate(spans):
        for last in (end, spans[i + 1][1] if i + 1 < len(spans) else end):
            if last - start > MAX_QUOTE_CHARACTERS and last != end:
                continue
            have = words(text[start:last])
            # Shared words count; of two windows that share as many the shorter one wins.
            score = len(said & have) - 0.01 * len(have)
            if score > best_score:
                best, best_score = (start, last), score
    return best


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
