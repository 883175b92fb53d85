"""Find the collections and documents that a question searches: readable, and matched by its filter.

The ledger decides at the time of the question: tags can change without a new version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from docwell.errors import NotFound
from docwell.identity import Principal
from docwell.models import Status, collection_of
from docwell.ports import Catalogue, VectorIndex
from docwell.query.retrieval.filters import ANY, Filter

# The most rows and collections read for one question. A row takes about 1 KB and DynamoDB returns 1 MB at once, so
# these are two or three requests. 2,500 keys in one condition made a Chroma search of 20,000 chunks 60 ms slower.
MOST_ROWS = 2000
_MOST_COLLECTIONS = 50

# The same message for missing and forbidden, so that existence does not leak.
NO_COLLECTION = "no such collection, or nothing of it is indexed yet"
NO_DOCUMENT = "no document has this key"


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to search: collections that exist and that the principal may read.

    Every hit must match `filter`. `documents` lists the keys to search by collection; with None, search the whole
    collections and check each hit.
    """

    collections: tuple[str, ...]
    filter: Filter = ANY
    documents: Mapping[str, tuple[str, ...]] | None = None

    def within(self, collection: str) -> tuple[str, ...] | None:
        """Return the documents of a collection to search, or None for all of them."""
        return self.documents[collection] if self.documents is not None else None


def find_scope(
    ledger: Catalogue,
    index: VectorIndex,
    principal: Principal,
    collections: Sequence[str],
    document: str | None,
    wanted: Filter,
) -> Scope:
    """Return the scope of a question. No `collections` means all that the principal may read.

    Raises:
        NotFound: a collection or document does not exist, or the principal may not read it.
    """
    named = wanted.documents if document is None else (document,)
    if named:
        return _of_documents(ledger, principal, collections, named, wanted)
    visible = [name for name in index.collections() if principal.may_read(name)]
    if not set(collections) <= set(visible):
        raise NotFound(NO_COLLECTION)
    among = tuple(collections or visible)
    documents = _matching(ledger, among, wanted) if wanted else None
    return Scope(among if documents is None else tuple(documents), wanted, documents)


def _of_documents(
    ledger: Catalogue, principal: Principal, collections: Sequence[str], keys: Sequence[str], wanted: Filter
) -> Scope:
    homes = {collection_of(key) for key in keys}
    if not all(principal.may_read(home) and (not collections or home in collections) for home in homes):
        raise NotFound(NO_DOCUMENT)
    live = ledger.described(keys) if wanted else {}
    if any(key not in live and not _exists(ledger, key) for key in keys):
        raise NotFound(NO_DOCUMENT)
    matching = [key for key, one in live.items() if wanted.matches(key, one.attributes)] if wanted else keys
    by_home = groupby(sorted(matching, key=collection_of), key=collection_of)
    documents = {home: tuple(own) for home, own in by_home}
    return Scope(tuple(documents), wanted, documents)


def _exists(ledger: Catalogue, key: str) -> bool:
    # A deleted document keeps its row.
    record = ledger.get(key)
    return record is not None and record.status is not Status.DELETED


def _matching(
    ledger: Catalogue, collections: Sequence[str], wanted: Filter
) -> Mapping[str, tuple[str, ...]] | None:
    """Return the live documents that match, by collection, or None if that takes more than `MOST_ROWS` rows."""
    among = wanted.collections(collections)
    if len(among) > _MOST_COLLECTIONS:
        return None
    found: dict[str, tuple[str, ...]] = {}
    left = MOST_ROWS
    for collection in among:
        live, rows = ledger.under(collection, wanted.prefix, left)
        if rows is None:
            return None
        left -= rows
        matching = tuple(key for key, one in live.items() if wanted.matches(key, one.attributes))
        if matching:
            found[collection] = matching
    return found
