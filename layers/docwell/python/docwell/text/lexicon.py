"""Text cut as a reader would: sentences, words, pieces of a passage. Pure, and the same for every script."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise

# A citation marker of an answer, `[3]` or `[1, 2]`.
MARKER = re.compile(r"\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]")

# A full stop with what belongs to it: closing quotes, and markers that stand after it. The ends are those of
# Latin, Arabic and Devanagari, which blanks follow, and of Chinese and Japanese, which nothing has to follow.
_MARKERS_AFTER = r"(?:\s*\[[\d,;\s]+\])*"
_SENTENCE_END = re.compile(
    rf"(?:[.!?\u061f\u0964][\"'\u201d\u2019)]*{_MARKERS_AFTER}(?=\s|$)"
    rf"|[\u3002\uff01\uff1f][\"'\u201d\u2019\u300d\u300f\uff09)]*{_MARKERS_AFTER}"
    r"|\n{2,})\s*"
)
# Full stops that end no sentence: an initial, or a short form before what it belongs to.
_NO_SENTENCE_END = re.compile(
    r"(?:\b[A-Z]|\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|No|Nos|Fig|Inc|Ltd|Co|Corp|vs|etc|e\.g|i\.e|cf|approx|ca))\.\s*$"
)
_WORD = re.compile(r"\w+", re.UNICODE)
# Kana, Chinese characters and Thai: words stand side by side without gaps.
NO_WORD_GAPS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0e7f]")

# Most words of a text are among some thousand that stand in every text.
_WORDS_KEPT = 8192
# What was made of so many texts is remembered: a question looks at its passages several times, and the next one
# at some of the same. Each is of a chunk's length, so a cache of them is of a few MB.
TEXTS_KEPT = 1024

# A quote longer than this is no quote; a shorter window of the passage is taken.
MAX_QUOTE_CHARACTERS = 320

# The words that hold an English sentence together and say nothing of what it is about.
_FUNCTION_WORDS = """
    a about after all also an and any are as at be because been before between both but by can could did do does
    during each for from had has have he her his how i if in into is it its may more most must no not of on one or
    other our shall she should since so some such than that the their them then there these they this those
    through to under until up upon was we were what when where which while who whom whose why will with within
    would yes you your
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())

_NUMBERS = """
    one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty
"""
_ORDINALS = """
    first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth
    fifteenth sixteenth seventeenth eighteenth nineteenth twentieth
"""
# Numbers in letters, and the same in digits.
SPELLED = {
    word: str(number) for names in (_NUMBERS, _ORDINALS) for number, word in enumerate(names.split(), 1)
} | {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90"}


def sentences(text: str) -> list[str]:
    """The sentences of an answer; a marker after the full stop belongs to the sentence before it.

    >>> sentences("It rains. [1] It pours [2].")
    ['It rains. [1]', 'It pours [2].']
    >>> sentences("Dr. Smith met J. Doe.")
    ['Dr. Smith met J. Doe.']
    """
    cuts = _cuts(text)
    return [piece for start, end in pairwise(cuts) if (piece := text[start:end].strip())]


def segments(text: str, longest: int = MAX_QUOTE_CHARACTERS) -> list[tuple[int, int]]:
    """(start, end) of each sentence without its outer white space; one over `longest` is cut at blanks."""
    spans: list[tuple[int, int]] = []
    for start, end in pairwise(_cuts(text)):
        position = start
        while position < end:
            stop = end
            if end - position > longest:
                blank = max(
                    text.rfind(" ", position, position + longest), text.rfind("\n", position, position + longest)
                )
                stop = blank + 1 if blank > position else position + longest
            piece = text[position:stop]
            left = position + len(piece) - len(piece.lstrip())
            right = stop - (len(piece) - len(piece.rstrip()))
            if left < right:
                spans.append((left, right))
            position = stop
    return spans or [(0, len(text))]


def windows(text: str, longest: int = MAX_QUOTE_CHARACTERS) -> list[tuple[int, int]]:
    """(start, end) of each sentence, and of each two neighbours that are together no longer than `longest`."""
    spans = segments(text, longest)
    pairs = [(start, end) for (start, _), (_, end) in pairwise(spans) if end - start <= longest]
    return [*spans, *pairs]


@lru_cache(TEXTS_KEPT)
def words(text: str) -> frozenset[str]:
    """Lower-case words for comparing; scripts without gaps between words give pairs of characters."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    found: set[str] = set()
    for word in _WORD.findall(folded):
        if NO_WORD_GAPS.search(word) and len(word) > 1:
            found.update(word[i : i + 2] for i in range(len(word) - 1))
        else:
            found.add(word)
    return frozenset(found)


@lru_cache(TEXTS_KEPT)
def content_words(text: str) -> frozenset[str]:
    """The stems of the words that say what a text is about: no function words, small numbers in digits.

    >>> sorted(content_words("The boilers were inspected"))
    ['boiler', 'inspect']
    """
    return frozenset(SPELLED.get(word) or stem(word) for word in words(text) if word not in FUNCTION_WORDS)


@lru_cache(_WORDS_KEPT)
def stem(word: str) -> str:
    """An English word without its ending, so that inflected forms compare alike; any other word as it is.

    Crude on purpose: what is compared with it is stemmed the same way.

    >>> [stem(word) for word in ("pages", "paged", "paging", "cities", "1990s", "19th", "is")]
    ['pag', 'pag', 'pag', 'citi', '1990', '19', 'is']
    """
    if not word.isascii():
        return word
    if word[:-1].isdecimal() and word.endswith("s"):
        return word[:-1]
    if word[:-2].isdecimal() and word.endswith(("st", "nd", "rd", "th")):
        return word[:-2]
    for ending in ("ing", "ed", "es", "s", "e", "y"):
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= len("pag"):
            return word[: -len(ending)] + ("i" if ending == "y" else "")
    return word


@lru_cache(_WORDS_KEPT)
def fold(text: str) -> str:
    """Lower case without accents on Latin letters, for comparing names as people type them.

    >>> fold("Avilés"), fold("ΠΑΡΊΣΙ")
    ('aviles', 'παρισι')
    """
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


@lru_cache(TEXTS_KEPT)
def script(text: str) -> str:
    """The script that most letters of a text are in, as Unicode names it ("LATIN", "CYRILLIC"); "" for none."""
    counts: dict[str, int] = {}
    # The names of characters are slow to look up, and some hundred letters tell the script.
    for character in [character for character in text if character.isalpha()][:400]:
        name = "LATIN" if character.isascii() else unicodedata.name(character, "").partition(" ")[0]
        counts[name] = counts.get(name, 0) + 1
    return max(counts, key=counts.__getitem__, default="")


def _cuts(text: str) -> list[int]:
    """Where sentences begin and end, from 0 to the length of the text."""
    inner = [
        match.end()
        for match in _SENTENCE_END.finditer(text)
        if not _NO_SENTENCE_END.search(text, max(0, match.start() - 8), match.start() + 1)
    ]
    return [0, *inner, len(text)]
