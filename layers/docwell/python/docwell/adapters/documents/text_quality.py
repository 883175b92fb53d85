"""Clean the text that a PDF library extracts from a page, and judge whether it is readable.

Every function takes time in proportion to its input.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from itertools import pairwise

# Over this share of unreadable characters, a page is not text. Pages of the evaluation set stay under 0.1 (bullets
# from symbol fonts); pages whose font has no mapping to Unicode are near 1.
UNREADABLE_SHARE = 0.5
# A page with fewer characters is not judged.
FEW = 20

# PDFium writes one of these where it removed a hyphen at a line's end and joined the lines.
_HYPHEN = "\x02\ufffe"
_CUT = re.compile(rf"[{_HYPHEN}]\n?|\u00ad\n")
_BREAKS = re.compile("\r\n|[\r\f\v\x85\u2028\u2029]")
_REST_OF_WORD = re.compile(r"\A(\S+) (?=\S)")
_WORD = re.compile(r"\w+(?:-\w+)*")
_LONGEST_WORD = 64
# The notation of some PDF programs for a glyph without a Unicode value.
_CID = re.compile(r"\(cid:\d{1,5}\)")
_BAD = frozenset({"Cc", "Cn", "Co", "Cs"})
# Presentation forms of plain letters: Latin ligatures and the shapes of Arabic letters. Full NFKC would also
# change quotation marks, fractions and superscripts, which a quote must keep.
_FORMS = re.compile("[\ufb00-\ufb06\ufb13-\ufb17\ufb50-\ufdfb\ufe70-\ufefc]")
# Marks without width or meaning; the two joiners (200C, 200D) have a meaning in Hindi and Persian.
_INVISIBLE = frozenset(
    "\u00ad\u200b\u200e\u200f\u2060\ufeff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


def unreadable_share(text: str) -> float:
    """Return the share (0 to 1) of unreadable characters; 0 for a page without text.

    Private use, unassigned, control and replacement characters and `(cid:7)` are unreadable.
    """
    coded = sum(len(match) for match in _CID.findall(text))
    bad = total = 0
    for character, count in Counter(text).items():
        if character.isspace() or character in _HYPHEN:
            continue
        total += count
        if character == "\ufffd" or unicodedata.category(character) in _BAD:
            bad += count
    return (bad + coded) / total if total else 0.0


def is_unreadable(text: str) -> bool:
    """Return whether most characters of a page are unreadable; False for a page with few characters."""
    return len(text) >= FEW and unreadable_share(text) > UNREADABLE_SHARE


def tidy(text: str) -> str:
    """Return a page's text in NFC, without control characters and with at most one blank line in a row.

    Joins words that were cut at a line's end: with their hyphen where the page writes it elsewhere, or where the
    cut is not between syllables (`non-GAAP`).
    """
    text = _BREAKS.sub("\n", text)
    if _CUT.search(text):
        text = _join_words(text)
    text = _FORMS.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
    table: dict[int, str | None] = {}
    for character in set(text) - {"\n"}:
        category = unicodedata.category(character)
        if character == "\t" or category == "Zs":
            table[ord(character)] = " "
        elif category in {"Cc", "Cs", "Cn"} or character in _INVISIBLE:
            table[ord(character)] = None
    return _squeeze(unicodedata.normalize("NFC", text.translate(table)))


def _squeeze(text: str) -> str:
    lines: list[str] = []
    # A regular expression for this is quadratic in long runs of spaces.
    for line in map(str.rstrip, text.split("\n")):
        if line or (lines and lines[-1]):
            lines.append(line)
    return "\n".join(lines).strip("\n")


def _join_words(text: str) -> str:
    """Join words that were cut at line ends. The page's other words tell whether a hyphen belongs to the word."""
    pieces = _CUT.split(text)
    # Each cut counts once for each of its halves; a half that is also a word occurs more often.
    words = Counter(word.lower() for word in _WORD.findall(text))
    joined = [pieces[0]]
    for before, after in pairwise(pieces):
        left, right = _last_word(before), _first_word(after)
        if left and right and _has_hyphen(left, right, words):
            joined.append("-")
        # End the line after the whole word, so that lines keep their length.
        joined.append(_REST_OF_WORD.sub(r"\1\n", after, count=1))
    return "".join(joined)


def _has_hyphen(left: str, right: str, words: Counter[str]) -> bool:
    whole, hyphened = f"{left}{right}".lower(), f"{left}-{right}".lower()
    if whole in words or hyphened in words:
        return words[hyphened] > words[whole]
    two_words = words[left.lower()] > 1 and words[right.lower()] > 1
    return two_words or len(left) == 1 or not right[0].islower()


def _last_word(text: str) -> str:
    found = _WORD.findall(text[-_LONGEST_WORD:])
    return found[-1].rpartition("-")[2] if found and text.endswith(found[-1]) else ""


def _first_word(text: str) -> str:
    found = _WORD.match(text[:_LONGEST_WORD])
    return found[0].partition("-")[0] if found else ""
