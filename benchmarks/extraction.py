"""``make eval-extraction``: docwell's text of papers against a human's, beside pypdf and PDFium.

It reads each PDF of `extraction/pdf` and scores the whole text by its Levenshtein ratio (0 to 100) to the file of
the same name in `extraction/truth`, as `Levenshtein.ratio` does. The other libraries read page by page with their
defaults. It also counts the rows of made-up pages (`benchmarks.layouts`) that stand on one line, and the pages of
the truth that are taken for unreadable, as they are and spoiled in ten ways (`benchmarks.broken_maps`).
"""

import argparse
import logging
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import pypdf
import pypdfium2

from benchmarks import layouts
from benchmarks.broken_maps import BROKEN
from benchmarks.reading import default_reader
from docwell.adapters.documents.text_quality import is_unreadable
from infra.progress import bar
from infra.report import EVALUATION, Report

GOAL = ">= 98.5"
ROWS_GOAL, SEEN_GOAL, ACCUSED_GOAL = ">= 95", ">= 95", "<= 0.2"
# A page of a paper in characters.
PAGE_CHARACTERS = 3000
DOCWELL = "docwell"


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
    _garbled(report, [options.folder / "truth" / f"{path.stem}.txt" for path in paths])
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
                hits[name] += layouts.found(sheet, read(path)[0].replace("\r", ""))
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
    accused = sum(map(is_unreadable, good))
    report.add(f"good pages taken for unreadable, of {len(good)}", 100 * accused / len(good), "%", ACCUSED_GOAL)


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


def _docwell(path: Path) -> list[str]:
    reader = default_reader()
    return [page.text for page in reader.pages(path, 1, reader.inspect(path).page_count)]


# Each returns the texts of a file's pages.
READERS: dict[str, Callable[[Path], list[str]]] = {
    DOCWELL: _docwell,
    "PDFium": lambda path: [page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(path)],
    "pypdf": lambda path: [page.extract_text() for page in pypdf.PdfReader(path).pages],
}


if __name__ == "__main__":
    sys.exit(main())
