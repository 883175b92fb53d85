"""Pages to chunks: pieces of one page each, that the embedding model reads whole, cut where a reader would.

A page is cut between tokens only, as counted by the model's own tokenizer. Of all places where a chunk may
end, between half of the limit and the limit, the strongest is taken (`Cut`), and of equals the last. The
last two chunks of a page share what is left, so no chunk of a long page has less than a third of the limit.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from docwell.ingest.outline import Outline, Section, shown
from docwell.models import Chunk, Page

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from docwell.ports import Tokenizer

# BERT's word piece makes one unknown token of a word over 100 characters: such a run (Thai has no spaces)
# is counted by character instead, so that it is cut and its pieces are read.
LONG_TOKEN = 64
# A heading is short: under this many characters, and under this share of the page's longest line.
HEADING_CHARACTERS = 70
HEADING_SHARE = 0.7
# More headings than this running are no headings but a table or a list.
HEADINGS_RUNNING = 2
# A page's opening has no more lines than this: a company, what its statement is called, in which units, of when.
OPENING_LINES = 4

# Not those of `docwell.text.lexicon` yet: joining it would move chunk ends and change the pipeline fingerprint.
_ENDS_SPACED = frozenset(".!?…؟።։܀۔")
_ENDS_ANYWHERE = frozenset("。！？｡．।॥၊။។")
_CLOSERS = frozenset("\"'”’»)]}」』）】›")
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_IDEOGRAPHS = ((0x3040, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))


class Cut(IntEnum):
    """How well a chunk ends at a place: more is better."""

    MARK = 0  # between a letter and its accent
    TOKEN = 1
    WORD = 2
    HEADING = 3  # after a heading, which belongs to what follows
    LINE = 4
    SENTENCE = 5
    SENTENCE_LINE = 6  # a line's end after a sentence's
    PARAGRAPH = 7  # a blank line, or the line before a heading


@dataclass(frozen=True, slots=True)
class _Units:
    """The parts that are never cut. `starts` in characters; `before[i]`: tokens before unit i, total last."""

    starts: list[int]
    before: list[int]
    cuts: list[Cut]  # at the start of each unit


@dataclass(frozen=True, slots=True)
class _Marks:
    """Where lines of the page end: headings, and what stands before one."""

    after: set[int]
    before: set[int]


class CutPage(NamedTuple):
    """A page and its chunks, in order."""

    page: Page
    chunks: tuple[Chunk, ...]


def cut_pages(pages: Iterable[Page], tokenizer: Tokenizer, max_tokens: int) -> Iterator[CutPage]:
    """Each page with its chunks of at most `max_tokens` tokens.

    `chunk.text == page.text[chunk.start:chunk.end]`. Each character of a page that is not white space is in
    exactly one chunk; no chunk begins or ends with white space. Takes time in proportion to the text. Only
    a single character of more tokens than `max_tokens` is over the limit.
    """
    outline = Outline()
    for page in pages:
        above = outline.path
        sections = outline.read(page)
        offsets = tokenizer.offsets([page.text])[0]
        marks = _marks(page.text, sections)
        opening = _opening(page.text)
        chunks = []
        for start, end, tokens in _fit(page.text, 0, offsets, tokenizer, max_tokens, marks):
            heading = shown(_path(above, sections, start), _before(opening, start))
            text, number = page.text[start:end], page.number
            chunks.append(Chunk(text, number, number, start, end, tokens, page.label, heading, page.confidence))
        yield CutPage(page, tuple(chunks))


def chunk_pages(pages: Iterable[Page], tokenizer: Tokenizer, max_tokens: int) -> Iterator[Chunk]:
    """The chunks of `cut_pages` alone."""
    for cut in cut_pages(pages, tokenizer, max_tokens):
        yield from cut.chunks


def _path(above: tuple[str, ...], sections: Sequence[Section], start: int) -> tuple[str, ...]:
    """The headings over a place, but those that begin there and are text of the chunk itself."""
    path = above
    for section in sections:
        if section.start > start:
            break
        path = section.path if section.start < start else section.path[:-1]
    return path


def _opening(text: str) -> list[tuple[int, str]]:
    """The short lines that a page opens with, each with where it ends; of what has no letter nothing is said."""
    lines = text.split("\n")
    longest = max(map(len, lines))
    found: list[tuple[int, str]] = []
    end = -1
    for line in lines:
        end += 1 + len(line)
        if any(map(str.isalpha, line)):
            if len(found) == OPENING_LINES or not _is_short(line.strip(), longest):
                break
            found.append((end, line.strip()))
    return found


def _before(opening: Sequence[tuple[int, str]], start: int) -> tuple[str, ...]:
    """The lines of the opening, for a chunk that has none of them itself."""
    return tuple(line for _, line in opening) if opening and start > opening[-1][0] else ()


def _is_short(line: str, longest: int) -> bool:
    """Whether a line is as short as headings are, beside the longest of its page."""
    return len(line) < min(HEADING_CHARACTERS, HEADING_SHARE * longest)


def _fit(
    text: str,
    base: int,
    offsets: Sequence[tuple[int, int]],
    tokenizer: Tokenizer,
    max_tokens: int,
    marks: _Marks,
) -> Iterator[tuple[int, int, int]]:
    """(start, end, tokens) of each chunk; `base` is added to both ends.

    A cut within a word can make more tokens of its halves than the whole had: each piece is counted again,
    and one that is over the limit is cut again by its own tokens.
    """
    units = _units(text, base, offsets, marks)
    spans = [span for span in _pack(text, units, max_tokens) if span[0] < span[1]]
    for (start, end), own in zip(spans, tokenizer.offsets([text[a:b] for a, b in spans]), strict=True):
        if len(own) <= max_tokens or (start, end) == (0, len(text)):
            yield base + start, base + end, len(own)
        else:
            yield from _fit(text[start:end], base + start, own, tokenizer, max_tokens, marks)


def _pack(text: str, units: _Units, max_tokens: int) -> Iterator[tuple[int, int]]:
    """Spans that cover the text, white space at their ends left out."""
    start = first = 0
    while first < len(units.starts):
        last = _choose(units, first, max_tokens)
        end = units.starts[last] if last < len(units.starts) else len(text)
        yield _trimmed(text, start, end)
        start, first = end, last
    if not units.starts:
        yield _trimmed(text, 0, len(text))


def _choose(units: _Units, first: int, limit: int) -> int:
    """The unit before which a chunk that begins with the unit `first` ends."""
    before = units.before
    rest = before[-1] - before[first]
    if rest <= limit:
        return len(units.starts)
    low, high, best = limit // 2, limit, limit
    if rest < limit + limit // 2:  # these are the last two: neither is to be small
        low, high = max(rest // 3, rest - limit), min(limit, rest - rest // 3)
        best = rest // 2
    low_unit = max(first + 1, bisect_left(before, before[first] + low, first))
    high_unit = min(len(units.starts) - 1, bisect_right(before, before[first] + high, first) - 1)
    if high_unit <= low_unit:  # one unit of many tokens fills the window
        return max(first + 1, bisect_right(before, before[first] + limit, first) - 1)
    target = before[first] + best
    return max(range(low_unit, high_unit + 1), key=lambda unit: (units.cuts[unit], -abs(before[unit] - target)))


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    left = len(piece) - len(piece.lstrip())
    return start + left, max(start + left, start + len(piece.rstrip()))


def _units(text: str, base: int, offsets: Sequence[tuple[int, int]], marks: _Marks) -> _Units:
    starts: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    count = 0
    for start, end in offsets:
        # Tokens that share a character (bytes of one, or a letter and its accent) stay together.
        if ends and start < ends[-1]:
            ends[-1] = max(ends[-1], end)
            count += 1
            continue
        for piece in range(start, end) if end - start > LONG_TOKEN else (start,):
            starts.append(piece)
            ends.append(piece + 1)
            before.append(count)
            count += 1
        ends[-1] = end
    before.append(count)
    cuts = [Cut.PARAGRAPH] if starts else []
    for i, (_, start) in enumerate(pairwise(starts)):
        cuts.append(_cut(text, base, ends[i], start, marks))
    return _Units(starts, before, cuts)


def _cut(text: str, base: int, end: int, start: int, marks: _Marks) -> Cut:
    """How good a cut is between a token that ends at `end` and one that begins at `start`."""
    gap = text[end:start]
    if "\n" in gap:
        return _line_cut(text, base, end, start, marks)
    if _ends_sentence(text, end, start):
        return Cut.SENTENCE
    between_words = any(character.isspace() for character in gap)
    if between_words or (_is_ideograph(text[start]) and _is_ideograph(text[end - 1])):
        return Cut.WORD
    return Cut.MARK if unicodedata.category(text[start]).startswith("M") else Cut.TOKEN


def _line_cut(text: str, base: int, end: int, start: int, marks: _Marks) -> Cut:
    gap = text[end:start]
    line_end = base + end + gap.index("\n")
    if line_end in marks.after:
        return Cut.HEADING
    if line_end in marks.before or _BLANK_LINE.search(gap):
        return Cut.PARAGRAPH
    return Cut.SENTENCE_LINE if _ends_sentence(text, end, start) else Cut.LINE


def _ends_sentence(text: str, end: int, start: int) -> bool:
    last = end - 1
    while last > max(0, end - 4) and text[last] in _CLOSERS:
        last -= 1
    if text[last] in _ENDS_ANYWHERE:
        return text[start] not in _CLOSERS
    # A small letter goes on with the sentence: "e.g. this".
    return text[last] in _ENDS_SPACED and start > end and not text[start].islower()


def _is_ideograph(character: str) -> bool:
    return any(low <= ord(character) <= high for low, high in _IDEOGRAPHS)


def _marks(text: str, sections: Sequence[Section]) -> _Marks:
    """The headings that type sets off, and what looks like one."""
    after, before = _headings(text)
    return _Marks(
        after | {section.end for section in sections}, before | {section.start - 1 for section in sections}
    )


def _headings(text: str) -> tuple[set[int], set[int]]:
    """Where the lines end that are headings, and where those end that stand before one."""
    lines = text.split("\n")
    longest = max(map(len, lines))
    after: set[int] = set()
    before: set[int] = set()
    position, previous, running = -1, "", 0
    for line in lines:
        start, position = position, position + 1 + len(line)
        short = _is_short(line, longest)
        ended = running > 0 or not previous.strip() or previous.rstrip()[-1] in _ENDS_SPACED | _ENDS_ANYWHERE
        if short and ended and _looks_like_heading(line) and running < HEADINGS_RUNNING:
            if not running and start >= 0:
                before.add(start)
            running += 1
            after.add(position)
        elif line.strip() or not running:
            running = 0
        previous = line
    return after, before


def _looks_like_heading(line: str) -> bool:
    """Whether a line has words, begins as a heading does and does not end as a sentence does."""
    words = line.strip()
    if not words or words[0].islower() or words[-1] in _ENDS_SPACED | _ENDS_ANYWHERE | frozenset(",;-"):
        return False
    return any(character.isalpha() for character in words)
