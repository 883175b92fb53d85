"""Tell an empty index from a lost one, for a question that finds no passage at all."""

from __future__ import annotations

from docwell.errors import Unavailable
from docwell.models import Status
from docwell.ports import Catalogue
from docwell.query import rights
from docwell.query.retrieval.scope import Scope

NOTHING_INDEXED = "Nothing that you may read is indexed yet, so there is no answer."
INDEX_LOST = "the index has no chunk of documents that are INDEXED: `docwell reconcile` sends them to ingest again"
# Rows of one page, and pages read. A page may be empty although more rows follow.
_ROWS, _PAGES = 50, 10


def refusal_of_nothing(ledger: Catalogue, scope: Scope) -> str:
    """Return the text of the refusal. Raises `Unavailable` when the ledger has indexed documents in the scope."""
    if _has_indexed(ledger, scope):
        raise Unavailable("chroma", INDEX_LOST)
    return NOTHING_INDEXED


def _has_indexed(ledger: Catalogue, scope: Scope) -> bool:
    named = [key for documents in (scope.places or {}).values() for key in documents or ()]
    if named:
        return bool(scope.live(ledger, named[:_ROWS]))
    cursor = None
    for _ in range(_PAGES):
        records, cursor = ledger.page(_collections(scope), Status.INDEXED, cursor, _ROWS)
        # Read again, consistently: a document may have been deleted since the search.
        if records and scope.live(ledger, [record.key for record in records]):
            return True
        if cursor is None:
            break
    return False


def _collections(scope: Scope) -> list[str] | None:
    """Return the collections to look in, None for all."""
    if scope.places is not None:
        return sorted(scope.places)
    reach = rights.reach(scope.principal)
    return None if reach is None else sorted(reach)
