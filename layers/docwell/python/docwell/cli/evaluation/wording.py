"""Words and figures of a text in one notation, so that "$1.2 million" says "1,200,000"."""

import re
from collections.abc import Iterable
from decimal import Decimal
from functools import cache

from docwell.text.lexicon import UNSPACED

# PDFium gives U+FFFE, and older ones U+0002, for a hyphen at the end of a line.
_SPLIT_WORD = re.compile("(?<=\\w)[\u2010\u00ad\ufffe\x02]\\s*\\n?\\s*")
_MARKERS = re.compile(r"\s*\[\d{1,3}(?:,\s*\d{1,3})*\]")
_SCALES = {
    **dict.fromkeys(("thousand", "thousands", "tausend", "mille", "milliers"), 1_000),
    **dict.fromkeys(("million", "millions", "millionen", "mio"), 1_000_000),
    **dict.fromkeys(("billion", "billions", "bn"), 1_000_000_000),
    **dict.fromkeys(("milliarde", "milliarden", "mrd", "milliard", "milliards"), 1_000_000_000),
}
_PERCENT = r"%|per\s?cent\b|prozent\b|pour\s?cent\b"
_GROUPS = "\u00a0\u202f'\u2019"
# French also writes a plain space between groups; in an English table it stands between two columns.
_NUMBER = {
    spaced: rf"\d{{1,3}}(?:[{groups}]\d{{3}})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,]\d+)*"
    for spaced, groups in ((False, _GROUPS), (True, f"{_GROUPS} "))
}
# In a script without blanks, each character is a word.
_LETTERS = rf"(?:(?!{UNSPACED.pattern})[^\W\d_])+"
_TOKEN = {
    spaced: re.compile(
        rf"(?P<number>{number})(?:\s*\(?(?:in\s+)?(?P<scale>{'|'.join(_SCALES)})\b\.?)?"
        rf"|(?P<percent>{_PERCENT})|(?P<word>{UNSPACED.pattern}|{_LETTERS}(?:['\u2019]{_LETTERS})?)",
        re.IGNORECASE,
    )
    for spaced, number in _NUMBER.items()
}
_THOUSANDS = re.compile(r"\d{1,3}(?:[.,]\d{3})+")

# The readings of one word or figure. "1,234" in a German text has two.
Token = frozenset[str]


def without_markers(text: str) -> str:
    """Return an answer without its `[1]` and `[1, 2]`."""
    return _MARKERS.sub("", text)


def says(text: str, wording: str, language: str = "en") -> bool:
    """Whether a text says a wording, word for word and figure for figure; a wording is in English notation.

    >>> says("It sold $1.2 million.", "1,200,000"), says("1.234,5 Tonnen", "1,234.5", "de"), says("In 2015", "20")
    (True, True, False)
    """
    there, wanted = tokens(text, language), tokens(wording)
    last = len(there) - len(wanted)
    return bool(wanted) and any(
        all(want & there[start + at] for at, want in enumerate(wanted)) for start in range(last + 1)
    )


def says_any(text: str, wordings: Iterable[str], language: str = "en") -> bool:
    """Whether a text says one of the wordings."""
    return any(says(text, one, language) for one in wordings)


@cache
def tokens(text: str, language: str = "en") -> tuple[Token, ...]:
    """Return words in lower case, figures with their scale, and `%`; currency signs and punctuation go."""
    found = []
    for match in _TOKEN[language == "fr"].finditer(_SPLIT_WORD.sub("", text)):
        if match["number"]:
            scale = _SCALES.get((match["scale"] or "").lower(), 1)
            found.append(frozenset(_plain(one * scale) for one in _readings(match["number"], language)))
        else:
            found.append(frozenset({"%" if match["percent"] else match["word"].casefold().replace("\u2019", "'")}))
    return tuple(found)


def _readings(number: str, language: str) -> set[Decimal]:
    r"""Return the values that a written number can have.

    >>> _readings("1,234", "en"), _readings("28,5", "en"), _readings("500.000", "en")
    ({Decimal('1234')}, {Decimal('28.5')}, {Decimal('500.000')})
    """
    bare = re.sub(f"[{_GROUPS} ]", "", number)
    marks = [mark for mark in bare if mark in ".,"]
    whole = Decimal(bare.replace(".", "").replace(",", ""))
    if not marks:
        return {whole}
    if len(set(marks)) > 1:  # the last mark is the decimal one, in each language
        head, tail = bare[: bare.rindex(marks[-1])], bare[bare.rindex(marks[-1]) + 1 :]
        return {Decimal(f"{head.replace('.', '').replace(',', '')}.{tail}")}
    grouped = _THOUSANDS.fullmatch(bare) is not None
    if len(marks) > 1:
        return {whole}
    decimal = Decimal(bare.replace(",", "."))
    if not grouped:
        return {decimal}
    if language == "en":
        return {whole if marks[0] == "," else decimal}
    # A German or French answer may copy the notation of an English page.
    return {whole, decimal}


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"
