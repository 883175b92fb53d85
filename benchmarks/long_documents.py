"""``make bench-long``: very long and very large PDFs on the local stack.

A function with a limit of 60 s indexes 5,000 pages, with one worker and with two, and a file of 400 MB: each
range is one message, so an invocation has only its range to do. Each worker embeds with one thread, so that two
workers have twice the threads of one.
"""

import io
import os
import sys

import pypdf

from benchmarks.doors import local_stack
from benchmarks.pdfs import pages_of_words
from benchmarks.speed.uploads import MODEL, index_watched
from docwell.config import MIB
from infra.local.stack import Stack
from infra.progress import bar
from infra.report import Report

FUNCTION_TIMEOUT_S = 60.0
LONG_PAGES = 5_000
LARGE_PAGES = 120
WORDS = 100
ATTACHMENTS = 40
ATTACHMENT_BYTES = 10 * MIB
_INDEXED_S = 1800.0


def large() -> bytes:
    """Return a PDF of over 400 MB: text, and attachments that do not compress."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pages_of_words(LARGE_PAGES, WORDS)))
    for number in range(ATTACHMENTS):
        writer.add_attachment(f"part-{number}.bin", os.urandom(ATTACHMENT_BYTES))
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def add(report: Report, name: str, stack: Stack, body: bytes, pages: int) -> float:
    """Index one document and add its rows; return the seconds. Raises `RuntimeError` when it is not indexed."""
    done, peak = index_watched(stack, f"{pages}.pdf", body, _INDEXED_S)
    report.add(f"{name}: upload to live", done.seconds, "s")
    report.add(f"{name}: chunks for each page", done.total("chunks") / pages, "", ">= 1")
    report.add(f"{name}: peak memory of a worker", peak.worker / MIB, "MiB", "<= 1024")
    return done.seconds


def main() -> int:
    report = Report("long-documents")
    long, large_one = pages_of_words(LONG_PAGES, WORDS), large()
    seconds: dict[int, float] = {}
    with bar("documents", 3) as step:
        for workers in (1, 2):
            threads = {"DOCWELL_EMBED_THREADS": "1"}
            with local_stack(
                MODEL, environment=threads, ingest_workers=workers, ingest_timeout_s=FUNCTION_TIMEOUT_S
            ) as stack:
                by = f"{workers} worker{'s' if workers > 1 else ''} of {FUNCTION_TIMEOUT_S:.0f} s"
                seconds[workers] = add(report, f"{LONG_PAGES:,} pages, {by}", stack, long, LONG_PAGES)
                step()
                if workers > 1:
                    name = f"{len(large_one) / 1e6:.0f} MB, {LARGE_PAGES} pages, {by}"
                    add(report, name, stack, large_one, LARGE_PAGES)
                    step()
    # Chroma and the AWS stand-in use the same cores, so two workers on two cores cannot be twice as fast.
    report.add("one worker's time over that of two", seconds[1] / seconds[2], "x", ">= 1.5")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
