"""Use case: list the documents that a principal may see."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from docwell.errors import NotFound
from docwell.identity import Principal
from docwell.models import DocumentRecord, Status, collection_of
from docwell.ports import Catalogue
from docwell.query import rights
from docwell.query.retrieval.scope import NO_COLLECTION


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
        readable_home = home in readable if readable is not None else rights.reaches(principal, home)
        within = [home] if readable_home else []
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
