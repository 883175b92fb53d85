"""PDFs from upload to live, in three slices of about as many pages.

The PDFs go into the bucket of a local stack with two workers of one thread each. The clock stops when the ledger
shows the last document live. The limits of the machine are PDFium alone, and the encoder's runtime alone
(`make bench-encode`).
"""

import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pypdf
import pypdfium2

from benchmarks.speed.options import BenchError, Options
from benchmarks.speed.stack import asked_stack, index
from infra.measuring import Spread
from infra.progress import bar
from infra.report import ROOT, Report

SLICES = 3
# Of the examples, in the short form: 10 s.
SHORT_PDFS = 4
WORKERS = 2
_TIMEOUT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of the PDFs."""

    pdfs: tuple[Path, ...]
    pages: int


def measure(report: Report, options: Options) -> None:
    pdfs = _pdfs(options)
    slices = slices_of(pdfs, 1 if options.short else SLICES)
    report.add("PDFs", sum(len(slice_.pdfs) for slice_ in slices), "PDFs")
    report.add("pages of them", sum(slice_.pages for slice_ in slices), "pages")
    done = []
    with asked_stack(environment={"DOCWELL_EMBED_THREADS": "1"}, ingest_workers=WORKERS) as bench:
        index(bench.stack, {f"warm-up/{number}.pdf": pdfs[0] for number in range(WORKERS)}, _TIMEOUT_S)
        with bar("slices", len(slices)) as step:
            for turn, slice_ in enumerate(slices):
                bodies: dict[str, bytes | Path] = {
                    f"slice-{turn}/{number:03}-{pdf.name}": pdf for number, pdf in enumerate(slice_.pdfs)
                }
                done.append(index(bench.stack, bodies, _TIMEOUT_S))
                step()
    for field in ("pages", "chunks", "characters"):
        speeds = Spread.of([slice_.total(field) / slice_.seconds for slice_ in done])
        report.add_spread(f"docwell: {field} a second", speeds, f"{field}/s")
    characters = sum(slice_.total("characters") for slice_ in done)
    report.add("docwell: characters that are in a vector", characters, "characters")
    report.add("docwell: PDFs that it did not index", sum(len(slice_.not_indexed) for slice_ in done), "PDFs")
    report.add_spread("limit: PDFium alone, characters a second", _extracted(slices), "characters/s")


def _extracted(slices: Sequence[Slice]) -> Spread:
    """Return the characters a second of PDFium's text extraction in one process, slice by slice."""
    speeds = []
    for slice_ in slices:
        characters, started = 0, time.perf_counter()
        for pdf in slice_.pdfs:
            with suppress(pypdfium2.PdfiumError), closing(pypdfium2.PdfDocument(pdf)) as document:
                characters += sum(len(page.get_textpage().get_text_range()) for page in document)
        speeds.append(characters / (time.perf_counter() - started))
    return Spread.of(speeds)


def _pdfs(options: Options) -> list[Path]:
    """Return the PDFs of the options, else the evaluation set's, else the examples; the short form takes few."""
    if options.short and not options.pdfs:
        return sorted((ROOT / "examples").rglob("*.pdf"))[:SHORT_PDFS]
    folders = options.folders("financebench", "xquad")
    pdfs = sorted(path for folder in folders for path in folder.rglob("*.pdf"))
    if not pdfs:
        raise BenchError(f"no PDF in {', '.join(map(str, folders))}")
    return pdfs


def slices_of(pdfs: Sequence[Path], count: int) -> list[Slice]:
    """Divide the PDFs into slices of about as many pages: the longest first, each to the smallest slice."""
    slices = [Slice((), 0)] * min(count, len(pdfs))
    for pages, pdf in sorted(((_page_count(pdf), pdf) for pdf in pdfs), reverse=True):
        least = min(range(len(slices)), key=lambda number: slices[number].pages)
        slices[least] = Slice((*slices[least].pdfs, pdf), slices[least].pages + pages)
    return slices


def _page_count(pdf: Path) -> int:
    try:
        return len(pypdf.PdfReader(pdf).pages)
    except Exception:  # noqa: BLE001 - pypdf raises any exception for a PDF that it cannot read
        return 1
