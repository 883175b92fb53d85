"""``make eval-extraction``: docwell's text of papers against a human's, beside pypdf and PDFium.

It reads each PDF of `extraction/pdf` and scores the whole text by its Levenshtein ratio (0 to 100) to the file of
the same name in `extraction/truth`, as `Levenshtein.ratio` does. The other libraries read page by page with their
defaults. It also counts:

- the rows of made-up pages (`benchmarks.layouts`) that stand on one line;
- the pages of the truth that are taken for unreadable, as they are and spoiled (`benchmarks.broken_maps`);
- the pages of the papers and filings with a wrong letter (`benchmarks.wrong_letters`) that are seen, and others;
- the values and comments of made-up forms (`benchmarks.forms`) that are read;
- the defects in the first pages of real filings (`benchmarks.defects`);
- the rows of numbers in their middle that stand on one line (`benchmarks.filing_rows`);
- the excerpts of articles in other scripts (`benchmarks.scripts`) that are found, beside pdftotext where it is
  installed.
"""

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from statistics import fmean

import pypdf
import pypdfium2

from benchmarks import filing_rows, forms, layouts, scripts, wrong_letters
from benchmarks.broken_maps import BROKEN, PARTLY
from benchmarks.defects import defects
from benchmarks.reading import default_reader
from docwell.adapters.documents.text_quality import is_unreadable, judge
from docwell.models import Page
from infra.progress import bar
from infra.report import EVALUATION, Report

GOAL = ">= 98.5"
ROWS_GOAL, SEEN_GOAL, ACCUSED_GOAL = ">= 95", ">= 95", "<= 0.2"
# A page of a paper in characters.
PAGE_CHARACTERS = 3000
NOTES_GOAL, DEFECTS_GOAL, FILING_ROWS_GOAL = ">= 99", "<= 2", ">= 99"
# The first range of a filing, and pages from its middle on, where the statements are.
FILING_PAGES, MIDDLE_PAGES = 50, 10
SHOWN_DEFECTS = 10
# Languages that run to the left, have no spaces or draw vowels as signs around their letters.
LANGUAGES = {"ar": "Arabic", "hi": "Hindi", "th": "Thai", "zh": "Chinese"}
DOWNWARD = "Japanese, downward"
# Made-up text: no two columns of a page are equal.
_JAPANESE = "春の朝早く山の上の小さな駅に列車が着くと人々は荷物を持って静かに降り川沿いの道を町まで歩いて行った"
DOCWELL = "docwell"
# More pages than any file has.
ALL = 100_000


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make eval-extraction", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--n", type=int, default=None, help="only the first N documents")
    parser.add_argument("--folder", type=Path, default=EVALUATION / "extraction", help="has pdf/ and truth/")
    options = parser.parse_args(arguments)
    paths = sorted((options.folder / "pdf").glob("*.pdf"))[: options.n]
    if not paths:
        print(f"No PDFs in {options.folder / 'pdf'}: set DOCWELL_EVAL or give --folder.", file=sys.stderr)
        return 2
    report = Report("extraction")
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    scores: dict[str, dict[str, float]] = {}
    cost: dict[str, float] = {}
    with bar("reading", len(paths) * len(READERS)) as step:
        for name, read in READERS.items():
            scores[name], seconds, pages = {}, 0.0, 0
            for path in paths:
                truth = (options.folder / "truth" / f"{path.stem}.txt").read_text(encoding="utf-8")
                started = _processor_s()
                texts = read(path)
                seconds += _processor_s() - started
                pages += len(texts)
                scores[name][path.stem] = 100 * ratio("\n".join(texts), truth)
                step()
            cost[name] = 1000 * seconds / max(1, pages)
    for name, own in scores.items():
        goal = GOAL if name == DOCWELL else None
        report.add(f"{name}: text like a human's, mean of {len(paths)}", fmean(own.values()), "%", goal)
        report.add(f"{name}: processor time a page", cost[name], "ms")
    report.add("docwell: the worst document", min(scores[DOCWELL].values()), "%")
    _rows(report)
    _wrong_letters(report, paths)
    _garbled(report, [options.folder / "truth" / f"{path.stem}.txt" for path in paths])
    _forms(report)
    filings = sorted([*EVALUATION.glob("financebench/pdf/*.pdf"), *EVALUATION.glob("filings2/pdf/*.pdf")])
    _defects(report, filings[: options.n])
    _filing_rows(report, filings[: options.n])
    _scripts(report, EVALUATION / "xquad", options.n)
    return report.finish()


def _rows(report: Report) -> None:
    """Add the share of rows that each library has on one line, over the made-up layouts."""
    hits: Counter[str] = Counter()
    total = pages = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "layout.pdf")
        for sheet, content in layouts.sheets():
            path.write_bytes(content)
            total, pages = total + len(sheet.rows), pages + 1
            for name, read in READERS.items():
                hits[name] += layouts.found(sheet, read(path)[0])
    for name in READERS:
        goal = ROWS_GOAL if name == DOCWELL else None
        report.add(f"{name}: rows on one line, {total} of {pages} layouts", 100 * hits[name] / total, "%", goal)


def _garbled(report: Report, truths: Sequence[Path]) -> None:
    """Add the shares of spoiled pages that are seen, and of good ones that are taken for spoiled."""
    texts = [path.read_text(encoding="utf-8") for path in truths]
    good = [text[at : at + PAGE_CHARACTERS] for text in texts for at in range(0, len(text), PAGE_CHARACTERS)]
    for kind, spoil in BROKEN.items():
        seen = sum(is_unreadable(spoil(text, seed)) for seed, text in enumerate(good))
        report.add(f"pages seen as unreadable: {kind}", 100 * seen / len(good), "%", SEEN_GOAL)
        fonts = [(text[: 2 * len(text) // 3], text[2 * len(text) // 3 :]) for text in good]
        seen = sum(
            1 in judge("", {0: right, 1: spoil(wrong, seed)})[1] for seed, (right, wrong) in enumerate(fonts)
        )
        label = f"pages seen as unreadable: {kind}, in a font with a third of the page"
        report.add(label, 100 * seen / len(good), "%", SEEN_GOAL)
    for kind, spoil in PARTLY.items():
        seen = sum(is_unreadable(spoil(text, seed)) for seed, text in enumerate(good))
        report.add(f"pages seen as unreadable: {kind}", 100 * seen / len(good), "%")
    accused = sum(map(is_unreadable, good))
    report.add(f"good pages taken for unreadable, of {len(good)}", 100 * accused / len(good), "%", ACCUSED_GOAL)


def _wrong_letters(report: Report, paths: Sequence[Path]) -> None:
    """Add the share of pages with one wrong letter that are seen, by letter."""
    goods = [_pdfium(path) for path in paths]
    before = [[page.unreadable is not None for page in _pages(path)] for path in paths]
    pages = list(chain(*before))
    share = 100 * sum(pages) / len(pages)
    report.add(f"pages of papers taken for unreadable, of {len(pages)}", share, "%", ACCUSED_GOAL)
    kinds = wrong_letters.KINDS | wrong_letters.TALL_KINDS
    with tempfile.TemporaryDirectory() as folder, bar("reading wrong letters", len(kinds) * len(paths)) as step:
        spoiled = Path(folder, "spoiled.pdf")
        for letter, other in kinds.items():
            seen = total = 0
            for path, good, accused in zip(paths, goods, before, strict=True):
                spoiled.write_bytes(wrong_letters.with_wrong_letter(path, letter, other))
                read = zip(good, accused, _pdfium(spoiled), _pages(spoiled), strict=False)
                for right, was_accused, wrong, page in read:
                    if not was_accused and wrong_letters.is_wrong(right, wrong):
                        total, seen = total + 1, seen + (page.unreadable is not None)
                step()
            label = f"pages seen as partly unreadable, of {total} where {letter} is read as {other}"
            goal = SEEN_GOAL if letter in wrong_letters.KINDS else None
            report.add(label, 100 * seen / max(1, total), "%", goal)


def _forms(report: Report) -> None:
    """Add the share of the values and comments of made-up forms that are read."""
    hits = total = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "form.pdf")
        for content, expected in forms.forms():
            path.write_bytes(content)
            hits += forms.found(expected, _docwell(path)[0])
            total += len(expected)
    report.add(f"docwell: values and comments of forms, of {total}", 100 * hits / total, "%", NOTES_GOAL)


def _defects(report: Report, paths: Sequence[Path]) -> None:
    """Add the defects of the filings, and print the most frequent."""
    if not paths:
        return
    with bar("reading filings", len(paths)) as step:
        pages = list[Page]()
        for path in paths:
            pages += _pages(path, 1, FILING_PAGES)
            step()
    accused = sum(page.unreadable is not None for page in pages)
    report.add(
        f"pages of filings taken for unreadable, of {len(pages):,}", 100 * accused / len(pages), "%", ACCUSED_GOAL
    )
    found, words = defects([page.text for page in pages])
    for name, count in found.most_common(SHOWN_DEFECTS):
        print(f"{count} times {name}")
    label = f"docwell: ligature and number defects of {words:,} words of filings"
    report.add(label, 1e6 * found.total() / words, "per million", DEFECTS_GOAL)


def _filing_rows(report: Report, paths: Sequence[Path]) -> None:
    """Add the share of the filings' rows of numbers that each reader has on one line and in order."""
    if not paths:
        return
    hits: Counter[str] = Counter()
    total = 0
    readers = READERS | PDFTOTEXT
    with bar("reading rows of filings", len(paths)) as step:
        for path in paths:
            document = pypdfium2.PdfDocument(path)
            first = len(document) // 2 + 1
            last = min(first + MIDDLE_PAGES - 1, len(document))
            rows = [filing_rows.rows(document[number - 1]) for number in range(first, last + 1)]
            total += sum(map(len, rows))
            for name, read in readers.items():
                texts = read(path, first, last)
                hits[name] += sum(filing_rows.found(of, text) for of, text in zip(rows, texts, strict=False))
            step()
    for name in readers:
        goal = FILING_ROWS_GOAL if name == DOCWELL else None
        label = f"{name}: rows of numbers on one line, {total:,} of {len(paths)} filings"
        report.add(label, 100 * hits[name] / total, "%", goal)


def _scripts(report: Report, folder: Path, most: int | None) -> None:
    """Add the share of excerpts that are found, by language; the goal is pdftotext's share."""
    hits: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as made:
        pages = list(_in_scripts(folder, Path(made)))[:most]
        with bar("reading other scripts", len(pages)) as step:
            for language, path, truth in pages:
                hits[language, DOCWELL].append(scripts.found(truth, "\n".join(_docwell(path))))
                for name, read in PDFTOTEXT.items():
                    hits[language, name].append(scripts.found(truth, "\n".join(read(path))))
                step()
    shares = {row: 100 * sum(n for n, _ in one) / sum(of for _, of in one) for row, one in hits.items()}
    for (language, name), share in shares.items():
        other = shares.get((language, "pdftotext"))
        goal = f">= {other}" if name == DOCWELL and other is not None else None
        report.add(f"{name}: excerpts of {scripts.EXCERPT} characters found, {language}", share, "%", goal)


def _in_scripts(folder: Path, made: Path) -> Iterator[tuple[str, Path, Sequence[str]]]:
    """Yield the language, the PDF and the paragraphs of each article, and of a made-up page."""
    columns = ["".join(_JAPANESE[(20 * number + at) % len(_JAPANESE)] for at in range(40)) for number in range(12)]
    path = made / "downward.pdf"
    path.write_bytes(scripts.vertical(columns))
    yield DOWNWARD, path, ["".join(columns)]
    truth = folder / "ground_truth_text_dev.json"
    for article in json.loads(truth.read_text(encoding="utf-8")) if truth.exists() else ():
        if article["lang"] in LANGUAGES:
            yield LANGUAGES[article["lang"]], folder / "pdf" / Path(article["file"]).name, article["paragraphs"]


def _processor_s() -> float:
    """Return the processor seconds of this process and of children that have ended: docwell reads in those."""
    own = os.times()
    return own.user + own.system + own.children_user + own.children_system


def ratio(text: str, other: str) -> float:
    """Return the Levenshtein ratio (0 to 1): twice the longest common subsequence over both lengths.

    H. Hyyrö, "Bit-parallel LCS-length computation revisited" (2004) takes seconds for 150,000 characters.

    >>> ratio("kitten", "sitting")
    0.6153846153846154
    """
    if not text or not other:
        return float(text == other)
    places: dict[str, int] = {}
    for letter in set(other):
        row = "".join("1" if other_letter == letter else "0" for other_letter in reversed(other))
        places[letter] = int(row, 2)
    every = (1 << len(other)) - 1
    unmatched = every
    for letter in text:
        matched = unmatched & places.get(letter, 0)
        if matched:
            unmatched = ((unmatched + matched) | (unmatched - matched)) & every
    common = len(other) - unmatched.bit_count()
    return 2 * common / (len(text) + len(other))


def _pages(path: Path, first: int = 1, last: int = ALL) -> list[Page]:
    reader = default_reader()
    last = min(last, reader.inspect(path).page_count)
    return list(reader.pages(path, first, last))


def _docwell(path: Path, first: int = 1, last: int = ALL) -> list[str]:
    return [page.text for page in _pages(path, first, last)]


def _pdfium(path: Path, first: int = 1, last: int = ALL) -> list[str]:
    document = pypdfium2.PdfDocument(path)
    numbers = range(first - 1, min(last, len(document)))
    return [document[number].get_textpage().get_text_range().replace("\r", "") for number in numbers]


def _pypdf(path: Path, first: int = 1, last: int = ALL) -> list[str]:
    return [page.extract_text() for page in pypdf.PdfReader(path).pages[first - 1 : last]]


def _pdftotext(path: Path, first: int = 1, last: int = ALL) -> list[str]:
    command = ["pdftotext", "-enc", "UTF-8", "-f", str(first), "-l", str(last), str(path), "-"]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\f")


# Each returns the texts of a file's pages, from the first to the last of a range.
READERS: dict[str, Callable[..., list[str]]] = {DOCWELL: _docwell, "PDFium": _pdfium, "pypdf": _pypdf}
# Not one of Python: it is compared where it is installed.
PDFTOTEXT = {"pdftotext": _pdftotext} if shutil.which("pdftotext") else {}


if __name__ == "__main__":
    sys.exit(main())
