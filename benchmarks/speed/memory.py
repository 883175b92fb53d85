"""Peak memory of the ingest worker for 10 to 5,000 pages, and of the query function over 1,000 requests.

Each document goes into the bucket of a fresh local stack with one worker, whose resident memory is read about
twenty times a second, together with that of the child process in which a PDF is opened. Pages have about 150
words, which is one chunk as long as chunks get: what is embedded and written at once is as much as of fuller
pages, and a run takes minutes less.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.speed import query_memory
from benchmarks.speed.generated_pdfs import pages_of_words
from benchmarks.speed.options import Options, Tick
from benchmarks.speed.uploads import MODEL, Uploads
from benchmarks.speed.worker_memory import Peak, WorkerMemory
from docwell.models import Status
from infra.local.supervisor import running_stack
from infra.report import Report

PAGES = (10, 100, 1_000, 5_000)
SHORT_PAGES = (100,)
WORDS = 150
# The two whose ratio says whether memory is flat.
FEW, MANY = 100, 5_000
_MEGABYTE = 1e6
_TIMEOUT_S = 1800.0


def measure(report: Report, options: Options) -> None:
    """Ingest, then query."""
    sizes = SHORT_PAGES if options.short else PAGES
    with options.progress("ingest", len(sizes)) as tick:
        peaks = {pages: _ingest(pages, tick) for pages in sizes}
    for pages, peak in peaks.items():
        name = f"ingest, {pages:,} pages"
        report.add(f"{name}: peak, worker and child", peak.together / _MEGABYTE, "MB", options.goal("<= 600"))
        report.add(f"{name}: peak, worker alone", peak.worker / _MEGABYTE, "MB")
        report.add(f"{name}: peak, child alone", peak.children / _MEGABYTE, "MB")
    if MANY in peaks:
        growth = peaks[MANY].together / peaks[FEW].together
        report.add(f"ingest, {MANY:,} pages over {FEW} pages", growth, "x", options.goal("<= 1.2"))
    few, many = query_memory.grow(options)
    report.add("query, after 100 requests", few, "MiB")
    # The short form asks fewer.
    report.add("query, after the last request" if options.short else "query, after 1,000 requests", many, "MiB")
    report.add("query, growth since the first 100 requests", many / few, "x", options.goal("<= 1.05"))


def _ingest(pages: int, tick: Tick) -> Peak:
    """The peak while one document goes through a stack of its own. Raises `RuntimeError` where it is refused."""
    body = pages_of_words(pages, WORDS)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_stack(Path(folder), MODEL, ingest_workers=1, reconcile_every_s=0) as stack,
        WorkerMemory() as memory,
    ):
        key = f"memory/{pages}.pdf"
        record = Uploads(stack).index({key: body}, _TIMEOUT_S).records[key]
    if record.status is not Status.INDEXED or not memory.peak.worker:
        raise RuntimeError(f"{pages} pages became {record.status} ({record.detail}), by {memory.peak}")
    tick()
    return memory.peak
