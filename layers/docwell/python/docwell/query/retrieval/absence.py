"""Tell an empty index from a lost one, for a question that finds no passage at all."""

from __future__ import annotations

from collections.abc import Sequence

from docwell.errors import Unavailable
from docwell.identity import Principal
from docwell.models import Status
from docwell.ports import Catalogue

NOTHING_INDEXED = "Nothing that you may read is indexed yet, so there is no answer."
INDEX_LOST = "the index has no chunk of documents that are INDEXED: `docwell reconcile` sends them to ingest again"
# Rows of one page, and pages read. A page may be empty although more rows follow.
_ROWS, _PAGES = 50, 10


def refusal_of_nothing(
    ledger: Catalogue, principal: Principal, collections: Sequence[str], document: str | None
) -> str:
    """Return the text of the refusal. Raises `Unavailable` when the ledger has indexed documents there."""
    if document is not None:
        indexed = bool(ledger.live([document]))
    else:
        readable = None if principal.collections is None else sorted(principal.collections)
        indexed = _has_indexed(ledger, list(collections) or readable)
    if indexed:
        raise Unavailable("chroma", INDEX_LOST)
    return NOTHING_INDEXED


def _has_indexed(ledger: Catalogue, collections: Sequence[str] | None) -> bool:
    cursor = None
    for _ in range(_PAGES):
        records, cursor = ledger.page(collections, Status.INDEXED, cursor, _ROWS)
        # Read again, consistently: a document may have been deleted since the search.
        if records and ledger.live([record.key for record in records]):
            return True
        if cursor is None:
            break
    return False
