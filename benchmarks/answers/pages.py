"""The text of pages by another reader than docwell's, and the search for a quote or an answer in it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pypdfium2

# PDFium gives U+FFFE, and older ones U+0002, for a hyphen at the end of a line.
_HYPHENS = "\\-\u00ad\u2010\u2011\ufffe\x02"
_SPLIT_WORD = re.compile(rf"(?<=\w)[{_HYPHENS}]\s*\n\s*|[\u00ad\ufffe\x02]\s*")
_LOOSE = re.compile(rf"[\s{_HYPHENS}\u200b]+")
_WORD = re.compile(r"\w+")
# Shorter answers, such as "3", also occur inside other words and figures.
_LEAST_SQUEEZED = 8


@cache
def page_texts(path: Path) -> tuple[str, ...]:
    """Return the text of each page, the first page first."""
    document = pypdfium2.PdfDocument(path)
    try:
        return tuple(page.get_textpage().get_text_range() for page in document)
    finally:
        document.close()


def stands_verbatim(quote: str, text: str) -> bool:
    r"""Whether a text contains a quote, up to white space and hyphenation; a blank quote is never contained.

    >>> stands_verbatim("an inter- national treaty", "signed an inter-\nnational\ntreaty in 1921")
    True
    """
    squeezed = _LOOSE.sub("", quote)
    return bool(squeezed) and squeezed in _LOOSE.sub("", text)


@cache
def words(text: str) -> tuple[str, ...]:
    """Return the words in lower case, and join words that are split at the end of a line."""
    return tuple(_WORD.findall(_SPLIT_WORD.sub("", text.replace("\r", "")).casefold()))


@cache
def _spaced(text: str) -> str:
    return f" {' '.join(words(text))} "


def says(text: str, answer: str) -> bool:
    r"""Whether a text contains an answer, word for word.

    >>> says("It has 124 yards.", "24"), says("an inter-\nception by Miller", "interception")
    (False, True)
    """
    wanted = words(answer)
    if not wanted:
        return False
    if _spaced(answer) in _spaced(text):
        return True
    # A line can break at a compound's own hyphen.
    squeezed = "".join(wanted)
    return len(squeezed) >= _LEAST_SQUEEZED and squeezed in _spaced(text).replace(" ", "")
