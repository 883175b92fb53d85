"""The words that can name a figure. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

from docwell.query.checking.facts import SCALES
from docwell.text.lexicon import TEXTS_KEPT, UNSPACED, content_words, stem

# Cut stems to their first letters, so that "employs" and "employees" are equal, and German endings too.
_BEGINNING = 6
_SCALE_STEMS = frozenset(map(stem, SCALES)) | {stem(word + "s") for word in SCALES}
_DIGIT = re.compile(r"\d")

# Words of asking and grammar in Chinese and Japanese: beside them, a word would be cut into wrong pairs of signs.
_ASKING = re.compile(
    "\u662f\u591a\u5c11|\u591a\u5c11|\u51e0|\u4ec0\u4e48|\u54ea\u91cc|\u54ea\u4e9b|\u54ea\u4e2a"
    "|\u54ea|\u8c01|\u4f55\u65f6|\u5417|\u5462|\u662f|\u7684"
    "|\u3044\u304f\u3089\u3067\u3059\u304b|\u3044\u304f\u3089|\u3044\u3064"
    "|\u3069\u306e\u304f\u3089\u3044|\u3069\u308c\u304f\u3089\u3044|\u3069\u3053|\u8ab0"
    "|\u3060\u308c|\u4f55|\u3067\u3059\u304b|\u307e\u3059\u304b|\u3067\u3057\u3087\u3046\u304b"
    "|\u306f|\u306e"
)


@lru_cache(TEXTS_KEPT)
def labels(text: str) -> frozenset[str]:
    """Return the words that can name a figure: beginnings of stems, without figures."""
    return frozenset(
        word[:_BEGINNING]
        for word in content_words(text)
        if not (word.isdecimal() or word in _SCALE_STEMS or (UNSPACED.search(word) and _DIGIT.search(word)))
    )


def asked_labels(question: str) -> frozenset[str]:
    """Return the words of a question, without those that ask if it has others."""
    return labels(_ASKING.sub(" ", question)) or labels(question)
