"""The pages of indexed documents, from a reader other than docwell's, and checks of their text."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pypdfium2

# PDFium writes U+FFFE, and older versions U+0002, for a hyphen at the end of a line.
_HYPHENS = "\\-\u00ad\u2010\u2011\ufffe\x02"
_SPLIT_WORD = re.compile(rf"(?<=\w)[{_HYPHENS}]\s*\n\s*|[\u00ad\ufffe\x02]\s*")
# Also ignore bullets of symbol fonts, which PDFium writes as private or control characters.
_LOOSE = re.compile(rf"[\s{_HYPHENS}\u200b\x00-\x1f\x7f-\x9f\ue000-\uf8ff]+")
_WORD = re.compile(r"\w+")
# Shorter answers, such as "3", also occur inside other words and figures.
_LEAST_SQUEEZED = 8


@dataclass(frozen=True, slots=True)
class Indexed:
    """A document in the index: its file, and the version that was uploaded."""

    path: Path
    version: str


@cache
def page_texts(path: Path) -> tuple[str, ...]:
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


def says(text: str, answer: str) -> bool:
    r"""Whether a text contains an answer, word for word.

    >>> says("It has 124 yards.", "24"), says("an inter-\nception by Miller", "interception")
    (False, True)
    """
    phrase, spaced = words(answer), f" {' '.join(words(text))} "
    if not phrase:
        return False
    if f" {' '.join(phrase)} " in spaced:
        return True
    # A line can break at the hyphen of a compound.
    squeezed = "".join(phrase)
    return len(squeezed) >= _LEAST_SQUEEZED and squeezed in spaced.replace(" ", "")
