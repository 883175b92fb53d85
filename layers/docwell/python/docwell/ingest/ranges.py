"""Cut a document into ranges, and derive its status from their results. Pure.

A document is first indexed from its text layers. If some pages have no text and the pipeline recognises pages,
this generation goes live, and a second one with recognised pages follows. Its ranges continue the numbers of the
first, and are shorter: a page takes seconds. Then one write makes the second generation live.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

from docwell.config import IngestLimits
from docwell.errors import Refused
from docwell.models import PROGRESS, DocumentRecord, RangeTask, Reason, Status
from docwell.text.page_lists import by_reason, listed

_LEAST_CPU_S = 60.0  # a short file can have some pages at the limit of a page
_RUNS_NAMED = 20  # the most page runs in a document's detail
# The second generation's id is a hash of the pipeline fingerprint with this suffix.
RECOGNISED = "/recognised"


@dataclass(frozen=True, slots=True)
class Span:
    """Pages `first` to `last` (both included, 1-based), and whether to recognise the pictures among them.

    With `given_up`, no recogniser reads them, for this reason: they have the text of their layers. `cpu_s` is the
    processor time that is left for reading the document, in seconds; over it, a `small` document is refused.
    """

    first: int
    last: int
    recognise: bool = False
    cpu_s: float = math.inf
    given_up: Reason | None = None
    small: bool = False


def count_ranges(pages: int, size: int) -> int:
    """Return the number of ranges of `size` pages; at least one."""
    return max(1, -(-pages // size))


def is_current(task: RangeTask, record: DocumentRecord) -> bool:
    """Whether the document is still being indexed from the task's version, in the task's attempt."""
    return (record.status, record.version, record.attempt) == (Status.PENDING, task.version, task.attempt)


def span(record: DocumentRecord, number: int, limits: IngestLimits) -> Span:
    """Return the pages of a range."""
    first, size, cpu_s = 0, limits.range_pages, limits.document_cpu_s
    recognise = record.recognised_from is not None and number >= record.recognised_from
    if recognise:
        first, size, cpu_s = record.recognised_from or 0, limits.ocr_range_pages, limits.ocr_document_cpu_s
    before = (number - first) * size
    by_size = _LEAST_CPU_S + limits.document_cpu_s_per_mb * (record.size or 0) / 1e6
    small = by_size < cpu_s and not recognise
    left, given_up = (by_size if small else cpu_s) - record.cpu_s, None
    if recognise:  # when recognition has used up its time, text layers still have theirs
        given_up, left = None if left > 0 else Reason.TOO_SLOW, left + limits.document_cpu_s
    return Span(before + 1, min(before + size, record.pages or 0), recognise, left, given_up, small)


def check_length(characters: int, size: int, limits: IngestLimits) -> None:
    """Raise `Refused` if a document of `size` bytes has too many characters; hidden ones count too."""
    limit, name = limits.max_document_characters, "max_document_characters"
    by_size = int(size * limits.max_characters_per_byte)
    if by_size < limit:
        limit, name = by_size, "max_characters_per_byte"
    if characters > limit:
        raise Refused(Reason.TOO_MUCH_TEXT, f"over {limit:,} characters ({name})")


def recognition(record: DocumentRecord, size: int) -> DocumentRecord:
    """Return the record with a second generation planned, in ranges of `size` pages.

    The first generation's ranges stay done, so late copies of their messages do nothing.
    """
    first, pages, blank = record.ranges or 0, record.textless_pages, DocumentRecord(record.key)
    return replace(
        record,
        status=Status.PENDING,
        reason=None,
        ranges=first + count_ranges(record.pages or 0, size),
        recognised_from=first,
        dispatched=False,
        detail=f"recognising {pages} page{'' if pages == 1 else 's'} without all text",
        **{name: getattr(blank, name) for name in PROGRESS - {"ranges_done"}},
    )


def outcome(record: DocumentRecord) -> DocumentRecord:
    """Return the record of a document whose ranges are all done: INDEXED, EMPTY or REJECTED."""
    recognised = record.recognised_from is not None
    failures = by_reason(record.page_failures)
    notes = [f"{_listed_pages(pages)}: {reason}, not indexed" for reason, pages in failures.items()]
    remarks = {"recognised": record.recognised_pages, "not checked for hidden text": record.unchecked_pages}
    notes += [f"{_listed_pages(pages)}: {remark}" for remark, pages in remarks.items() if pages]
    if record.chunks == 0 and failures and not record.was_given_up:
        return rejected(record, next(iter(failures)), "; ".join(notes))
    if record.doubtful_pages and recognised:
        notes.append(
            f"{_listed_pages(record.doubtful_pages)}: picture recognised with too little confidence, not indexed"
        )
    elif record.doubtful_pages and record.chunks:
        notes.append(f"{_listed_pages(record.doubtful_pages)}: mostly a picture, whose text is not indexed")
    if record.hidden_characters:
        notes.append(f"left out characters that the pages do not show: {record.hidden_characters:,}")
    detail = "; ".join(notes)
    if record.chunks == 0:
        nothing = "no page shows text" if recognised else "no text layer: a scan? `docwell ocr on` reads it"
        return replace(record, status=Status.EMPTY, reason=Reason.NO_TEXT.value, detail=detail or nothing)
    # The first generation's chunks are still in the index and must be swept.
    swept = record.swept and not recognised
    return replace(record, status=Status.INDEXED, reason=None, detail=detail or None, swept=swept)


def rejected(record: DocumentRecord, reason: str, detail: str) -> DocumentRecord:
    """Return the record of a document that docwell refuses."""
    return replace(record, status=Status.REJECTED, reason=str(reason), detail=detail)


def _listed_pages(numbers: Collection[int]) -> str:
    runs = listed(numbers).split(",")
    ending = " and more" if len(runs) > _RUNS_NAMED else ""
    return ("page " if len(numbers) == 1 else "pages ") + ", ".join(runs[:_RUNS_NAMED]) + ending
