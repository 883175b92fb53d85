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

import pypdf
from fpdf import FPDF
from rich.console import Console

from benchmarks.limits import ingest
from benchmarks.report import Report
from docwell.config import MIB
from infra.local.supervisor import running_stack

FUNCTION_TIMEOUT_S = 60.0
LONG_PAGES = 5_000
LARGE_PAGES = 120
ATTACHMENTS = 40
ATTACHMENT_BYTES = 10 * MIB


def pages(count: int, text: str) -> bytes:
    """A PDF whose every page has the text and its own number."""
    document = FPDF()
    document.set_font("helvetica", size=10)
    for number in range(1, count + 1):
        document.add_page()
        document.multi_cell(0, 5, f"Page {number} of {count}. {text}")
    return bytes(document.output())


def large() -> bytes:
    """A PDF of over 400 MB: text, and attachments that do not compress."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pages(LARGE_PAGES, "A page of a very large file. " * 40)))
    for number in range(ATTACHMENTS):
        writer.add_attachment(f"part-{number}.bin", os.urandom(ATTACHMENT_BYTES))
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def main() -> int:
    """Measure all; gives the exit status."""
    console, report = Console(stderr=True), Report("long-documents")
    long = pages(LONG_PAGES, "Each of these pages has a few sentences to be found by. " * 8)
    seconds: dict[int, float] = {}
    for workers in (1, 2):
        with (
            tempfile.TemporaryDirectory() as folder,
            running_stack(
                Path(folder),
                "smollm2:135m",
                environment={"DOCWELL_EMBED_THREADS": "1"},
                ingest_workers=workers,
                ingest_timeout_s=FUNCTION_TIMEOUT_S,
            ) as stack,
        ):
            name = (
                f"{LONG_PAGES:,} pages, {workers} worker{'s' if workers > 1 else ''} of {FUNCTION_TIMEOUT_S:.0f} s"
            )
            seconds[workers], peak, chunks = ingest(stack, console, long, LONG_PAGES)
            report.add(f"{name}: upload to live", seconds[workers], "s")
            report.add(f"{name}: share of pages with a chunk", chunks / LONG_PAGES, "", ">= 1")
            report.add(f"{name}: peak memory of a worker", peak / MIB, "MiB", "<= 1024")
            if workers == 2:  # noqa: PLR2004 - the last of the two
                body = large()
                name = f"{len(body) / 1e6:.0f} MB, {LARGE_PAGES} pages, {workers} workers"
                taken, peak, chunks = ingest(stack, console, body, LARGE_PAGES)
                report.add(f"{name}: upload to live", taken, "s")
                report.add(f"{name}: chunks for each page", chunks / LARGE_PAGES, "", ">= 1")
                report.add(f"{name}: peak memory of a worker", peak / MIB, "MiB", "<= 1024")
    # Chroma and the AWS stand-in work on the same cores, so two workers on two cores cannot be twice as fast.
    report.add("one worker's time over that of two", seconds[1] / seconds[2], "x", ">= 1.5")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
