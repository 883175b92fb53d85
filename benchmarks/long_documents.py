"""``python -m benchmarks.long_documents`` (`make bench-long`): very long and very large PDFs on the local stack.

A function of 60 s indexes 5,000 pages, with one worker and with two, and a file of 400 MB: each range is a
message of its own, so no invocation has more than its range to do. Workers embed with one thread each, so
that two of them are compared with one fairly.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pypdf

from benchmarks.speed.generated_pdfs import pages_of_words
from benchmarks.speed.options import Options
from benchmarks.speed.uploads import MODEL, Uploads
from benchmarks.speed.worker_memory import WorkerMemory
from docwell.config import MIB
from infra.local.stack import Stack
from infra.local.supervisor import running_stack
from infra.report import Report

FUNCTION_TIMEOUT_S = 60.0
LONG_PAGES = 5_000
LARGE_PAGES = 120
WORDS = 100
ATTACHMENTS = 40
ATTACHMENT_BYTES = 10 * MIB
_INDEXED_S = 1800.0


class Came(NamedTuple):
    """Seconds from upload to live, chunks, and the peak bytes of the largest worker."""

    seconds: float
    chunks: int
    peak: int


def large() -> bytes:
    """A PDF of over 400 MB: text, and attachments that do not compress."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pages_of_words(LARGE_PAGES, WORDS)))
    for number in range(ATTACHMENTS):
        writer.add_attachment(f"part-{number}.bin", os.urandom(ATTACHMENT_BYTES))
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def ingest(stack: Stack, key: str, body: bytes) -> Came:
    """One document through the bucket. Raises `RuntimeError` when it is not indexed."""
    with WorkerMemory() as memory:
        done = Uploads(stack).index({key: body}, _INDEXED_S)
    if done.not_indexed or not memory.peak.worker:
        raise RuntimeError(f"{key} became {done.records[key].status}, by {memory.peak}")
    return Came(done.seconds, done.chunks, memory.peak.worker)


def main() -> int:
    """Measure all; gives the exit status."""
    options, report = Options(), Report("long-documents")
    long, large_one = pages_of_words(LONG_PAGES, WORDS), large()
    seconds: dict[int, float] = {}
    with options.progress("documents", 3) as tick:
        for workers in (1, 2):
            with (
                tempfile.TemporaryDirectory() as folder,
                running_stack(
                    Path(folder),
                    MODEL,
                    environment={"DOCWELL_EMBED_THREADS": "1"},
                    ingest_workers=workers,
                    ingest_timeout_s=FUNCTION_TIMEOUT_S,
                ) as stack,
            ):
                by = f"{workers} worker{'s' if workers > 1 else ''} of {FUNCTION_TIMEOUT_S:.0f} s"
                came = ingest(stack, "long.pdf", long)
                seconds[workers] = came.seconds
                _add(report, f"{LONG_PAGES:,} pages, {by}", came, LONG_PAGES)
                tick()
                if workers > 1:
                    name = f"{len(large_one) / 1e6:.0f} MB, {LARGE_PAGES} pages, {by}"
                    _add(report, name, ingest(stack, "large.pdf", large_one), LARGE_PAGES)
                    tick()
    # Chroma and the AWS stand-in work on the same cores, so two workers on two cores cannot be twice as fast.
    report.add("one worker's time over that of two", seconds[1] / seconds[2], "x", ">= 1.5")
    return report.finish()


def _add(report: Report, name: str, came: Came, pages: int) -> None:
    report.add(f"{name}: upload to live", came.seconds, "s")
    report.add(f"{name}: chunks for each page", came.chunks / pages, "", ">= 1")
    report.add(f"{name}: peak memory of a worker", came.peak / MIB, "MiB", "<= 1024")


if __name__ == "__main__":
    sys.exit(main())
