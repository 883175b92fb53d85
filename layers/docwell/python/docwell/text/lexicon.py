"""Split text into sentences, words, stems and scripts, for ranking and for checking answers. Pure."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from functools import lru_cache
from itertools import islice, pairwise

from docwell.text.words import by_language, numbers

# A citation marker of an answer, `[3]` or `[1, 2]`.
MARKER = re.compile(r"\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]")

# Full stops that end a sentence before white space, and those that end one anywhere.
_SPACED_ENDS = ".!?…؟።։܀۔．"
_UNSPACED_ENDS = "。！？｡।॥၊။។"
SENTENCE_ENDS = _SPACED_ENDS + _UNSPACED_ENDS
_CLOSERS = r"[\"'”’»)\]}」』）】›]*"
# "Acme INC. [1]." is one sentence: the first full stop belongs to a short form.
_MARKERS_AFTER = r"(?:(?:\s*\[[\d,;\s]+\])+\.?)?"
_SENTENCE_END = re.compile(
    rf"(?:[{_SPACED_ENDS}]{_CLOSERS}{_MARKERS_AFTER}(?=\s|$)|[{_UNSPACED_ENDS}]{_CLOSERS}{_MARKERS_AFTER}|\n{{2,}})\s*"
)
# A full stop after an initial, a short form or the number of a list's item ends no sentence.
_NO_SENTENCE_END = re.compile(
    r"(?:\b[A-Z]|(?:^|\n)[ \t]*\d{1,2}"
    r"|\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|Sra|Gen|Sen|Rep|Gov|Capt|Col|Lt|Mt|Hr|Fr|No|Nos|Fig|Inc|Ltd|Co|Corp|Rev|vs|etc"
    r"|e\.g|i\.e|cf|approx|ca|bzw|inkl|Mio|Mrd|Tsd))\.\s*$"
)
# A full stop between a short form and its number, or in the date "3. Mai", ends no sentence either.
_NUMBERED = re.compile(
    r"\b(?:Nr|[Aa]rt|Abs|Ziff|Rn|Bd|Kap|Tab|[Ss]ec|[Ss]ect|[Cc]h|[Vv]ol|[Pp]ara?|pp?|S|n\u00ba|n\u00fam|p\u00e1g"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.$"
)
_DAY = re.compile(r"(?<![\d.,])\d{1,2}\.$")
_GERMAN_MONTH = re.compile(
    "(?:Januar|J\u00e4nner|Februar|M\u00e4rz|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember)\\b"
)
# "Bis zum frühen 18. Jahrhundert": after an article, the number is an ordinal. "Am 31." also ends a sentence.
_GERMAN_ORDINAL = re.compile(
    r"\b(?:(?:[iI]m|[zZ]ur|[bB]eim|de[rmns]|das)\s(?:[a-z\u00df-\u00ff]+e[nrsm]?\s)?"
    r"|(?:[aA]m|[zZ]um|[vV]om)\s[a-z\u00df-\u00ff]+e[nrsm]?\s)\d{1,2}\.$"
)
_LONGEST_SHORT_FORM, _LONGEST_ORDINAL = 8, 40
# Longer brackets are rather a bracket that is not closed and another.
_BRACKETS = re.compile(r"\([^()\n]{,300}\)|\[[^\[\]\n]{,300}\]")
# A row of a table, as its reader writes it: "batch: C-02 | litres: 318", or "C-02 | litres: 318" where the first
# column has no head. The whole row is one sentence.
_SHEET_ROW = re.compile(r"^(?:[^\n|:]+: [^\n]* \| |[^\n|]+ \| [^\n|:]+: )[^\n]*(?:\n|$)", re.MULTILINE)
# Vowel signs and accents are not in `\w`; without them a word would break into letters that any text has.
_SIGNS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7-\u06ed\u0900-\u0963\u0981-\u0df3\u0e31-\u0e4e\u0eb1-\u0ece\u0f71-\u0f84"
    "\u0f90-\u0fbc\u102b-\u103e\u1056-\u109d\u17b4-\u17d3"
)
_WORD = rf"[\w{_SIGNS}]+"
_LETTERS_OR_DIGITS = rf"[^\W\d_]+(?:(?!\d)[{_SIGNS}][^\W\d_]*)*|\d+"
# Patterns with the same matches for lower-case ASCII text, in 60% of the time.
_IN_ASCII = {_WORD: re.compile(r"\w+", re.ASCII), _LETTERS_OR_DIGITS: re.compile(r"[a-z]+|\d+", re.ASCII)}
# Thai, Lao, Khmer, kana and Chinese characters have no spaces between words.
UNSPACED = re.compile("[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")

_ALEF = "\u0627"  # every Arabic text has it
# "And" and the article, which Arabic joins to the next word; cut as light10 does (Larkey, Ballesteros and Connell,
# "Light Stemming for Arabic Information Retrieval", 2007).
_ARABIC_PARTICLES = re.compile(
    rf"(?<![\w{_SIGNS}])(?:(?:[\u0648\u0641\u0628\u0643]?\u0627\u0644|\u0644\u0644)(?=\w\w)|\u0648(?=\w{{3}}))"
)

# The cache size: most words of a text are among the few thousand that every text has.
_WORDS_KEPT = 8192
# The cache size: a question reads its passages several times, and the next question reads some of them again.
TEXTS_KEPT = 1024
_BEGINNING = 6

# The longest quote in characters; longer sentences are cut into windows.
MAX_QUOTE_CHARACTERS = 320
# A colon at the end of a line introduces a list, and a bullet or a number begins its items.
_LEAD_IN = re.compile(r"[:\uff1a][ \t]*(?:\n|$)")
_ITEM = re.compile(r"(?:[-*\u2022\u2023\u25aa\u25cf\u25e6\u2013\u2014\uf0b7]|\(?(?:\d{1,2}|[^\W\d_])[.)])\s")

# Function words do not say what a sentence is about.
FUNCTION_WORDS_OF = {name: frozenset(entries) for name, entries in by_language("function").items()}
FUNCTION_WORDS = FUNCTION_WORDS_OF["en"]
ALL_FUNCTION_WORDS = frozenset(word for known in FUNCTION_WORDS_OF.values() for word in known if len(word) > 1)
# A text in a language has at least this many of its function words, and this share; a table has fewer.
_LEAST_OF_LANGUAGE, _LEAST_SHARE_OF_LANGUAGE = 2, 0.1

# Number words and their digits: in English, and in German, French and Spanish.
SPELLED, SPELLED_ABROAD = (
    {word: str(number) for word, number in numbers(of_ones).items()}
    | {word: str(10 * number) for word, number in numbers(of_tens).items()}
    for of_ones, of_tens in (("number", "tens"), ("number_abroad", "tens_abroad"))
)
_VALUES = SPELLED | SPELLED_ABROAD


def sentences(text: str) -> list[str]:
    """Return the sentences of an answer. A marker after the full stop belongs to the sentence before it.

    Brackets that are closed hold no end of a sentence: "(incl. VAT)".
    """
    brackets = [match.span() for match in _BRACKETS.finditer(text)]
    cuts = [cut for cut in _cuts(text) if not any(start < cut < end for start, end in brackets)]
    return [piece for start, end in pairwise(cuts) if (piece := text[start:end].strip())]


def segments(text: str, longest: int = MAX_QUOTE_CHARACTERS) -> list[tuple[int, int]]:
    """Return (start, end) of each sentence, trimmed. One over `longest` is cut at line ends, or at blanks."""
    spans: list[tuple[int, int]] = []
    for start, end in pairwise(_cuts_of_passage(text)):
        position = start
        while position < end:
            stop = end
            if end - position > longest:
                # A table has no sentence ends: keep its rows whole.
                blank = text.rfind("\n", position + longest // 2, position + longest)
                if blank < 0:
                    blank = text.rfind(" ", position, position + longest)
                stop = blank + 1 if blank > position else position + longest
            if trimmed := text[position:stop].strip():
                left = text.index(trimmed, position)
                spans.append((left, left + len(trimmed)))
            position = stop
    return spans or [(0, len(text))]


def statements(text: str, longest: int = MAX_QUOTE_CHARACTERS) -> list[tuple[int, int]]:
    """Return the segments; one that introduces a list with a colon extends to the last item, up to `longest`."""
    spans: list[tuple[int, int]] = []
    for start, end in segments(text, longest):
        if spans and end - spans[-1][0] <= longest:
            before = text[slice(*spans[-1])]
            if before.endswith((":", "\uff1a")) or (_LEAD_IN.search(before) and _ITEM.match(text, start)):
                spans[-1] = (spans[-1][0], end)
                continue
        spans.append((start, end))
    return spans


def windows(text: str, longest: int = MAX_QUOTE_CHARACTERS) -> list[tuple[int, int]]:
    """Return (start, end) of each sentence, and of each pair of neighbours up to `longest` characters."""
    spans = segments(text, longest)
    pairs = [(start, end) for (start, _), (_, end) in pairwise(spans) if end - start <= longest]
    return [*spans, *pairs]


def _split(text: str, pattern: str = _WORD) -> list[str]:
    """Return the lower-case words in order; for unspaced scripts, each pair of neighbouring characters."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    if folded.isascii():
        return _IN_ASCII[pattern].findall(folded)
    if _ALEF in folded:
        folded = _ARABIC_PARTICLES.sub("", folded)
    matches = re.findall(pattern, folded)
    if not UNSPACED.search(folded):
        return matches
    pieces: list[str] = []
    for word in matches:
        pieces += map("".join, pairwise(word)) if len(word) > 1 and UNSPACED.search(word) else [word]
    return pieces


@lru_cache(TEXTS_KEPT)
def words(text: str) -> frozenset[str]:
    """Return the words of a text in the form for comparing."""
    return frozenset(_split(text))


def rarity(having: int, of: int) -> float:
    """Return the inverse document frequency of a word that `having` of the texts contain; always over 0."""
    return math.log(1 + of / (1 + having))


def beginnings(text: str) -> list[str]:
    """Return the words of a text in order, each cut to its first letters.

    This drops endings in any language: "requires" equals "requirement". Letters and digits are separate words:
    "FY2022" has "2022". Use it only for ranking: it equates too many words to check an answer.
    """
    return [word[:_BEGINNING] for word in _split(text, _LETTERS_OR_DIGITS)]


@lru_cache(TEXTS_KEPT)
def content_words(text: str) -> frozenset[str]:
    """Return the stems of the words that carry meaning: no function words, and small numbers in digits."""
    return frozenset(_VALUES.get(word) or stem(word) for word in words(text) if word not in FUNCTION_WORDS)


@lru_cache(_WORDS_KEPT)
def stem(word: str) -> str:
    """Return an English word without its ending, so that inflected forms are equal; other words unchanged.

    It is crude, so apply it to both sides of a comparison.
    """
    if not word.isascii():
        return word
    if word[:-1].isdecimal() and word.endswith("s"):
        return word[:-1]
    if word[:-2].isdecimal() and word.endswith(("st", "nd", "rd", "th")):
        return word[:-2]
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= len("pag"):
            word = word[: -len(ending)]
            break
    # "studies" gives "studi", so turn the "y" of "studying" into "i" too.
    return f"{word[:-1]}i" if word.endswith("y") and len(word) > len("pay") else word


@lru_cache(_WORDS_KEPT)
def fold(text: str) -> str:
    """Return a name in lower case without accents, as people type it."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def fold_each(text: str) -> str:
    """Return a text with each character folded to one character, so that places stay the same."""
    return text.lower() if text.isascii() else "".join(fold(character)[:1] or character for character in text)


@lru_cache(TEXTS_KEPT)
def script(text: str) -> str:
    """Return the script of most letters as Unicode names it ("LATIN", "CYRILLIC"), or "" without letters."""
    # Sample: looking up names is slow, and a few hundred letters show the script.
    letters = islice(filter(str.isalpha, text), 400)
    counts = Counter(
        "LATIN" if letter.isascii() else unicodedata.name(letter, "").partition(" ")[0] for letter in letters
    )
    return max(counts, key=counts.__getitem__, default="")


@lru_cache(TEXTS_KEPT)
def language_of(text: str) -> str:
    """Return the language that has most function words of a text, or "" if no language clearly has."""
    # No codes ("W-101"), and after the first word no names ("Der Spiegel").
    first, *later = re.findall(r"\b[^\W\d_]+\b(?!-\d)", text) or [""]
    tokens = [first.casefold(), *filter(str.islower, later)]
    counts = sorted((sum(map(known.__contains__, tokens)), name) for name, known in FUNCTION_WORDS_OF.items())
    (second, _), (most, name) = counts[-2:]
    least = max(_LEAST_OF_LANGUAGE, _LEAST_SHARE_OF_LANGUAGE * len(tokens))
    return name if most >= least and most > second else ""


@lru_cache(TEXTS_KEPT)
def _cuts_of_passage(text: str) -> tuple[int, ...]:
    """Return the cuts of a text, cached: passages are cut again and again, unlike a growing answer."""
    return _cuts(text)


def _cuts(text: str) -> tuple[int, ...]:
    """Return where sentences begin and end, from 0 to the length of the text."""
    inner = [match.end() for match in _SENTENCE_END.finditer(text) if _ends_sentence(text, match)]
    rows = [match.span() for match in _SHEET_ROW.finditer(text)]
    if rows:
        inner = [cut for cut in inner if not any(start < cut < end for start, end in rows)]
        inner += [border for row in rows for border in row]
    return tuple(sorted({0, *inner, len(text)}))


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    """Return whether a full stop, or a blank line, ends a sentence."""
    before = max(0, match.start() - _LONGEST_SHORT_FORM), match.start() + 1
    if _NO_SENTENCE_END.search(text, *before):
        return False
    following = text[match.end() : match.end() + 1]
    if "\n\n" in match[0] or not following:
        return True
    if following.isdecimal():
        return not _NUMBERED.search(text, *before)
    if following.islower() or (_DAY.search(text, *before) and _GERMAN_MONTH.match(text, match.end())):
        return False
    return not _GERMAN_ORDINAL.search(text, max(0, match.start() - _LONGEST_ORDINAL), match.start() + 1)


def is_sheet_row(sentence: str) -> bool:
    """Return whether a sentence is a row of a sheet."""
    return _SHEET_ROW.match(sentence) is not None
