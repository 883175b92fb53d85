"""Reads one document as ingest does, in a new process, to measure its cost."""

import multiprocessing
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from docwell.adapters.documents.document_reader import ChildDocumentReader
from docwell.config import IngestLimits
from docwell.errors import Refused
from docwell.ingest.indexing import within_budget
from docwell.ingest.ranges import check_length, count_ranges, span
from docwell.models import DocumentRecord, Page, Reason, Status

UNEXPECTED = "UNEXPECTED"


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of one file: the status that ingest would write to the ledger, and the cost.

    `status` is `UNEXPECTED` where the reader raised anything but a refusal; `reason` then names the exception.
    `cpu_s` is the processor time of this process and its children, in seconds. `peak_bytes` is the peak of the
    largest child, and at least that of this process at its start (about 40 MB). `unreadable` has the reason of
    each page that cannot be read, and `hidden` counts the characters that its pages do not show.
    """

    path: Path
    status: str
    reason: str | None
    seconds: float
    cpu_s: float
    peak_bytes: int
    unreadable: tuple[Reason, ...] = ()
    hidden: int = 0

    @property
    def outcome(self) -> str:
        return f"{self.status}({self.reason})" if self.reason else self.status


def read_all(paths: Sequence[Path], workers: int) -> Iterator[Reading]:
    # The server process has the imports and no threads, so a fork of it starts in milliseconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with context.Pool(workers, maxtasksperchild=1) as pool:
        yield from pool.imap_unordered(read, paths, chunksize=1)


def read(path: Path) -> Reading:
    """Read one file with the default limits of `IngestLimits`. Raises nothing."""
    started = time.monotonic()
    status, reason, pages = UNEXPECTED, None, list[Page]()
    try:
        status, reason = _read(path, pages)
    except Refused as refused:
        status, reason = Status.REJECTED, str(refused.reason)
    except Exception as error:  # noqa: BLE001 - the benchmark measures that this never happens
        reason = type(error).__name__
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = children.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    cpu_s = time.process_time() + children.ru_utime + children.ru_stime
    unreadable = tuple(page.unreadable for page in pages if page.unreadable)
    hidden = sum(page.hidden for page in pages)
    return Reading(path, status, reason, time.monotonic() - started, cpu_s, peak, unreadable, hidden)


def _read(path: Path, pages: list[Page]) -> tuple[str, str | None]:
    """Return status and reason by the rules of `docwell.ingest`; add the pages, without text. Raises `Refused`."""
    limits, size = IngestLimits(), path.stat().st_size
    if size > limits.max_document_bytes:
        raise Refused(Reason.TOO_LARGE, "too many bytes")
    reader = default_reader()
    record = DocumentRecord(path.name, pages=reader.inspect(path).page_count)
    text = False
    for number in range(count_ranges(record.pages or 0, limits.range_pages)):
        part = span(record, number, limits)
        with closing(reader.pages(path, part.first, part.last)) as read_pages:
            for page in within_budget(read_pages, part):
                text = text or bool(page.text.strip())
                pages.append(replace(page, text="", headings=()))
                characters = record.characters + len(page.text) + page.hidden
                cpu_s = record.cpu_s + page.cpu_s
                record = replace(record, characters=characters, cpu_s=cpu_s)
                check_length(characters, size, limits)
    if text:
        return Status.INDEXED, None
    if unreadable := [page.unreadable for page in pages if page.unreadable]:
        raise Refused(unreadable[0], "no page can be read")
    return Status.EMPTY, Reason.NO_TEXT


def default_reader(**limits: float) -> ChildDocumentReader:
    """Return the reader with the default limits, or with other `limits` (`docwell.config.IngestLimits`)."""
    # Use a long limit: ingest retries when a busy machine starves the reader, but the benchmark tries once.
    return ChildDocumentReader(IngestLimits.model_validate({"parse_timeout_s": 600.0} | limits))
