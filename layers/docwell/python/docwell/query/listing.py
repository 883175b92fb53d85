"""Use case: list the documents and collections that a principal may see."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from docwell.errors import NotFound
from docwell.identity import Principal
from docwell.models import DocumentRecord, Status, collection_of
from docwell.ports import Catalogue
from docwell.query import rights
from docwell.query.retrieval.scope import MOST_ROWS, NO_COLLECTION, exists


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a listing: of one collection or of all, of keys with a prefix, after a cursor."""

    collection: str | None
    prefix: str
    status: Status | None
    cursor: str | None
    limit: int


def list_documents(
    catalogue: Catalogue, principal: Principal, wanted: Listing
) -> tuple[list[DocumentRecord], str | None]:
    """Return the documents of a page, and the cursor of the next one.

    Raises:
        NotFound: the collection has no document, or none that the principal may see.
        BadInput: the cursor is of another request, or too many other documents come before the next one.
    """
    visible = partial(rights.may_see_record, principal) if principal.rules else None
    reach = rights.reach(principal)
    readable = None if reach is None else sorted(reach)
    if wanted.collection is not None:
        # A collection that the caller may not read looks like one without documents.
        readable = [wanted.collection] if rights.reaches(principal, wanted.collection) else []
    within = readable
    if "/" in wanted.prefix:  # the prefix names their one collection
        home = collection_of(wanted.prefix)
        within = [home] if wanted.collection in (None, home) and rights.reaches(principal, home) else []
    own = rights.shared_prefix(principal, within[0] if within and len(within) == 1 else None)
    prefix = rights.longer_prefix(wanted.prefix, own)
    records, following = catalogue.page(
        within if prefix is not None else [], wanted.status, wanted.cursor, wanted.limit, prefix or "", visible
    )
    if wanted.collection is not None and not records and following is None:
        anything, more = catalogue.page(readable, None, None, 1, own, visible)
        if not anything and more is None:
            raise NotFound(NO_COLLECTION)
    return records, following


def list_collections(catalogue: Catalogue, principal: Principal) -> list[str]:
    """Return the names of the collections that the principal may read, in alphabetical order.

    A caller whose grant names no collections gets those of the first `MOST_ROWS` documents of the ledger.
    """
    reach = rights.reach(principal)
    if reach is not None:
        return sorted(name for name in reach if principal.may_read(name) or exists(catalogue, principal, name))
    live, _ = catalogue.under(None, rights.shared_prefix(principal, None), MOST_ROWS)
    seen = {collection_of(key) for key, one in live.items() if rights.may_see(principal, key, one.attributes.tags)}
    return sorted(seen | (principal.collections or frozenset()))
