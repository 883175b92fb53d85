"""Clean the text that a PDF library extracts from a page, and judge whether it is readable.

Every function takes time in proportion to its input.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from docwell.text import words as word_lists

# A page with a larger share of unreadable characters is not text. Pages of the evaluation set stay under 0.1
# (bullets from symbol fonts); pages whose font has no mapping to Unicode are near 1.
UNREADABLE_SHARE = 0.5
# A page with fewer characters counts as readable.
LEAST_CHARACTERS = 20
# A page with fewer pairs of letters is not judged by them.
FEW_PAIRS = 100
# The largest share of rare pairs of letters. Pages of the evaluation set have at most 0.122, pages with a wrong
# map 0.145 and more.
RARE_SHARE = 0.135
# The largest share of pairs of letters from two scripts; a page of formulas with Greek letters has 0.1.
MIXED_SHARE = 0.4

RARE_PAIRS = frozenset(word_lists.words("rare_pair"))
# The letters of words. Numbers, codes, digests and sequences of genes have none, though they read well.
_LETTERS = re.compile(r"\S*\d\S*|\S{24,}|([a-z]{2,})")
# Scripts that may occur together in one word.
_EAST_ASIAN = frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "FULLWIDTH", "HALFWIDTH"})

# PDFium writes one of these where it removed a hyphen at a line's end and joined the lines.
_HYPHEN = "\x02\ufffe"
_CUT = re.compile(rf"[{_HYPHEN}]\n?|\u00ad\n")
_BREAKS = re.compile("\r\n|[\r\f\v\x85\u2028\u2029]")
_WORD = re.compile(r"\w+(?:-\w+)*")
# The halves of a word at a cut.
_LEFT, _RIGHT, _LONGEST_WORD = re.compile(r"\w*\Z"), re.compile(r"\w*"), 64
_BAD = frozenset({"Cc", "Cn", "Co", "Cs"})
# Presentation forms of plain letters: Latin ligatures and the shapes of Arabic letters. Full NFKC would also
# change quotation marks, fractions and superscripts, which a quote must keep.
_FORMS = re.compile("[\ufb00-\ufb06\ufb13-\ufb17\ufb50-\ufdfb\ufe70-\ufefc]")
# Marks without width or meaning; the two joiners (200C, 200D) have a meaning in Hindi and Persian.
_INVISIBLE = frozenset(word_lists.words("invisible"))


def unreadable_share(text: str) -> float:
    """Return the share (0 to 1) of unreadable characters; 0 for a page without text.

    Private use, unassigned, control and replacement characters are unreadable.
    """
    bad = total = 0
    for character, count in Counter(text).items():
        if character.isspace() or character in _HYPHEN:
            continue
        total += count
        if character == "\ufffd" or unicodedata.category(character) in _BAD:
            bad += count
    return bad / total if total else 0.0


def is_unreadable(text: str) -> bool:
    """Return whether most characters of a page are unreadable or make no words; False for a page with few.

    A font with a wrong map to Unicode gives words of several scripts, or pairs of letters that no language has.
    """
    if len(text) < LEAST_CHARACTERS:
        return False
    words = _LETTERS.findall(text.lower())
    return unreadable_share(text) > UNREADABLE_SHARE or _rare_share(words) > RARE_SHARE or _mixes_scripts(text)


def _rare_share(words: Sequence[str]) -> float:
    """Return the share of rare pairs of Latin letters in words, 0 for a page with few."""
    # Skip pairs of successive letters: they may come from an alphabet, such as a font's specimen.
    pairs = Counter(f"{a}{b}" for word in words for a, b in pairwise(word) if ord(b) - ord(a) != 1)
    total = pairs.total()
    return sum(pairs[pair] for pair in RARE_PAIRS) / total if total >= FEW_PAIRS else 0.0


def _mixes_scripts(text: str) -> bool:
    pairs = Counter(pair for pair in pairwise(text) if pair[0].isalpha() and pair[1].isalpha())
    total = sum(pairs.values())
    mixed = sum(count for (a, b), count in pairs.items() if not (a < "\u0250" and b < "\u0250") and _differ(a, b))
    return total >= FEW_PAIRS and mixed > MIXED_SHARE * total


def _differ(first: str, second: str) -> bool:
    """Return whether two letters belong to scripts that never occur in one word."""
    scripts = {unicodedata.name(letter, "?").partition(" ")[0] for letter in (first, second)}
    return len(scripts) > 1 and not scripts & _EAST_ASIAN


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
    lines: list[str] = []
    # A regular expression for this is quadratic in long runs of spaces.
    for line in map(str.rstrip, unicodedata.normalize("NFC", text.translate(table)).split("\n")):
        if line or (lines and lines[-1]):
            lines.append(line)
    return "\n".join(lines).strip("\n")


def _join_words(text: str) -> str:
    """Join words that were cut at line ends. The page's other words tell whether a hyphen belongs to the word."""
    # Each cut counts once for each of its halves; a half that is also a word occurs more often.
    words = Counter(word.lower() for word in _WORD.findall(text))

    def hyphen(cut: re.Match[str]) -> str:
        start, end = cut.span()
        left = _LEFT.search(text, max(0, start - _LONGEST_WORD), start)
        right = _RIGHT.match(text, end, end + _LONGEST_WORD)
        halves = left[0] if left else "", right[0] if right else ""
        return "-" if all(halves) and _has_hyphen(*halves, words) else ""

    return _CUT.sub(hyphen, text)


def _has_hyphen(left: str, right: str, words: Counter[str]) -> bool:
    plain, hyphened = f"{left}{right}".lower(), f"{left}-{right}".lower()
    if plain in words or hyphened in words:
        return words[hyphened] > words[plain]
    two_words = words[left.lower()] > 1 and words[right.lower()] > 1
    return two_words or len(left) == 1 or not right[0].islower()
