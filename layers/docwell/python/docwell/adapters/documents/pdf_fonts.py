"""The fonts of a page: the words of each, and capitals that are drawn as small letters.

Part of the child's program. A wrong map to Unicode changes a character and not its outline, so "reTuire" has a T
with the descender of a q. The outlines of "JavaScript" are those of its letters.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from itertools import islice

from docwell.adapters.documents.pdf_glyphs import Glyphs
from docwell.adapters.documents.pdf_outlines import Outline
from docwell.adapters.documents.pdfium_calls import Units

# A capital between small letters; not the last one of "PhD". A pattern that begins with the capital is found five
# times as fast. A page of code may have thousands, and each costs 10 microseconds.
_INNER, MAX_INNER = re.compile("[A-Z](?<=[a-z].)(?=[a-z])"), 200
# Small letters without ascender and descender, and letters that rise above them.
_LOW, _TALL = re.compile("[acemnorsuvwx]"), re.compile("[A-Zbdhkl]")
# Capitals with a descender in many fonts.
_DESCENDING = frozenset("JQ")
# Heights in type sizes: an ascender or descender has at least `LEAST_RISE`, and a capital rises over low letters
# by more than `CAPITAL_RISE`. Outlines of one character in one font differ by less than `SAME`, and those of the
# characters that one glyph draws by less than `EXACT`.
LEAST_RISE, CAPITAL_RISE, SAME, EXACT = 0.1, 0.05, 0.03, 0.001
# The characters before and after a capital that are searched for letters of its font; and how many capitals of its
# kind are compared, of how many that begin words in any font.
AROUND, COMPARED, TRIED = 60, 3, 12

_LINE, _WORD = re.compile(r"[^\r\n\x02\ufffe]+"), re.compile(r"[^\s\x02\ufffe]+")


class Fonts:
    """The fonts of a page's whole text, by address; 0 for characters that PDFium adds."""

    def __init__(self, glyphs: Glyphs, text: str) -> None:
        self._glyphs, self._text, self._units = glyphs, text, Units(text)
        self._low: dict[int, Outline] = {}
        self._capitals: dict[tuple[int, str], list[Outline]] = {}

    def words(self) -> dict[int, str]:
        """Return the words of each font. A line that begins and ends in one font is all in that font."""
        words = defaultdict[int, list[str]](list)
        for line in _LINE.finditer(self._text):
            if body := line[0].strip():
                start = line.start() + line[0].index(body)
                font = self._font(start)
                if font == self._font(start + len(body) - 1):
                    words[font].append(body)
                else:
                    for word in _WORD.finditer(self._text, *line.span()):
                        words[self._font(word.start())].append(word[0])
        return {font: " ".join(one) for font, one in words.items()}

    def without(self, wrong: Collection[int]) -> str:
        """Return the text with blanks for the words of some fonts."""

        def kept(word: re.Match[str]) -> str:
            # Positions are counted in UTF-16 units.
            units = len(word[0].encode("utf-16-le", "surrogatepass")) // 2
            return " " * units if self._font(word.start()) in wrong else word[0]

        return _WORD.sub(kept, self._text)

    def draw_other_letters(self) -> bool:
        """Return whether a capital within a word is drawn as a small letter, or unlike others of its font."""
        inner = (match.start() for match in _INNER.finditer(self._text))
        return any(self._draws_another(at) for at, _ in zip(inner, range(MAX_INNER), strict=False))

    def _draws_another(self, at: int) -> bool:
        letter, own = self._text[at], self._outline(at)
        # An index, or the start of another word, is not beside the letter before it.
        if not own.is_beside(self._outline(at - 1)) or self._is_piece(at, own):
            return False
        if low := self._low_letter(at, own.font):
            descends = own.bottom < low.bottom - LEAST_RISE and letter not in _DESCENDING
            if descends or own.top < low.top + CAPITAL_RISE:
                return True
        return any(own.is_unlike(other, SAME) for other in self._others(letter, own.font))

    def _low_letter(self, at: int, font: int) -> Outline | None:
        """Return a low letter of a font near a capital, if another letter there is higher.

        All glyphs of the invisible text of a scan may have one height.
        """
        if font not in self._low:
            low = next(self._in_font(_LOW, font, at), None)
            if low is None or all(one.top < low.top + LEAST_RISE for one in self._in_font(_TALL, font, at)):
                return None
            self._low[font] = low
        return self._low[font]

    def _in_font(self, kind: re.Pattern[str], font: int, at: int) -> Iterator[Outline]:
        found = kind.finditer(self._text, max(at - AROUND, 0), at + AROUND)
        return (one for match in found if (one := self._outline(match.start())).font == font)

    def _others(self, letter: str, font: int) -> list[Outline]:
        """Return a few outlines of a capital that begins words in a font."""
        if (font, letter) not in self._capitals:
            begins = re.finditer(f"{letter}(?<![A-Za-z].)(?=[a-z])", self._text)
            found = ((match.start(), self._outline(match.start())) for match in islice(begins, TRIED))
            own = (one for at, one in found if one.font == font and not self._is_piece(at, one))
            self._capitals[font, letter] = list(islice(own, COMPARED))
        return self._capitals[font, letter]

    def _is_piece(self, at: int, own: Outline) -> bool:
        """Return whether one glyph draws a letter and the next one, as of "Th" in some fonts."""
        other = self._outline(at + 1)
        return own.is_beside(other) and not own.is_unlike(other, EXACT)

    def _font(self, at: int) -> int:
        return self._glyphs.font(self._index(at))

    def _outline(self, at: int) -> Outline:
        return self._glyphs.outline(self._index(at))

    def _index(self, at: int) -> int:
        return self._glyphs.index(self._units.before(at))
