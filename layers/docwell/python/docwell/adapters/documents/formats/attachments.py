"""Files inside a document: the attachments of a message and of a PDF, each in its own kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from docwell.adapters.documents.formats import opening
from docwell.adapters.documents.formats.kinds import Kind
from docwell.adapters.documents.formats.parts import Parts
from docwell.citation_units import CitationUnit, UnitKind
from docwell.errors import Refused
from docwell.models import Reason

# A message in a message in a message.
MAX_DEPTH = 3
_MESSAGES = frozenset({Kind.MAIL, Kind.OUTLOOK})


class Attachment(NamedTuple):
    """A file with its name. `data` is None, or the reason, where it cannot be decoded."""

    name: str
    data: bytes | Reason | None


def add(attachments: Iterable[Attachment], parts: Parts, *, first: int = 1, before: str = "") -> int:
    """Add files, or why they are not read. Return the number of those that are.

    The anchor of each is `before` and `part=N`, from the number `first` on.
    """
    read = 0
    for number, attachment in enumerate(attachments, first):
        with parts.inside(f"attachment {attachment.name}", f"{before}part={number}"):
            parts.depth += 1
            reason = _add(attachment.data, parts)
            parts.depth -= 1
            if reason:
                parts.add(f"[This attachment is not read: {reason}]", CitationUnit(UnitKind.PART, "", ""))
            read += reason is None
    return read


def _add(data: bytes | Reason | None, parts: Parts) -> Reason | None:
    """Add a file. Return why it is not read, or None."""
    if not isinstance(data, bytes):
        return data or Reason.CORRUPT
    try:
        kind, text = opening.kind_of(data)
        if kind is Kind.IMAGE:
            return Reason.NO_TEXT
        if kind in _MESSAGES and parts.depth == MAX_DEPTH:
            return Reason.TOO_MANY_PAGES
        before = len(parts.done)
        opening.add(data, kind, text, parts)
        parts.start_part()
    except (MemoryError, RecursionError):
        raise
    except Refused as refused:
        return Reason(refused.reason)
    except Exception:  # noqa: BLE001 - the libraries raise anything on a damaged attachment
        return Reason.CORRUPT
    return None if len(parts.done) > before else Reason.NO_TEXT
