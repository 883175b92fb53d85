"""``python -m benchmarks.limits`` (`make bench-limits`): what the README promises of one machine, measured.

A PDF of 300 full pages (about 450 words each) goes through the bucket of a local stack; the import of the
query handler is timed in fresh processes.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
from fpdf import FPDF
from rich.console import Console

from benchmarks.doors import Doors
from benchmarks.report import Report
from docwell.config import MIB
from docwell.models import FINAL, Status
from infra.local.stack import Stack
from infra.local.supervisor import running_stack

PAGES = 300
WORDS_ON_A_PAGE = 450
IMPORTS = 7
KEY = "limits/long.pdf"
# Far over any goal: what is not done then will never be.
_INDEXED_S = 1800.0
# Common English words: the tokenizer makes about 1.1 tokens of each, as of real reports.
TEXT = (
    "the of and to in for is on that by this with you it not or be are from at as your all have new more an was "
    "report revenue operating income quarter compared increase decrease percent million capital expenditure "
    "management believes results cash flow equity assets liabilities customers products services segment market "
    "growth costs expenses tax rate interest foreign currency risk contract agreement period ended december fiscal"
)


def long_pdf() -> bytes:
    """The same pages at each run."""
    words = random.Random(300)  # noqa: S311 - no secret
    document = FPDF()
    document.set_font("helvetica", size=10)
    for number in range(1, PAGES + 1):
        document.add_page()
        drawn = (words.choices(TEXT.split(), k=15) for _ in range(WORDS_ON_A_PAGE // 15))
        sentences = [f"{' '.join(one).capitalize()}." for one in drawn]
        document.multi_cell(0, 5, f"Page {number}. " + " ".join(sentences))
    return bytes(document.output())


def seconds_to_import(module: str) -> float:
    """The median over fresh processes of what `import module` takes."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    return statistics.median(float(subprocess.check_output(command)) for _ in range(IMPORTS))


def worker_memory() -> int:
    """Bytes that the largest ingest worker holds now, its PDF children not counted; 0 where none runs."""
    found = []
    for process in psutil.Process(os.getpid()).children(recursive=True):
        try:
            if "functions.ingest.handler.handler" in process.cmdline() and "awslambdaric" in process.cmdline():
                found.append(process.memory_info().rss)
        except psutil.Error:
            continue
    return max(found, default=0)


def ingest(stack: Stack, console: Console, body: bytes, pages: int) -> tuple[float, int, int]:
    """(seconds from upload to live, peak bytes of a worker, chunks) of a PDF with so many pages.

    Raises:
        RuntimeError: it is not indexed, or no worker was seen at work.
        TimeoutError: it has no final status after half an hour.
    """
    peak, document = 0, dict[str, Any]()
    with Doors(stack, timeout_s=30) as doors, console.status("indexing") as status:
        started = time.monotonic()
        version = doors.put(KEY, body)
        while time.monotonic() < started + _INDEXED_S:
            peak = max(peak, worker_memory())
            with suppress(httpx.HTTPError):  # a gateway that is busy with ingest beside it
                document = doors.document(KEY) or {}
            if document.get("status") in FINAL and document["version"] == version:
                return time.monotonic() - started, _seen(peak), _chunks(document)
            status.update(f"indexing: {document.get('pages_done', 0)} of {pages} pages")
            time.sleep(0.1)
    raise TimeoutError(f"{KEY} has no final status after {_INDEXED_S:.0f} s: {document}")


def _seen(peak: int) -> int:
    if not peak:
        raise RuntimeError("no process was found that looks like an ingest worker")
    return peak


def _chunks(document: Mapping[str, Any]) -> int:
    if document["status"] != Status.INDEXED:
        raise RuntimeError(f"{KEY} is {document['status']}: {document['reason']}")
    return int(document["chunks"])


def main() -> int:
    """Measure all; gives the exit status."""
    console, report = Console(stderr=True), Report("limits")
    report.add("import of the query handler", seconds_to_import("functions.query.handler"), "s", "<= 1")
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder), "smollm2:135m") as stack:
        seconds, peak, chunks = ingest(stack, console, long_pdf(), PAGES)
    report.add(f"{PAGES} full pages, upload to live", seconds, "s", "<= 120")
    report.add("chunks of them", chunks, "chunks")
    report.add("peak memory of the ingest worker", peak / MIB, "MiB", "<= 1024")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
