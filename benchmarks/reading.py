"""Reads one PDF as ingest does, in a new process, so that its cost is known."""

import multiprocessing
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from docwell.adapters.documents.reader import ChildPdfReader
from docwell.config import IngestSettings
from docwell.errors import Refused
from docwell.models import Reason, Status

UNEXPECTED = "UNEXPECTED"


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of one file: the status that ingest would write to the ledger, and the cost.

    `status` is `UNEXPECTED` where the reader raised anything but a refusal; `reason` then names the exception.
    `hidden` counts the characters that its pages do not show. `peak_bytes` is the peak of the largest child,
    and at least that of this process at its start (about 40 MB).
    """

    path: Path
    status: str
    reason: str | None
    seconds: float
    peak_bytes: int
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
    """Read one file with the default limits of `IngestSettings`. Raises nothing."""
    started = time.monotonic()
    status, reason, hidden = UNEXPECTED, None, 0
    try:
        status, reason, hidden = _read(path)
    except Refused as refused:
        status, reason = Status.REJECTED, str(refused.reason)
    except Exception as error:  # noqa: BLE001 - the benchmark measures that this never happens
        reason = type(error).__name__
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Reading(path, status, reason, time.monotonic() - started, peak, hidden)


def _read(path: Path) -> tuple[str, str | None, int]:
    """Return status, reason and hidden characters by the rules of `docwell.ingest`. Raises `Refused`."""
    limit, step = _default("max_document_characters"), _default("range_pages")
    if path.stat().st_size > _default("max_document_bytes"):
        raise Refused(Reason.TOO_LARGE, "too many bytes")
    reader = default_reader()
    count = reader.inspect(path).page_count
    characters = unreadable = hidden = 0
    text = False
    for first in range(1, count + 1, step):
        for page in reader.pages(path, first, min(first + step - 1, count)):
            characters += len(page.text)
            text = text or bool(page.text.strip())
            unreadable += not page.readable
            hidden += page.hidden
            if characters > limit:
                raise Refused(Reason.TOO_MUCH_TEXT, "too many characters")
    if text:
        return Status.INDEXED, None, hidden
    if unreadable:
        raise Refused(Reason.UNREADABLE, "no page can be read")
    return Status.EMPTY, Reason.NO_TEXT, hidden


def default_reader() -> ChildPdfReader:
    """Return the reader with the default limits of `IngestSettings`."""
    return ChildPdfReader(
        parse_timeout_s=_default("parse_timeout_s"),
        parse_memory_bytes=_default("parse_memory_bytes"),
        max_document_pages=_default("max_document_pages"),
        max_page_characters=_default("max_page_characters"),
    )


def _default(name: str) -> int:
    return int(IngestSettings.model_fields[name].default)
