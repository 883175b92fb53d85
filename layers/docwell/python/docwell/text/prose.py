"""Tell sentences from headings, reference lists and scraps, by signs that most languages share. Pure."""

from __future__ import annotations

import re
import unicodedata

from docwell.text.lexicon import SENTENCE_ENDS, UNSPACED, segments

# Rows of tables and formulas have fewer letters.
_LETTERS_SHARE = 0.7
# Shorter sentences say little by themselves. Words are not counted in unspaced scripts.
_FEWEST_WORDS = 5
# Letter-spaced titles, formulas and text with unmapped glyphs have a larger share of words of one letter.
_MOST_SINGLE = 0.3
_WORD_LENGTH = (2.5, 13.0)
# The largest share of words with digits or capitals inside: "vT3x", "tHe". Names such as "iPhone 3GS" are few.
_MOST_MIXED = 0.2
_MIXED = re.compile(r"[^\W\d_]+\d\w*|\d+[^\W\d_]+\d\w*|[^\W\d_]*[a-z][A-Z][^\W_]*")

_CAPITAL = "A-Z\u00c0-\u00d6\u00d8-\u00de\u0391-\u03a9\u0410-\u042f"
# "C. Fowlkes" and "Fowlkes, C.", but not "U.S. law".
_INITIAL = re.compile(rf"(?<![\w.])[{_CAPITAL}]\.(?:[ -][{_CAPITAL}]\.)*(?![{_CAPITAL}]?\w)")
_YEAR = re.compile(r"(?<![\w.,])(?:1[89]|20)\d\d[a-z]?(?![\w%])")
# "12(3), 45", "12 (3): 45", "pp. 45".
_ISSUE = re.compile(
    r"\d\s?\(\d{1,4}\)\s?[:,]\s?\w?\d|\bpp?\.(?:\s?\d|\W*$)|\bvol\b|\bdoi\b|\barxiv:\s?\d|\bISBN\b", re.IGNORECASE
)
_ADDRESS = re.compile(r"https?:|www\.|\w\[?\.\]?(?:org|com|net|edu)/")
# "[PS07]" and "[EVGW+10]".
_KEY = re.compile(r"\[[^\W\d_][^\W_+]{0,6}\+?\d\d[a-z]?\]")
# In a list of references, this share of the sentences are references, and so many words have one initial.
_REFERENCES_SHARE = 0.25
_WORDS_OF_NAME = 20
_FEWEST_NAMES = 3

_MOST_HEADING_WORDS = 12
# A heading is shorter than the lines of the text below it.
_HEADING_SHARE = 0.6
# Most articles and prepositions have at most this many letters; they end no heading.
_SHORT_WORD = 3


def is_sentence(text: str) -> bool:
    """Return whether a text is a whole sentence of prose: complete, made of words, and not a list."""
    first = text.lstrip("\"'\u201c\u2018\u00ab\u201e\u00bf\u00a1(")[:1]
    ended = text.rstrip("\"'\u201d\u2019\u00bb)").endswith(tuple(SENTENCE_ENDS))
    if not (first.isalpha() and not first.islower() and ended) or is_reference(text):
        return False
    shown = [
        character
        for character in text
        if not character.isspace() and not unicodedata.category(character).startswith("P")
    ]
    if sum(map(str.isalpha, shown)) < _LETTERS_SHARE * len(shown):
        return False
    return bool(UNSPACED.search(text)) or _has_words(text)


def is_reference(text: str) -> bool:
    """Return whether a sentence belongs to a list of references.

    It has two of these: names with initials, a year or a key ("[PS07]"), an address. Or it has an issue and pages.
    """
    dated = _YEAR.search(text) is not None or _KEY.search(text) is not None
    signs = (dated, len(_INITIAL.findall(text)) > 1, _ADDRESS.search(text) is not None)
    return sum(signs) > 1 or _ISSUE.search(text) is not None


def is_bibliography(text: str) -> bool:
    """Return whether a text is a list of references, or a part of one."""
    spans_read = [text[start:end] for start, end in segments(text)]
    references = sum(map(is_reference, spans_read))
    names = len(_INITIAL.findall(text))
    crowded = names >= _FEWEST_NAMES and names * _WORDS_OF_NAME >= len(text.split()) and bool(_YEAR.search(text))
    return crowded or (references > 1 and references >= _REFERENCES_SHARE * len(spans_read))


def after_headings(text: str, start: int, end: int) -> int:
    """Return the start of a sentence without the headings before it, which have no full stop."""
    while start == 0 or text[start - 1] == "\n":
        lines = text[start:end].split("\n")
        below = [line.strip() for line in lines[1:] if line.strip()]
        first = lines[0].strip()
        if not below or first.endswith((*SENTENCE_ENDS, ",", ";", ":", "-")) or below[0][0].islower():
            break
        # A heading is shorter than the other lines, and its last word is not short.
        names = first.split() or [""]
        goes_on = names[-1].islower() and len(names[-1]) <= _SHORT_WORD
        if len(first) > _HEADING_SHARE * max(map(len, below)) or len(names) > _MOST_HEADING_WORDS or goes_on:
            break
        start += len(lines[0]) + 1
        start += len(text[start:end]) - len(text[start:end].lstrip(" \t\n"))
    return start


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a text in one line each.

    A line much shorter than the longest ends a paragraph, and after a full stop it begins one.
    """
    lines = [line.strip() for line in text.split("\n")]
    longest = max(map(len, lines))
    blocks: list[list[str]] = [[]]
    for line in lines:
        short = len(line) <= _HEADING_SHARE * longest
        if short and blocks[-1] and blocks[-1][-1].endswith(tuple(SENTENCE_ENDS)):
            blocks.append([])
        if line:
            blocks[-1].append(line)
        if short:
            blocks.append([])
    return [" ".join(lines) for lines in blocks if lines]


def _has_words(text: str) -> bool:
    words = re.findall(r"[^\W_]+", text)
    letters = [word for word in words if word.isalpha()]
    if len(letters) < _FEWEST_WORDS:
        return False
    length = sum(map(len, letters)) / len(letters)
    single = sum(len(word) == 1 for word in words)
    mixed = sum(_MIXED.fullmatch(word) is not None for word in words)
    least, longest = _WORD_LENGTH
    return least <= length <= longest and single <= _MOST_SINGLE * len(words) and mixed <= _MOST_MIXED * len(words)
