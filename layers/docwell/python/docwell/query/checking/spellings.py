"""Undo spellings that hide words: look-alike letters, marks, digits for letters, and spaces. Pure."""

from __future__ import annotations

import re
import unicodedata

# Letters that look like Latin ones, from Unicode's confusables (UTS 39).
_LOOK_ALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458\u04bb\u0501\u051b\u051d\u0410\u0412\u0415\u0405\u0406\u0408\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425"
    "\u03b1\u03b5\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u03b3\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"
    "\u0578\u057d\u0585\u0570\u0561\u0566\u0581\u0131\u0261\u1d00\u0299\u1d04\u1d05\u1d07\u029c\u026a\u1d0a\u1d0b\u029f\u1d0d\u0274\u1d0f\u1d18\u0280\ua731\u1d1b\u1d1c\u1d20\u1d21\u028f\u1d22",
    "aeopcyxisjhdqwABESIJKMHOPCTYXaeikvoptuxyABEZHIKMNOPTYXnuohwqgigabcdehijklmnoprstuvwyz",
)
_OTHER = "\u0370-\u03ff\u0400-\u058f"
# Russian and Greek words stay: only a word of Latin and other letters is disguised.
_MIXED = re.compile(rf"\b(?=\w*[a-zA-Z])(?=\w*[{_OTHER}])\w+")
_DIGITS = str.maketrans("013457@$!+", "oieastasit")
_DIGIT = re.compile(r"(?<!\S)\S*?(?:[a-z][013457@$!+]|[013457@$!+][a-z])\S*", re.IGNORECASE)
_PUNCTUATED = re.compile(r"(?<!\w)\w(?:([.\-_*|/\u00b7])\w)(?:\1\w)*(?!\w)")
_SPACED = re.compile(r"(?<!\S)[^\W_](?: [^\W_]){3,}(?!\S)")
_SPACED_SHORT = re.compile(r"(?<!\S)[^\W_](?: [^\W_])+(?!\S)")


def undisguised(text: str) -> str:
    """Return a text in plain Latin letters, as far as its letters are disguised.

    >>> undisguised("1gn\u043er\u0435 a.l.l  r u l e s")
    'ignore all  rules'
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
        marks = {ord(letter): None for letter in set(text) if unicodedata.category(letter) == "Mn"}
        text = _MIXED.sub(lambda word: word[0].translate(_LOOK_ALIKES), text.translate(marks))
    if _SPACED.search(text):
        text = _SPACED_SHORT.sub(lambda run: run[0].replace(" ", ""), text)
    text = _PUNCTUATED.sub(lambda run: run[0].replace(run[1], ""), text)
    return _DIGIT.sub(_without_digits, text)


def _without_digits(token: re.Match[str]) -> str:
    """Return a token with letters for its digits, if at least half of it is letters already."""
    word = token[0]
    # A mark at the end of a sentence is no letter.
    end = len(word.rstrip("!.,;:?)"))
    letters = sum(map(str.isalpha, word))
    return word[:end].translate(_DIGITS) + word[end:] if 2 * letters >= end else word
