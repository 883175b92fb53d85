"""``make eval-extraction``: docwell's text of PDFs against the truth of eight sets.

`--without` measures all sets again without each pass over a page's text, and writes docs/generated/extraction.md.
`--without NAME` measures one pass and writes nothing. The sets:

- papers: the Levenshtein ratio (0 to 100) of a paper's text to a human's, as `Levenshtein.ratio`;
- rows: the rows of numbers of real filings that stand on one line, by the places of their glyphs;
- excerpts: those of 40 characters that are found in articles of nine languages;
- headings: the bookmarks of real PDFs that are headings of their page;
- exponents: raised digits of a made-up page that stay apart from the figure before them;
- forms: the values and comments of made-up forms, which no page's content has;
- hidden: made-up pages that do not show a sentence and twins that do, read rightly (`benchmarks.hidden_text`);
- unreadable: pages of papers, good and spoiled (`BROKEN`), told apart.
"""

import argparse
import json
import random
import re
import string
import sys
import tempfile
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from ctypes import c_double
from functools import cache
from itertools import cycle, pairwise, product
from math import hypot
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple
from unittest.mock import patch

import pypdfium2
from pypdfium2 import raw

from benchmarks import hidden_text
from benchmarks.poison.kinds import FONT, one_page, pdf, stream
from docwell.adapters.documents import pdf_hidden, pdf_layout, pdf_notes, pdf_pages, pdf_text, quality
from docwell.adapters.documents.document_reader import page_of
from docwell.models import Page
from infra.progress import bar
from infra.report import EVALUATION, ROOT, Report

_LETTERS = string.ascii_lowercase


def _private(text: str, _seed: int) -> str:
    return "".join(letter if letter.isspace() else chr(0xE000 + ord(letter) % 256) for letter in text)


def _permuted(text: str, seed: int) -> str:
    order = "".join(random.Random(seed).sample(_LETTERS, 26))
    return text.translate(str.maketrans(_LETTERS + _LETTERS.upper(), order + order.upper()))


def _any_script(text: str, seed: int) -> str:
    chooser = random.Random(seed)
    blocks = (0x3B1, 0x430, 0x561, 0x5D0, 0x905, 0xE01, 0x10D0)
    table = {letter: chr(chooser.choice(blocks) + chooser.randrange(20)) for letter in set(text) - set(" \n")}
    return "".join(table.get(letter, letter) for letter in text)


BROKEN = (_private, _permuted, _any_script)

GOALS = {"papers": 98.5, "rows": 99, "forms": 99, "hidden": 100, "unreadable": 99}
# The processor time for drawing a page, as in ingest.
DRAWING_S = 1.5
# Pages from the middle of a filing, where the statements are; and pages with bookmarks of each PDF.
MIDDLE_PAGES, BOOKMARKED_PAGES = 10, 5
# A page of a paper in characters.
PAGE_CHARACTERS = 3000
LAST = 100_000
EXCERPT = 40
# White space, and the marks of direction that pdftotext adds.
_IGNORED = re.compile("[\\s\u00ad\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]+")
PAGE = ROOT / "docs" / "generated" / "extraction.md"
# Glyphs are on one line if their baselines differ by less (in points): programs round.
LEVEL = 1.0
# A gap between words, and the width of a letter at least, in type sizes.
GAP = 0.2
_NUMBER = r"[($\u20ac\u00a3-]*\d[\d,.]*[)%]*"
# Signs that a column may have beside its numbers, or in place of one.
_SIGN = "[$%()\u20ac\u00a3\u2013\u2014-]+"
_ROW = re.compile(rf"\D*?[A-Za-z]{{3}}\D*? {_NUMBER}(?: {_SIGN})* {_NUMBER}(?: (?:{_NUMBER}|{_SIGN}))*")
_VALUES = ("Größe der Straße", "1,250.00 (net)", "O'Hara, 氏名", "A-37 12%")
_COMMENT_KINDS = ("Text", "FreeText", "Highlight", "Underline", "StrikeOut", "Square")
# The PDF entries of a field of each kind, and its line in the text.
_FIELD_KINDS = (
    ("/FT/Tx/V{value}", "{value}"),
    ("/FT/Tx/Ff 4096/V{lines}", "{value} {second}"),
    ("/FT/Btn/V/Yes/AS/Yes/AP<</N<</Yes 4 0 R/Off 4 0 R>>>>", "checked"),
    ("/FT/Btn/Ff 32768/V/male/AS/male/AP<</N<</male 4 0 R/Off 4 0 R>>>>", "male"),
    ("/FT/Ch/Ff 131072/Opt[{second}{value}]/V{value}", "{value}"),
    ("/FT/Ch/Opt[{second}{value}]/V{value}", "{value}"),
    ("/FT/Tx", ""),
)


_GLYPHS, _NOTES = pdf_text.Glyphs, pdf_notes.Annotations
# The passes over a page's text: the object and attribute that implement each, and the replacement without it.
PASSES: dict[str, tuple[Any, str, Any]] = {
    "cells apart in a line": (_GLYPHS, "_ends_cell", lambda *_: False),
    "exponents in a line": (_GLYPHS, "_figures_apart", lambda _glyphs, text, begins, ends, _: text[begins:ends]),
    "brackets that run to the left": (pdf_text, "unmirrored", list),
    "unmapped glyphs of Indic words": (_GLYPHS, "mapped", lambda _glyphs, text: text),
    "all rows": (pdf_layout, "rows", list),
    "rows of tables": (pdf_layout, "_tables", lambda lines: lines),
    "running heads": (pdf_layout, "running", lambda *_: set()),
    "paragraphs": (pdf_layout, "_begins", lambda *_: False),
    "headings in bold": (pdf_layout, "_is_set_off", lambda line, size: line.size > pdf_layout.LARGER * size),
    "values of forms": (_NOTES, "_field", lambda *_: ""),
    "comments": (_NOTES, "_comment", lambda *_: ""),
    "drawing of doubtful text": (pdf_hidden.Pictures, "hidden", lambda *_: set()),
    "text off the page": (_GLYPHS, "within", lambda _glyphs, text, _box: (text, 0)),
    "replacement text": (pdf_hidden.Objects, "_says_something", lambda *_: False),
    "pairs of letters": (quality, "_rare_share", lambda _words: 0.0),
    "mixed scripts": (quality, "_mixes_scripts", lambda _text: False),
    "hyphens at line ends": (quality, "_has_hyphen", lambda *_: False),
}


class Sets(NamedTuple):
    """The files of all sets, and their truth."""

    papers: Mapping[Path, str]
    rows: Sequence[tuple[Path, int, Sequence[Sequence[Sequence[str]]]]]
    articles: Sequence[tuple[str, Path, Sequence[str]]]
    bookmarks: Sequence[tuple[Path, Mapping[int, Sequence[str]]]]
    form: tuple[Path, Sequence[str]]
    hidden: Sequence[tuple[Path, bool]]
    exponents: tuple[Path, Sequence[str]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, write the report. Return the exit status."""
    parser = argparse.ArgumentParser(prog="make eval-extraction", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--n", type=int, default=None, help="only the first N documents of each set and language")
    parser.add_argument("--without", nargs="?", const="", help="without each pass, or those whose name has TEXT")
    options = parser.parse_args(arguments)
    if not (EVALUATION / "extraction").is_dir():
        print(f"No folder {EVALUATION / 'extraction'}: set DOCWELL_EVAL.", file=sys.stderr)
        return 2
    report = Report("extraction")
    with tempfile.TemporaryDirectory() as folder:
        sets = read_sets(Path(folder), options.n)
        shares = measure(sets)
        for name, share in shares.items():
            goal = f">= {GOALS[name]}" if name in GOALS else None
            report.add(f"docwell: {name}", share, "%", goal)
        if options.without is not None:
            _without_passes(report, sets, shares, options)
    return report.finish()


def read_sets(folder: Path, count: int | None) -> Sets:
    """Return the sets; made-up files lie in the folder."""
    papers = sorted((EVALUATION / "extraction" / "pdf").glob("*.pdf"))[:count]
    filings = sorted([*EVALUATION.glob("financebench/pdf/*.pdf"), *EVALUATION.glob("filings2/pdf/*.pdf")])[:count]
    bookmarked = [*papers, *filings, *sorted(EVALUATION.glob("mmlongbench/pdf/*.pdf"))[:count]]
    kinds = [(make, True) for make in hidden_text.kinds("hidden").values()]
    kinds += [(make, False) for make in hidden_text.kinds("shown").values()]
    return Sets(
        {path: (path.parents[1] / "truth" / f"{path.stem}.txt").read_text(encoding="utf-8") for path in papers},
        [_middle_rows(path) for path in filings],
        list(_articles(count)),
        [(path, bookmarks) for path in bookmarked if (bookmarks := _bookmarks(path))],
        _form(folder),
        [
            (_written(folder / f"hidden-{number}.pdf", make()), is_hidden)
            for number, (make, is_hidden) in enumerate(kinds)
        ],
        _exponents(folder),
    )


def measure(sets: Sets) -> dict[str, float]:
    """Return docwell's share of each set in percent."""
    shares = {"papers": fmean(100 * ratio(_text_of(path), truth) for path, truth in sets.papers.items())}
    if sets.rows:
        shares["rows"] = _rows(sets)
    hits: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for language, path, paragraphs in sets.articles:
        for at, number in enumerate(count_excerpts(paragraphs, _text_of(path))):
            hits[language][at] += number
    shares |= {f"excerpts, {language}": 100 * of[0] / of[1] for language, of in sorted(hits.items())}
    if sets.bookmarks:
        shares["headings"] = _headings(sets)
    path, expected = sets.form
    plain = " ".join(_text_of(path).split())
    shares["forms"] = 100 * fmean(line in plain for line in expected)
    path, figures = sets.exponents
    shares["exponents"] = 100 * fmean(figure in _text_of(path) for figure in figures)
    right = [(hidden_text.SENTENCE in _text_of(path)) != is_hidden for path, is_hidden in sets.hidden]
    shares["hidden"] = 100 * fmean(right)
    shares["unreadable"] = _unreadable(list(sets.papers.values()))
    return shares


def _rows(sets: Sets) -> float:
    count = total = 0
    for path, first, of_pages in sets.rows:
        for rows, page in zip(of_pages, pages(path, first, first + len(of_pages) - 1), strict=True):
            lines = ["".join(unicodedata.normalize("NFKC", line).split()) for line in page.text.splitlines()]
            total += len(rows)
            count += sum(any(_has(line, row) for line in lines) for row in rows)
    return 100 * count / total


def _has(line: str, words: Sequence[str]) -> bool:
    """Return whether a line has all words, in order, whatever the blanks."""
    at = 0
    for word in (unicodedata.normalize("NFKC", word) for word in words):
        at = line.find(word, at)
        if at < 0:
            return False
        at += len(word)
    return True


def _headings(sets: Sets) -> float:
    count = total = 0
    for path, bookmarks in sets.bookmarks:
        for number, titles in bookmarks.items():
            headings = [_plain(heading.text) for page in pages(path, number, number) for heading in page.headings]
            total += len(titles)
            count += sum(any(_plain(title) in heading for heading in headings) for title in titles)
    return 100 * count / total


def _unreadable(truths: Sequence[str]) -> float:
    texts = [text[at : at + PAGE_CHARACTERS] for text in truths for at in range(0, len(text), PAGE_CHARACTERS)]
    right = [not quality.is_unreadable(text) for text in texts]
    for spoil in BROKEN:
        right += [quality.is_unreadable(spoil(text, seed)) for seed, text in enumerate(texts)]
    return 100 * fmean(right)


def _without_passes(report: Report, sets: Sets, shares: Mapping[str, float], options: argparse.Namespace) -> None:
    """Add what each set loses without each pass, in points, and write the page."""
    names = [name for name in PASSES if options.without in name]
    lines = list[str]()
    with bar("without a pass", len(names)) as step:
        for name in names:
            with ExitStack() as stack:
                stack.enter_context(patch.object(*PASSES[name]))
                losses = {of: shares[of] - share for of, share in measure(sets).items()}
            step()
            losses = {of: loss for of, loss in losses.items() if abs(loss) >= 0.005}
            for of, loss in losses.items():
                report.add(f"without {name}: {of}", loss, "points")
            cells = ", ".join(f"{of} {loss:.2f}" for of, loss in sorted(losses.items(), key=lambda item: -item[1]))
            lines.append(f"| {name} | {cells or 'nothing'} |\n")
    if not options.without:
        size = f"the first {options.n} documents" if options.n else "all documents"
        measured = "".join(f"| {name} | {share:.2f} |\n" for name, share in shares.items())
        PAGE.write_text(_PAGE_TEXT.format(size=size, measured=measured, lines="".join(lines)), encoding="utf-8")


_PAGE_TEXT = """# Extraction: the whole report

`make eval-extraction ARGS=--without` writes this page. The docstring of `benchmarks/extraction.py` says what the
sets are. Hidden text, forms and unreadable pages are made up; the others are {size} of each set and language.

| set | % |
| --- | ---: |
{measured}
The points that each set loses without a pass; a negative number is a gain. A pass that saves nothing is deleted.

| without | loses |
| --- | --- |
{lines}"""


def count_excerpts(truth: Iterable[str], text: str) -> tuple[int, int]:
    """Return how many excerpts of 40 characters of the truth's paragraphs a text has, and of how many.

    White space, marks of direction and compatibility forms do not count.
    """
    plain, hits, total = _unspaced(text), 0, 0
    for paragraph in map(_unspaced, truth):
        excerpts = [paragraph[at : at + EXCERPT] for at in range(0, len(paragraph) - EXCERPT + 1, EXCERPT)]
        total += len(excerpts)
        hits += sum(excerpt in plain for excerpt in excerpts)
    return hits, total


def _unspaced(text: str) -> str:
    return _IGNORED.sub("", unicodedata.normalize("NFKC", text))


def _middle_rows(path: Path) -> tuple[Path, int, Sequence[Sequence[Sequence[str]]]]:
    document = pypdfium2.PdfDocument(path)
    first = len(document) // 2 + 1
    numbers = range(first, min(first + MIDDLE_PAGES, len(document) + 1))
    return path, first, [rows_of(document[number - 1]) for number in numbers]


def _bookmarks(path: Path) -> Mapping[int, Sequence[str]]:
    """Return the titles of the bookmarks to the first pages that have some, by page."""
    titles: dict[int, list[str]] = defaultdict(list)
    for bookmark in pypdfium2.PdfDocument(path).get_toc(max_depth=4):
        target = bookmark.get_dest()
        index = target.get_index() if target else None
        if index is not None and len(_plain(bookmark.get_title())) > 3:
            titles[index + 1].append(bookmark.get_title())
    return dict(sorted(titles.items())[:BOOKMARKED_PAGES])


def _articles(count: int | None) -> Iterator[tuple[str, Path, Sequence[str]]]:
    """Yield the language, the PDF and the paragraphs of each article."""
    truth = EVALUATION / "xquad" / "ground_truth_text_dev.json"
    languages: Counter[str] = Counter()
    for article in json.loads(truth.read_text(encoding="utf-8")) if truth.exists() else ():
        languages[article["lang"]] += 1
        if count and languages[article["lang"]] > count:
            continue
        yield article["lang"], truth.parent / "pdf" / Path(article["file"]).name, article["paragraphs"]


def _exponents(folder: Path) -> tuple[Path, Sequence[str]]:
    """Return a page of figures with raised digits, and the figures as docwell writes them."""
    figures = ["10^6", "10^-3", "10^12", "2.5^1,2", "1,250^6", "1,250^-3"]
    line = "BT /F 12 Tf 72 {} Td (About {}) Tj /F 7 Tf 5 Ts ({}) Tj 0 Ts /F 12 Tf ( cells.) Tj ET\n"
    lines = (line.format(700 - 20 * at, *figure.split("^")) for at, figure in enumerate(figures))
    return _written(folder / "exponents.pdf", one_page(stream("".join(lines).encode()))), figures


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def pages(path: Path, first: int = 1, last: int = LAST) -> Iterator[Page]:
    """Yield the pages of a file as the child reads them with PDFium, in this process."""
    document = pdf_pages.Pdfium(str(path), lambda: None)
    for number in range(first, min(last, document.count()) + 1):
        answer = document.page(number - 1, first - 1, DRAWING_S)
        yield page_of(number, answer._replace(text="" if answer.unreadable else answer.text))


def _text_of(path: Path) -> str:
    return "\n".join(page.text for page in pages(path))


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).lower()))


@cache  # most passes change few papers, and a long paper takes seconds
def ratio(text: str, truth: str) -> float:
    """Return the Levenshtein ratio (0 to 1): twice the longest common subsequence over both lengths.

    H. Hyyrö, "Bit-parallel LCS-length computation revisited" (2004) takes seconds for 150,000 characters.

    >>> ratio("kitten", "sitting")
    0.6153846153846154
    """
    if not text or not truth:
        return float(text == truth)
    places = {
        letter: int("".join("1" if letter == place else "0" for place in reversed(truth)), 2)
        for letter in set(truth)
    }
    all_bits = (1 << len(truth)) - 1
    unmatched = all_bits
    for letter in text:
        matched = unmatched & places.get(letter, 0)
        if matched:
            unmatched = ((unmatched + matched) | (unmatched - matched)) & all_bits
    common = len(truth) - unmatched.bit_count()
    return 2 * common / (len(text) + len(truth))


class Glyph(NamedTuple):
    """A character with its left and right ends, its baseline and its type size, in points."""

    letter: str
    left: float
    right: float
    baseline: float
    size: float


def rows_of(page: pypdfium2.PdfPage) -> list[list[str]]:
    """Return the words of each row of numbers of a page; none for a turned page.

    A row is the text on one baseline, from left to right: a label of words, then at least two numbers and nothing
    else. Lines of prose are seldom rows.
    """
    if page.get_rotation():
        return []
    lines: list[list[Glyph]] = []
    for glyph in sorted(_glyphs(page), key=lambda glyph: -glyph.baseline):
        if not lines or lines[-1][-1].baseline - glyph.baseline >= LEVEL:
            lines.append([])
        lines[-1].append(glyph)
    return [words for line in lines if _ROW.fullmatch(" ".join(words := _words(line)))]


def _glyphs(page: pypdfium2.PdfPage) -> Iterator[Glyph]:
    """Yield the page's level glyphs."""
    text = page.get_textpage()
    ends, matrix = [c_double() for _ in range(4)], raw.FS_MATRIX()
    for index in range(text.count_chars()):
        letter = chr(raw.FPDFText_GetUnicode(text, index))
        if letter.isspace() or not letter.isprintable() or raw.FPDFText_GetCharAngle(text, index) > 0.01:
            continue
        raw.FPDFText_GetCharBox(text, index, *ends)
        left, right = ends[0].value, ends[1].value
        raw.FPDFText_GetCharOrigin(text, index, ends[0], ends[1])
        raw.FPDFText_GetMatrix(text, index, matrix)
        size = raw.FPDFText_GetFontSize(text, index) * hypot(matrix.c, matrix.d)
        yield Glyph(letter, left, right, ends[1].value, size)
    text.close()


def _words(line: Sequence[Glyph]) -> list[str]:
    words: list[str] = []
    right = float("-inf")
    for glyph in sorted(line, key=lambda glyph: glyph.left):
        if glyph.left - right > GAP * glyph.size or not words:
            words.append("")
        words[-1] += glyph.letter
        right = glyph.right
    return words


def _form(folder: Path) -> tuple[Path, Sequence[str]]:
    """Return a page with a field of each kind for each value, and comments; and the lines to extract."""
    notes, labels, expected = list[str](), list[str](), list[str]()
    for row, ((form, line), (value, second)) in enumerate(product(_FIELD_KINDS, pairwise(_VALUES))):
        y, entries = 760 - 24 * row, form
        for key, text in (("value", value), ("second", second), ("lines", f"{value}\r{second}")):
            entries = entries.replace(f"{{{key}}}", _hex(text))
        box = f"/Rect[300 {y} 520 {y + 18}]/F 4/TU{_hex(f'Field {row}')}"
        notes.append(f"<</Type/Annot/Subtype/Widget/T(f{row}){box}{entries}>>")
        labels.append(f"1 0 0 1 60 {y + 4} Tm (Line {row} of the form) Tj")
        expected += [f"[Field {row}: {line.format(value=value, second=second)}]"] if line else []
    fields = " ".join(f"{number + 6} 0 R" for number in range(len(notes)))
    for row, (kind, text) in enumerate(zip(_COMMENT_KINDS, cycle(_VALUES))):
        place = f"/Rect[60 {60 + 20 * row} 260 {74 + 20 * row}]/F 4"
        notes.append(f"<</Type/Annot/Subtype/{kind}/Contents{_hex(text)}/T(Ann){place}>>")
        expected.append(f"[Text box: {text}]" if kind == "FreeText" else f"[Comment by Ann: {text}]")
    fonts, numbers = "<</Font<</F 5 0 R>>>>", " ".join(f"{number + 6} 0 R" for number in range(len(notes)))
    page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Annots[{numbers}]/Resources{fonts}>>"
    content = stream(f"BT /F 10 Tf {chr(10).join(labels)} ET".encode())
    objects = [b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page.encode(), content, FONT]
    catalog = f"/Pages 2 0 R/AcroForm<</Fields[{fields}]/DR{fonts}/DA(/F 12 Tf 0 g)>>".encode()
    return _written(
        folder / "form.pdf", pdf([*objects, *(note.encode() for note in notes)], catalog=catalog)
    ), expected


def _hex(text: str) -> str:
    return f"<feff{text.encode('utf-16-be').hex()}>"


if __name__ == "__main__":
    sys.exit(main())
