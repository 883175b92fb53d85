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


@lru_cache(TEXTS_KEPT)
def labels(text: str) -> frozenset[str]:
    """Return the words that can name a figure: beginnings of stems, without figures."""
    return frozenset(
        word[:_BEGINNING]
        for word in content_words(text)
        if not (word.isdecimal() or word in _SCALE_STEMS or (UNSPACED.search(word) and _DIGIT.search(word)))
    )
