"""Names of documents' files, as questions and rankings use them. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

from docwell.media_types import MEDIA_TYPES
from docwell.text.lexicon import beginnings

NAMES_KEPT = 4096
# Only suffixes of document files: the end of "v2.1 draft" is no suffix.
_SUFFIXES = rf"(?:{'|'.join(map(re.escape, MEDIA_TYPES))})"
_SUFFIX = re.compile(rf"{_SUFFIXES}\Z", re.IGNORECASE)
DOCUMENT_SUFFIX = re.compile(rf"{_SUFFIXES}(?![a-z0-9])", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\W_]+")


def file_words(key: str) -> str:
    """Return the words of a key's file name without its suffix: "ACME 2022 10K" of a/ACME_2022-10K.pdf."""
    return _SEPARATORS.sub(" ", _SUFFIX.sub("", key.rpartition("/")[2])).strip()


@lru_cache(NAMES_KEPT)
def file_beginnings(key: str) -> frozenset[str]:
    """Return the words of a key's file name in the form that rankings compare."""
    return frozenset(beginnings(file_words(key)))


def file_suffix(text: str, at: int = 0) -> str:
    """Return the suffix of a document's file at this place: ".docx" for "minutes.docx" at 7, or ""."""
    match = DOCUMENT_SUFFIX.match(text, at)
    return match[0].lower() if match else ""
