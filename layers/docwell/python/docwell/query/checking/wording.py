"""Cut an answer into sentences and lists, and find those that a passage has word by word. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from docwell.text.lexicon import MARKER, TEXTS_KEPT, segments, sentences, statements

_ITEM = r"(?:[-*\u2022\u2023\u25aa\u2013]|\d{1,2}[.)]|[a-z][.)])[ \t]+\S.*"
# A colon, and the lines of the list after it.
_LIST = re.compile(rf"[:\uff1a][ \t]*(?:\[[\d,; ]+\][ \t]*)*\n\s*{_ITEM}(?:\n\s*{_ITEM})*")
_UNWRAPPED = re.compile(rf"\n(?!{_ITEM})")
_ITEM_NUMBER = re.compile(r"(\n\s*)\d{1,2}[.)](?=[ \t])")
_DAY = re.compile(r"\d\.\s*$")
# "1.5", "-5", "500 %", "C#" and currencies.
_SAID = re.compile(
    r"[^\W_]+|(?<=\d)[.,](?=\d)|(?<![^\W_])[-\u2212](?=[\d$\u00a2-\u00a5\u20a0-\u20cf])|[%\u2030+#$\u00a2-\u00a5\u20a0-\u20cf]"
)
# After a list, so many characters show whether another item follows ("12. A").
_UNDECIDED = 8
# Shorter pieces are headings and cells: "Yes", "52 hours".
_FEWEST_WORDS = 4
_FEWEST_LETTERS = 8


def answer_sentences(text: str) -> list[str]:
    """Return the sentences of an answer; a list belongs to the sentence that introduces it with a colon."""
    pieces: list[str] = []
    position = 0
    for found in _LIST.finditer(text):
        *before, first = sentences(text[position : found.start() + 1]) or [""]
        pieces += [*before, f"{first}{text[found.start() + 1 : found.end()].rstrip()}"]
        position = found.end()
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
    return _LIST.sub(lambda found: _ITEM_NUMBER.sub(r"\1", found[0]), MARKER.sub("", sentence))


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
    kept: list[str] = []
    for piece in pieces:
        said = _letters(MARKER.sub("", piece))
        kept.append("" if said in seen else piece)
        seen.add(said)
    if all(kept):
        return text
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]{2,}", " ", rejoined(text, pieces, kept))).strip()


def completed(text: str, passages: Sequence[str]) -> str:
    """Return an answer that stops at a list's colon with the items, if a passage has them after these words."""
    bare = MARKER.sub("", text[text.rfind("\n") + 1 :]).rstrip()
    said = _letters((sentences(bare) or [""])[-1])
    if not bare.endswith((":", "\uff1a")) or len(said) < _FEWEST_LETTERS:
        return text
    for passage in passages:
        for start, end in statements(passage):
            found = _LIST.search(passage, start, end)
            if found and _letters(passage[start : found.start()]).endswith(said):
                items = passage[found.start() + 1 : end].split("\n")
                lines = _UNWRAPPED.sub(" ", "\n".join(" ".join(line.split()) for line in items if line.strip()))
                return f"{text.rstrip()}\n{lines}"
    return text


def verbatim_source(sentence: str, passages: Sequence[str]) -> int | None:
    """Return the passage (from 0) that has a sentence, white space apart, from a sentence or line to an end."""
    bare = MARKER.sub("", sentence)
    said = _letters(bare)
    if not said or (len(bare.split()) < _FEWEST_WORDS and (said.isascii() or len(said) < _FEWEST_LETTERS)):
        return None
    return next((index for index, text in enumerate(passages) if any(one.has(said) for one in _spelt(text))), None)


def begins_sentence(bare: str, text: str) -> bool:
    """Return whether a sentence of a text begins with these words, and goes on or ends after a whole word."""
    said = " ".join(bare.split()).rstrip(".!?\u3002 ")
    if len(said.split()) < _FEWEST_WORDS:
        return False
    begins = re.compile(rf"{re.escape(said)}(?!\w|[.,]\d)", re.IGNORECASE)
    return any(begins.match(" ".join(text[start:end].split())) for start, end in segments(text, len(text)))


class _Spelt(NamedTuple):
    """The letters, digits and signs of a sentence, of each of its lines, and where in them a line begins."""

    whole: str
    lines: frozenset[str]
    begins: frozenset[int]

    def has(self, said: str) -> bool:
        """Return whether these are the letters of a line, or of the rest of the sentence from a line on."""
        return said in self.lines or (self.whole.endswith(said) and len(self.whole) - len(said) in self.begins)


@lru_cache(TEXTS_KEPT)
def _spelt(text: str) -> tuple[_Spelt, ...]:
    found: list[_Spelt] = []
    for start, end in segments(text, len(text)):
        lines = [_letters(line) for line in text[start:end].split("\n")]
        begins = accumulate(map(len, lines), initial=0)
        found.append(_Spelt("".join(lines), frozenset(lines), frozenset(begins)))
    return tuple(found)


def _letters(text: str) -> str:
    """Return the letters and digits of a text, and the signs without which a figure is another."""
    return "".join(_SAID.findall(unicodedata.normalize("NFKC", text).casefold()))
