"""``make eval-extraction``: docwell's text of papers against a human's, beside pypdf and PDFium.

It reads each PDF of `extraction/pdf` and scores the whole text by its Levenshtein ratio (0 to 100) to the file of
the same name in `extraction/truth`, as `Levenshtein.ratio` does. The other libraries read page by page with their
defaults.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import pypdf
import pypdfium2

from benchmarks.reading import default_reader
from infra.progress import bar
from infra.report import EVALUATION, Report

GOAL = ">= 98.5"
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
    return report.finish()


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
