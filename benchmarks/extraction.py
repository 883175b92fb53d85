"""``make eval-extraction``: docwell's text of PDFs against the truth of eight sets, beside PDFium.

`--without` measures all sets again without each pass over a page's text, and writes docs/generated/extraction.md.
`--without NAME` measures one pass and writes nothing. The sets:

- papers: the Levenshtein ratio (0 to 100) of a paper's text to a human's, as `Levenshtein.ratio`;
- rows: the rows of numbers of real filings that stand on one line (`benchmarks.filing_rows`);
- excerpts: those of 40 characters that are found in articles of nine languages;
- headings: the bookmarks of real PDFs that are headings of their page;
- exponents: raised digits of a made-up page that stay apart from the figure before them;
- forms: the values and comments of made-up forms (`benchmarks.forms`);
- hidden: made-up pages that do not show a sentence and twins that do, read rightly (`benchmarks.hidden_text`);
- unreadable: pages of papers, good and spoiled (`benchmarks.broken_maps`), told apart.
"""

import argparse
import json
import re
import sys
import tempfile
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple
from unittest.mock import patch

import pypdfium2

from benchmarks import filing_rows, forms, hidden_text
from benchmarks.broken_maps import BROKEN
from benchmarks.poison.build import one_page, stream
from docwell.adapters.documents import pdf_hidden, pdf_layout, pdf_notes, pdf_pages, pdf_text, quality
from docwell.adapters.documents.document_reader import page_of
from docwell.models import Page
from infra.progress import bar
from infra.report import EVALUATION, ROOT, Report

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
_NEVER = re.compile("(?!)()")  # with a group, which replacements name


class Pass(NamedTuple):
    """A pass over a page's text: the object and attribute that implement it, and the replacement without it."""

    owner: Any
    attribute: str
    without: Any


_GLYPHS, _NOTES = pdf_text.Glyphs, pdf_notes.Annotations
PASSES: dict[str, Pass] = {
    "cells apart in a line": Pass(_GLYPHS, "_ends_cell", lambda *_: False),
    "exponents in a line": Pass(_GLYPHS, "_figures_apart", lambda _glyphs, text, *_: text),
    "brackets that run to the left": Pass(pdf_text, "unmirrored", list),
    "unmapped glyphs of Indic words": Pass(_GLYPHS, "mapped", lambda _glyphs, text: text),
    "all rows": Pass(pdf_layout, "rows", list),
    "rows of tables": Pass(pdf_layout, "_tables", lambda lines: lines),
    "running heads": Pass(pdf_layout, "running", lambda *_: set()),
    "paragraphs": Pass(pdf_layout, "_begins", lambda *_: False),
    "headings in bold": Pass(pdf_layout, "_is_set_off", lambda line, size: line.size > pdf_layout.LARGER * size),
    "values of forms": Pass(_NOTES, "_field", lambda *_: ""),
    "comments": Pass(_NOTES, "_comment", lambda *_: ""),
    "drawing of doubtful text": Pass(pdf_hidden.Pictures, "hidden", lambda *_: set()),
    "text off the page": Pass(_GLYPHS, "within", lambda _glyphs, text, _box: (text, 0)),
    "replacement text": Pass(pdf_hidden.Objects, "_says_something", lambda *_: False),
    "pairs of letters": Pass(quality, "_pair_grade", lambda _words: 9.0),
    "mixed scripts": Pass(quality, "_mixes_scripts", lambda _text: False),
    "hyphens at line ends": Pass(quality, "_has_hyphen", lambda *_: False),
    "words whole at line ends": Pass(quality, "_REST_OF_WORD", _NEVER),
}


class Sets(NamedTuple):
    """The files of all sets, and their truth."""

    papers: Mapping[Path, str]
    rows: Sequence[tuple[Path, int, Sequence[Sequence[Sequence[str]]]]]
    articles: Sequence[tuple[str, Path, Sequence[str]]]
    bookmarks: Sequence[tuple[Path, Mapping[int, Sequence[str]]]]
    forms: Sequence[tuple[Path, Sequence[str]]]
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
        if options.without is None:
            _compare(report, sets)
        else:
            _without_passes(report, sets, shares, options)
    return report.finish()


def read_sets(folder: Path, count: int | None) -> Sets:
    """Return the sets; made-up files lie in the folder."""
    papers = sorted((EVALUATION / "extraction" / "pdf").glob("*.pdf"))[:count]
    filings = sorted([*EVALUATION.glob("financebench/pdf/*.pdf"), *EVALUATION.glob("filings2/pdf/*.pdf")])[:count]
    bookmarked = [*papers, *filings, *sorted(EVALUATION.glob("mmlongbench/pdf/*.pdf"))[:count]]
    kinds = [(make, True) for make in hidden_text.hidden_kinds().values()]
    kinds += [(make, False) for make in hidden_text.shown_kinds().values()]
    return Sets(
        {path: (path.parents[1] / "truth" / f"{path.stem}.txt").read_text(encoding="utf-8") for path in papers},
        [_middle_rows(path) for path in filings],
        list(_articles(count)),
        [(path, bookmarks) for path in bookmarked if (bookmarks := _bookmarks(path))],
        [
            (_written(folder / f"form-{number}.pdf", content), expected)
            for number, (content, expected) in enumerate(forms.forms())
        ],
        [
            (_written(folder / f"hidden-{number}.pdf", make()), is_hidden)
            for number, (make, is_hidden) in enumerate(kinds)
        ],
        _exponents(folder),
    )


def measure(sets: Sets) -> dict[str, float]:
    """Return docwell's share of each set in percent."""
    shares = {"papers": fmean(100 * _likeness(_joined(path), path, truth) for path, truth in sets.papers.items())}
    if sets.rows:
        shares["rows"] = _rows(sets, lambda path, first, last: [page.text for page in pages(path, first, last)])
    hits: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for language, path, paragraphs in sets.articles:
        for at, number in enumerate(count_excerpts(paragraphs, _joined(path))):
            hits[language][at] += number
    shares |= {f"excerpts, {language}": 100 * of[0] / of[1] for language, of in sorted(hits.items())}
    if sets.bookmarks:
        shares["headings"] = _headings(sets)
    values = [(forms.count_lines(expected, _joined(path)), len(expected)) for path, expected in sets.forms]
    shares["forms"] = 100 * sum(count for count, _ in values) / sum(total for _, total in values)
    path, figures = sets.exponents
    shares["exponents"] = 100 * fmean(figure in _joined(path) for figure in figures)
    right = [(hidden_text.SENTENCE in _joined(path)) != is_hidden for path, is_hidden in sets.hidden]
    shares["hidden"] = 100 * fmean(right)
    shares["unreadable"] = _unreadable(list(sets.papers.values()))
    return shares


def _rows(sets: Sets, read: Callable[[Path, int, int], Sequence[str]]) -> float:
    count = total = 0
    for path, first, of_pages in sets.rows:
        total += sum(map(len, of_pages))
        texts = read(path, first, first + len(of_pages) - 1)
        count += sum(filing_rows.count_rows(rows, text) for rows, text in zip(of_pages, texts, strict=False))
    return 100 * count / total


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
    for spoil in BROKEN.values():
        right += [quality.is_unreadable(spoil(text, seed)) for seed, text in enumerate(texts)]
    return 100 * fmean(right)


def _compare(report: Report, sets: Sets) -> None:
    """Add the shares of PDFium alone, and the processor time of both."""
    likeness = [
        100 * _likeness("\n".join(_pdfium(path, 1, LAST)), path, text) for path, text in sets.papers.items()
    ]
    report.add("PDFium: papers", fmean(likeness), "%")
    if sets.rows:
        report.add("PDFium: rows", _rows(sets, _pdfium), "%")
    readers: dict[str, Callable[..., Sequence[Any]]] = {"docwell": lambda *of: list(pages(*of)), "PDFium": _pdfium}
    for name, read in readers.items():
        started = time.process_time()
        count = sum(len(read(path, 1, LAST)) for path in sets.papers)
        report.add(f"{name}: processor time a page", 1000 * (time.process_time() - started) / count, "ms")


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
    return path, first, [filing_rows.rows(document[number - 1]) for number in numbers]


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


def _joined(path: Path) -> str:
    return "\n".join(page.text for page in pages(path))


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).lower()))


_scored: dict[tuple[Path, str], float] = {}


def _likeness(text: str, path: Path, truth: str) -> float:
    # Most passes change few papers, and a long paper takes seconds.
    if (path, text) not in _scored:
        _scored[path, text] = ratio(text, truth)
    return _scored[path, text]


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


def _pdfium(path: Path, first: int, last: int) -> list[str]:
    document = pypdfium2.PdfDocument(path)
    numbers = range(first - 1, min(last, len(document)))
    return [document[number].get_textpage().get_text_range().replace("\r", "") for number in numbers]


if __name__ == "__main__":
    sys.exit(main())
