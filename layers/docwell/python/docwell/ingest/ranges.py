"""How a document is cut into ranges, and what all of them come to: pure.

Text first: a document is indexed from its text layers, and that is all where every page has one, or the pipeline
recognises nothing. Else that generation goes live as soon as it is complete, and a second one follows, in which
the pages without text are recognised: its ranges are numbered on from the first one's, and shorter, as a page
takes seconds. When they are done the second generation takes the first one's place in one write, as a replaced
document takes the place of the one before.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from docwell.errors import Refused
from docwell.models import DocumentRecord, RangeTally, Reason, Status

_PAGES_NAMED = 20  # in the detail of a document
# What tells the second generation from the first one, beside the pipeline's fingerprint.
RECOGNISED = "/recognised"


@dataclass(frozen=True, slots=True)
class Span:
    """Pages `first` to `last` (both included, 1-based), and whether pictures among them are recognised."""

    first: int
    last: int
    recognise: bool = False


def count_ranges(pages: int, size: int) -> int:
    """How many ranges of `size` pages a document has: one at least."""
    return max(1, -(-pages // size))


def is_recognised(record: DocumentRecord, number: int) -> bool:
    """Whether a range, by its number, is of the second generation."""
    return record.recognised_from is not None and number >= record.recognised_from


def is_generation_done(record: DocumentRecord, number: int) -> bool:
    """Whether every range is done of the generation that a range, by its number, is of."""
    first = record.recognised_from is not None and number < record.recognised_from
    return first or len(record.ranges_done) == record.ranges


def span(record: DocumentRecord, number: int, size: int, recognised_size: int) -> Span:
    """The pages of a range, by its number."""
    recognise = is_recognised(record, number)
    if recognise:
        number, size = number - (record.recognised_from or 0), recognised_size
    return Span(number * size + 1, min((number + 1) * size, record.pages or 0), recognise)


def with_progress(record: DocumentRecord, tally: RangeTally) -> DocumentRecord:
    """The record of a document of one range that is done."""
    return replace(
        record,
        ranges_done=frozenset({0}),
        pages_done=tally.pages,
        chunks=tally.chunks,
        characters=tally.characters,
        unreadable_pages=tally.unreadable_pages,
        textless_pages=tally.textless_pages,
        doubtful_pages=tally.doubtful_pages,
    )


def needs_recognition(record: DocumentRecord) -> bool:
    """Whether a document of which every range is done has pages that nobody has looked at as pictures."""
    return record.recognised_from is None and record.textless_pages > 0


def recognition(record: DocumentRecord, size: int) -> DocumentRecord:
    """The record with a second generation before it, of ranges of `size` pages.

    The ranges of the first one stay done, so that late copies of their messages find nothing to do.
    """
    first, pages = record.ranges or 0, record.textless_pages
    return replace(
        record,
        ranges=first + count_ranges(record.pages or 0, size),
        recognised_from=first,
        dispatched=False,
        pages_done=0,
        chunks=0,
        characters=0,
        unreadable_pages=frozenset(),
        textless_pages=0,
        doubtful_pages=frozenset(),
        detail=f"being recognised: {pages} page{'' if pages == 1 else 's'} without text",
    )


def outcome(record: DocumentRecord) -> DocumentRecord:
    """The record of a document of which every range is done, INDEXED or EMPTY. Raises `Refused`."""
    recognised = record.recognised_from is not None
    if record.chunks == 0 and record.unreadable_pages:
        why = "could not be recognised" if recognised else "the fonts do not say which characters they show"
        raise Refused(Reason.UNREADABLE, f"{_named(record.unreadable_pages)}: {why}")
    notes: list[str] = []
    if record.doubtful_pages:
        notes.append(f"{_named(record.doubtful_pages)}: recognised with too little confidence, not indexed")
    if record.unreadable_pages and recognised:
        notes.append(f"{_named(record.unreadable_pages)}: could not be recognised, not indexed")
    if record.chunks == 0:
        nothing = "no page shows text" if recognised else "no page has a text layer: most often a scan"
        detail = "; ".join(notes) or nothing
        return replace(record, status=Status.EMPTY, reason=Reason.NO_TEXT.value, detail=detail)
    return replace(record, status=Status.INDEXED, reason=None, detail="; ".join(notes) or None)


def _named(numbers: Collection[int]) -> str:
    more = len(numbers) - _PAGES_NAMED
    shown = ", ".join(map(str, sorted(numbers)[:_PAGES_NAMED]))
    return ("page " if len(numbers) == 1 else "pages ") + shown + (f" and {more} more" if more > 0 else "")
