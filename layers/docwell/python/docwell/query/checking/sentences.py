"""Cut an answer into sentences and lists, and repair it where a small model repeats itself. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from docwell.text.lexicon import MARKER, segments, sentences

_ITEM = r"(?:[-*\u2022\u2023\u25aa\u2013]|\d{1,2}[.)]|[a-z][.)])[ \t]+\S.*"
# A colon, and the lines of the list after it.
_LIST = re.compile(rf"[:\uff1a][ \t]*(?:\[[\d,; ]+\][ \t]*)*\n\s*{_ITEM}(?:\n\s*{_ITEM})*")
_ITEM_NUMBER = re.compile(r"(\n\s*)\d{1,2}[.)](?=[ \t])")
_DAY = re.compile(r"\d\.\s*$")
# "1.5", "-5", "500 %", "C#" and currencies.
_LETTERS = re.compile(
    r"[^\W_]+|(?<=\d)[.,](?=\d)|(?<![^\W_])[-\u2212](?=[\d$\u00a2-\u00a5\u20a0-\u20cf])|[%\u2030+#$\u00a2-\u00a5\u20a0-\u20cf]"
)
# After a list, so many characters show whether another item follows ("12. A").
_UNDECIDED = 8
# Shorter pieces are headings and cells.
_FEWEST_WORDS = 4


def answer_sentences(text: str) -> list[str]:
    """Return the sentences of an answer; a list belongs to the sentence that introduces it with a colon."""
    pieces: list[str] = []
    position = 0
    for items in _LIST.finditer(text):
        *before, first = sentences(text[position : items.start() + 1]) or [""]
        pieces += [*before, f"{first}{text[items.start() + 1 : items.end()].rstrip()}"]
        position = items.end()
    return [*pieces, *sentences(text[position:])]


def finished_part(begun: str) -> str:
    """Return the beginning of an unfinished answer whose sentences stay as they are, whatever follows.

    The next sentence must have begun: its first character shows that a marker, a list or the sentence has ended,
    and after "3." its first word whether that is a date.
    """
    *pieces, last = answer_sentences(begun) or [""]
    if last.startswith("[") or (pieces and last.isalpha() and _DAY.search(pieces[-1])):
        pieces = pieces[:-1]
    while pieces and (
        pieces[-1].rstrip().endswith((":", "\uff1a")) or (_LIST.search(pieces[-1]) and len(last) < _UNDECIDED)
    ):
        pieces = pieces[:-1]
    end = 0
    for piece in pieces:
        end = begun.index(piece, end) + len(piece)
    return begun[:end]


def claimed(sentence: str) -> str:
    """Return a sentence without its markers and the numbers of its list's items, which claim nothing."""
    return _LIST.sub(lambda items: _ITEM_NUMBER.sub(r"\1", items[0]), MARKER.sub("", sentence))


def rejoined(text: str, pieces: Sequence[str], changed: Sequence[str]) -> str:
    """Return the changed pieces of a text with its line breaks, and one blank between other pieces."""
    joined, position = "", 0
    for before, after in zip(pieces, changed, strict=True):
        start = text.index(before, position)
        gap = text[position:start]
        joined += ("\n" * min(gap.count("\n"), 2) or " ") * bool(position) + after
        position = start + len(before)
    return joined


def unrepeated(text: str) -> str:
    """Return a text without sentences that stand in it before: a small model can repeat itself to the end."""
    pieces, seen = answer_sentences(text), set[str]()
    distinct: list[str] = []
    for piece in pieces:
        letters = _letters(MARKER.sub("", piece))
        distinct.append("" if letters in seen else piece)
        seen.add(letters)
    if all(distinct):
        return text
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]{2,}", " ", rejoined(text, pieces, distinct))).strip()


def is_copied(bare: str, text: str) -> bool:
    """Return whether a text has a sentence with these words, figures and signs, and no other."""
    letters = _letters(bare)
    return (
        bool(letters)
        and len(bare.split()) >= _FEWEST_WORDS
        and any(letters == _letters(text[start:end]) for start, end in segments(text, len(text)))
    )


def _letters(text: str) -> str:
    """Return the letters and digits of a text, and the signs without which a figure is another."""
    return "".join(_LETTERS.findall(unicodedata.normalize("NFKC", text).casefold()))
