"""Cut pages into chunks that the embedding model reads whole, and chunks into units.

Cuts are between tokens of the model's own tokenizer. A chunk ends at the strongest cut (`Cut`) between half of the
limit and the limit; of equal cuts, at the last. The last two chunks of a page share its rest, so every chunk of a
long page has at least a third of the limit. Units are cut from a chunk by the same rules.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from docwell.ingest.outline import CutChunk, Outline, Section, shown
from docwell.models import Chunk, CitationUnit, Page

if TYPE_CHECKING:
    from docwell.ports import Tokenizer

# One vector for 200 tokens blurs the sentence that answers a question, but a record for each unit would make the
# index five times as large. So a chunk's record holds the vectors of its units, and the query compares only the
# units of the chunks that a search returns.
UNIT_TOKENS = 48
# The white space that ends a token in every tokenizer that `cuts_at_blanks`. Some drop other white space, such as
# vertical tabs, as control characters, and so join the words around it.
_BLANKS = frozenset(" \n\r\t")
# BERT's WordPiece replaces a word over 100 characters by one unknown token. Count a longer run (Thai has no
# spaces) by character, so that the model reads its pieces.
LONG_TOKEN = 64
# A heading has fewer characters than this, and less than this share of the page's longest line.
HEADING_CHARACTERS = 70
HEADING_SHARE = 0.7
# More consecutive headings than this are a table or a list.
HEADINGS_RUNNING = 2
# The most opening lines of a page to keep: for a statement, its company, title, currency and date.
OPENING_LINES = 4

# Using `docwell.text.lexicon` here would move chunk ends and change the pipeline fingerprint.
_ENDS_SPACED = frozenset(".!?…؟።։܀۔")
_ENDS_ANYWHERE = frozenset("。！？｡．।॥၊။។")
_CLOSERS = frozenset("\"'”’»)]}」』）】›")
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_IDEOGRAPHS = ((0x3040, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))

# The (start, end) of each token in characters of a text.
_Tokens = list[tuple[int, int]]


class Cut(IntEnum):
    """How good a place is to end a chunk: higher is better."""

    MARK = 0  # between a letter and its accent
    TOKEN = 1
    WORD = 2
    HEADING = 3  # after a heading, which belongs to the next text
    LINE = 4
    SENTENCE = 5
    SENTENCE_LINE = 6  # a line's end after a sentence's
    PARAGRAPH = 7  # a blank line, or the line before a heading


@dataclass(frozen=True, slots=True)
class _Marks:
    """The ends of headings (`after`), and the ends of lines before a heading (`before`)."""

    after: set[int]
    before: set[int]


@dataclass(frozen=True, slots=True)
class _Atoms:
    """The parts that are never cut: `starts` and `ends` in characters of `text`, which begins at `base`.

    `before[i]` is the number of tokens before atom i, with the total last.
    """

    text: str
    base: int
    marks: _Marks
    starts: list[int]
    ends: list[int]
    before: list[int]

    def cut(self, atom: int) -> Cut:
        """Return how good a cut is before an atom that is not the first; computed on demand."""
        return _cut(self.text, self.base, self.ends[atom - 1], self.starts[atom], self.marks)


def cut_pages(
    pages: Iterable[Page], tokenizer: Tokenizer, max_tokens: int
) -> Iterator[tuple[Page, list[CutChunk]]]:
    """Yield each page with its chunks in order, of at most `max_tokens` tokens, and their units.

    `chunk.text == page.text[chunk.start:chunk.end]`. Each character of a page that is not white space is in
    exactly one chunk; no chunk begins or ends with white space. The time is proportional to the text. Only a
    single character of more than `max_tokens` tokens exceeds the limit.
    """
    outline = Outline()
    for page in pages:
        above = outline.path
        sections = outline.read(page)
        tokens = tokenizer.offsets([page.text])[0]
        marks = _marks(page.text, sections)
        opening, opening_end = _opening(page.text)
        chunks: list[CutChunk] = []
        for start, end, chunk_tokens in _fit(page.text, 0, tokens, tokenizer, max_tokens, marks):
            heading = shown(_path(above, sections, start), opening if start > opening_end else ())
            text, number, units = page.text[start:end], page.number, _units(page, start, end)
            chunk = Chunk(text, number, start, end, len(chunk_tokens), page.label, heading, page.confidence, units)
            chunks.append((chunk, _split(text, chunk_tokens, tokenizer)))
        yield page, chunks


def _split(text: str, tokens: _Tokens, tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """Return (start, end) in characters of each unit of a chunk's text; none where the chunk is one unit."""
    spans = [(start, end) for start, end, _ in _fit(text, 0, tokens, tokenizer, UNIT_TOKENS, _marks(text, ()))]
    return spans if len(spans) > 1 else []


def _units(page: Page, start: int, end: int) -> tuple[tuple[int, CitationUnit], ...]:
    """Return the citation units of a page from `start` to `end`, with their starts in that piece."""
    units = page.citation_units
    first = max(0, bisect_right(units, start, key=lambda unit: unit[0]) - 1)
    return tuple((max(0, place - start), unit) for place, unit in units[first:] if place < end)


def _path(above: tuple[str, ...], sections: Sequence[Section], start: int) -> tuple[str, ...]:
    """Return the headings above a place, without a heading that begins there: the chunk itself has it."""
    path = above
    for section in sections:
        if section.start > start:
            break
        path = section.path if section.start < start else section.path[:-1]
    return path


def _opening(text: str) -> tuple[list[str], int]:
    """Return the short lines that open a page, without lines that have no letter, and the end of the last one."""
    lines = text.split("\n")
    longest = max(map(len, lines))
    opening: list[str] = []
    last = end = -1
    for line in lines:
        end += 1 + len(line)
        if any(map(str.isalpha, line)):
            if len(opening) == OPENING_LINES or not _is_short(line.strip(), longest):
                break
            opening.append(line.strip())
            last = end
    return opening, last


def _is_short(line: str, longest: int) -> bool:
    """Whether a line is as short as a heading, compared with the longest line of its page."""
    return len(line) < min(HEADING_CHARACTERS, HEADING_SHARE * longest)


def _fit(
    text: str, base: int, tokens: _Tokens, tokenizer: Tokenizer, max_tokens: int, marks: _Marks
) -> Iterator[tuple[int, int, _Tokens]]:
    """Yield start, end and tokens of each piece; `base` is added to start and end.

    The halves of a cut word can have more tokens than the word. So such a piece is tokenized again, and cut again
    by its own tokens when it is over the limit.
    """
    atoms = _atoms(text, base, tokens, marks)
    spans = [span for span in _pack(text, atoms, max_tokens) if span[0] < span[1]]
    tokens_known = [_within(text, tokens, *span) if tokenizer.cuts_at_blanks else None for span in spans]
    unknown = [
        text[start:end]
        for (start, end), piece_tokens in zip(spans, tokens_known, strict=True)
        if piece_tokens is None
    ]
    again = iter(tokenizer.offsets(unknown))
    for (start, end), piece_known in zip(spans, tokens_known, strict=True):
        piece_tokens = next(again) if piece_known is None else piece_known
        if len(piece_tokens) <= max_tokens or (start, end) == (0, len(text)):
            yield base + start, base + end, piece_tokens
        else:
            yield from _fit(text[start:end], base + start, piece_tokens, tokenizer, max_tokens, marks)


def _within(text: str, tokens: _Tokens, start: int, end: int) -> _Tokens | None:
    """Return the tokens of a piece in its own character positions; None where it may have other tokens alone."""
    if (start > 0 and text[start - 1] not in _BLANKS) or (end < len(text) and text[end] not in _BLANKS):
        return None
    first, last = (bisect_left(tokens, (place,)) for place in (start, end))
    # Special tokens, such as <mask>, can include the blanks beside them.
    if (first > 0 and tokens[first - 1][1] > start) or (last > first and tokens[last - 1][1] > end):
        return None
    return [(left - start, right - start) for left, right in tokens[first:last]]


def _pack(text: str, atoms: _Atoms, max_tokens: int) -> Iterator[tuple[int, int]]:
    """Yield spans that cover the text, without white space at their ends."""
    start = first = 0
    while start < len(text):
        last = _choose(atoms, first, max_tokens)
        end = atoms.starts[last] if last < len(atoms.starts) else len(text)
        piece = text[start:end]
        left = start + len(piece) - len(piece.lstrip())
        yield left, max(left, start + len(piece.rstrip()))
        start, first = end, last


def _choose(atoms: _Atoms, first: int, limit: int) -> int:
    """Return the atom before which the chunk that begins with atom `first` should end."""
    before = atoms.before
    left = before[-1] - before[first]
    if left <= limit:
        return len(atoms.starts)
    low, high, best = limit // 2, limit, limit
    if left < limit + limit // 2:  # the last two chunks: share the rest
        low, high = max(left // 3, left - limit), min(limit, left - left // 3)
        best = left // 2
    low_atom = max(first + 1, bisect_left(before, before[first] + low, first))
    high_atom = min(len(atoms.starts) - 1, bisect_right(before, before[first] + high, first) - 1)
    if high_atom <= low_atom:  # one atom of many tokens fills the window
        return max(first + 1, bisect_right(before, before[first] + limit, first) - 1)
    target = before[first] + best
    return max(range(low_atom, high_atom + 1), key=lambda atom: (atoms.cut(atom), -abs(before[atom] - target)))


def _atoms(text: str, base: int, tokens: _Tokens, marks: _Marks) -> _Atoms:
    starts: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    count = 0
    for start, end in tokens:
        # Keep tokens that share a character together: its bytes, or a letter and its accent.
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
    return _Atoms(text, base, marks, starts, ends, before)


def _cut(text: str, base: int, end: int, start: int, marks: _Marks) -> Cut:
    """Return how good a cut is between a token that ends at `end` and one that begins at `start`."""
    gap, ends_sentence = text[end:start], _ends_sentence(text, end, start)
    if "\n" in gap:
        line_end = base + end + gap.index("\n")
        if line_end in marks.after:
            return Cut.HEADING
        if line_end in marks.before or _BLANK_LINE.search(gap):
            return Cut.PARAGRAPH
        return Cut.SENTENCE_LINE if ends_sentence else Cut.LINE
    if ends_sentence:
        return Cut.SENTENCE
    if any(map(str.isspace, gap)) or (_is_ideograph(text[start]) and _is_ideograph(text[end - 1])):
        return Cut.WORD
    return Cut.MARK if unicodedata.category(text[start]).startswith("M") else Cut.TOKEN


def _ends_sentence(text: str, end: int, start: int) -> bool:
    last = end - 1
    while last > max(0, end - 4) and text[last] in _CLOSERS:
        last -= 1
    if text[last] in _ENDS_ANYWHERE:
        return text[start] not in _CLOSERS
    # A lower-case letter continues the sentence: "e.g. this".
    return text[last] in _ENDS_SPACED and start > end and not text[start].islower()


def _is_ideograph(character: str) -> bool:
    return not character.isascii() and any(low <= ord(character) <= high for low, high in _IDEOGRAPHS)


def _marks(text: str, sections: Sequence[Section]) -> _Marks:
    """Mark the headings that typography sets off, and the lines that look like headings."""
    marks = _Marks({section.end for section in sections}, {section.start - 1 for section in sections})
    lines = text.split("\n")
    longest = max(map(len, lines))
    position, previous, running = -1, "", 0
    for line in lines:
        start, position = position, position + 1 + len(line)
        short = _is_short(line, longest)
        ended = running > 0 or not previous.strip() or previous.rstrip()[-1] in _ENDS_SPACED | _ENDS_ANYWHERE
        if short and ended and _looks_like_heading(line) and running < HEADINGS_RUNNING:
            if not running and start >= 0:
                marks.before.add(start)
            running += 1
            marks.after.add(position)
        elif line.strip() or not running:
            running = 0
        previous = line
    return marks


def _looks_like_heading(line: str) -> bool:
    words = line.strip()
    if not words or words[0].islower() or words[-1] in _ENDS_SPACED | _ENDS_ANYWHERE | frozenset(",;-"):
        return False
    return any(character.isalpha() for character in words)
