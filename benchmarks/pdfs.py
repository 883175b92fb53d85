"""PDFs from plain text, the same bytes on each run."""

import random
import textwrap

from benchmarks.poison import kinds

_LINE_CHARACTERS = 80
_LINES = 44
_SENTENCE_WORDS = 15
# The embedding model makes about 1.1 tokens of each word, as in real reports.
_WORDS = (
    "the of and to in for is on that by this with you it not or be are from at as your all have new more an was "
    "report revenue operating income quarter compared increase decrease percent million capital expenditure "
    "management believes results cash flow equity assets liabilities customers products services segment market "
    "growth costs expenses tax rate interest foreign currency risk contract agreement period ended december fiscal"
)


def pdf(pages: list[str]) -> bytes:
    """Return a PDF with one text a page in Helvetica, wrapped; a page holds about 350 words."""
    number = 2 * len(pages) + 3  # of the font; a page is followed by its content
    kids = b" ".join(b"%d 0 R" % kid for kid in range(3, number, 2))
    objects = [b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, len(pages))]
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents %d 0 R/Resources<</Font<</F1 %d 0 R>>>>>>"
    for content, text in zip(range(4, number, 2), pages, strict=True):
        objects += [page % (content, number), kinds.flate(text_content(text))]
    font = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"
    return kinds.pdf([*objects, font])


def pages_of_words(pages: int, words: int, seed: str = "") -> bytes:
    """Return a PDF with about `words` words a page, 350 at most. Another seed gives other words."""
    chooser = random.Random(f"{pages} {words} {seed}")
    return pdf([f"Page {number}. {_sentences(chooser, words)}" for number in range(1, pages + 1)])


def _sentences(chooser: random.Random, words: int) -> str:
    lengths = [_SENTENCE_WORDS] * (words // _SENTENCE_WORDS) + [words % _SENTENCE_WORDS or _SENTENCE_WORDS]
    words_of_reports = _WORDS.split()
    return " ".join(f"{' '.join(chooser.choices(words_of_reports, k=length)).capitalize()}." for length in lengths)


def text_content(text: str) -> bytes:
    """Return the content of a page with a text, wrapped."""
    lines = [
        line
        for paragraph in text.splitlines()
        for line in textwrap.wrap(paragraph, _LINE_CHARACTERS, break_on_hyphens=False)
    ]
    escaped = (line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") for line in lines[:_LINES])
    shown = "\n".join(f"({line}) Tj T*" for line in escaped)
    return f"BT /F1 10 Tf 14 TL 50 800 Td\n{shown}\nET".encode("cp1252", "replace")
