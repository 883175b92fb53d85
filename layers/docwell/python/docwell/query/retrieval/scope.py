"""Find the collections and documents that a question searches: readable, and matched by its filter.

The ledger decides at the time of the question: tags can change without a new version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from docwell.attributes import Attributes
from docwell.errors import NotFound
from docwell.identity import RESERVED_COLLECTION, Principal
from docwell.models import Passage, Status, collection_of
from docwell.ports import Catalogue, LiveDocument, Places
from docwell.query import rights
from docwell.query.retrieval.filters import ANY, Filter

# The most rows and collections read for one question. A row takes about 1 KB and DynamoDB returns 1 MB at once, so
# these are two or three requests. 2,500 keys in one condition made a Chroma search of 20,000 chunks 60 ms slower.
MOST_ROWS = 2000
_MOST_COLLECTIONS = 50
# Enough to see that a collection exists.
_FIRST_ROWS = 25

# The same message for missing and forbidden, so that existence does not leak.
NO_COLLECTION = "no such collection, or nothing of it is indexed yet"
NO_DOCUMENT = "no document has this key; `docwell status` and GET /v1/documents list the keys"


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to search: `places`, or all collections with None. Every hit must also be allowed.

    Whether the collection `unproved` exists is not known: a live hit proves it.
    """

    principal: Principal
    places: Places | None = None
    filter: Filter = ANY
    unproved: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to search."""
        return self.places is not None and not self.places

    @property
    def is_narrowed(self) -> bool:
        """Whether single hits can be forbidden, because no list of documents limits the search to allowed ones."""
        among = self.places.values() if self.places is not None else (None,)
        return bool(self.filter or self.principal.rules) and any(documents is None for documents in among)

    def only(self, document: str) -> Scope:
        """Return the part of the scope that is this document."""
        return replace(self, places={collection_of(document): [document]}, unproved=None)

    def prove(self, catalogue: Catalogue) -> None:
        """Read whether the collection exists if a search has found nothing. Raises `NotFound`."""
        if self.unproved is not None and not exists(catalogue, self.principal, self.unproved):
            raise NotFound(NO_COLLECTION)

    def documents(self, catalogue: Catalogue, most: int) -> tuple[Mapping[str, LiveDocument], bool]:
        """Return the live documents of the scope that are allowed now, and whether these are all.

        Some are missing where there are over `most` rows. Those of whole collections are read eventually
        consistently.
        """
        found: dict[str, LiveDocument] = {}
        complete = True
        for collection, keys in [(None, None)] if self.places is None else self.places.items():
            own = rights.shared_prefix(self.principal, collection)
            prefix = rights.longer_prefix(self.filter.prefix, own)
            if keys is not None:
                found |= catalogue.described(keys)
            elif prefix is not None and complete:
                live, rows = catalogue.under(collection, prefix, most)
                found |= live
                complete, most = rows is not None, most - (rows or 0)
        wanted = {key: one for key, one in found.items() if _is_wanted(self.principal, self.filter, key, one)}
        return wanted, complete

    def covers(self, hit: Passage) -> bool:
        """Return whether the hit is of a place to search. In rare cases the index returns another one."""
        home = collection_of(hit.document)
        return home != RESERVED_COLLECTION if self.places is None else home in self.places

    def live(self, catalogue: Catalogue, keys: Sequence[str]) -> Mapping[str, str]:
        """Return the live generation of each of the documents that is allowed now, read consistently."""
        if self.filter or self.principal.rules:
            found = catalogue.described(keys)
        else:  # no attribute decides
            found = {key: LiveDocument(one, Attributes()) for key, one in catalogue.live(keys).items()}
        return {
            key: one.generation
            for key, one in found.items()
            if (self.places is None or collection_of(key) in self.places)
            and _is_wanted(self.principal, self.filter, key, one)
        }


def find_scope(
    ledger: Catalogue,
    principal: Principal,
    collections: Sequence[str],
    document: str | None,
    wanted: Filter,
    *,
    proves: bool = True,
) -> Scope:
    """Return the scope of a question. No `collections` means all that the principal may read.

    Without `proves`, a single collection that the principal may read is left unproved: that saves a read.

    Raises:
        NotFound: a collection or document does not exist, or the principal may not read it.
    """
    named = wanted.documents if document is None else (document,)
    if named:
        return Scope(principal, _of_documents(ledger, principal, collections, named, wanted), wanted)
    if len(collections) == 1 and principal.may_read(collections[0]) and not (proves or wanted):
        return Scope(principal, dict.fromkeys(collections), wanted, unproved=collections[0])
    if not all(exists(ledger, principal, name) for name in collections):
        raise NotFound(NO_COLLECTION)
    return Scope(principal, _places(ledger, principal, collections, wanted), wanted)


def _of_documents(
    ledger: Catalogue, principal: Principal, collections: Sequence[str], keys: Sequence[str], wanted: Filter
) -> Places:
    outside = collections and not {collection_of(key) for key in keys} <= set(collections)
    if outside or not rights.visible(ledger, principal, keys) >= set(keys):
        raise NotFound(NO_DOCUMENT)
    live = ledger.described(keys) if wanted else {}
    for record in (ledger.get(key) for key in keys if key not in live):
        if record is None or record.status is Status.DELETED:  # a deleted document keeps its row
            raise NotFound(NO_DOCUMENT)
    return _by_collection(
        key for key in keys if not wanted or (key in live and wanted.matches(key, live[key].attributes))
    )


def exists(ledger: Catalogue, principal: Principal, collection: str) -> bool:
    """Return whether the collection has a live document that the principal may see."""
    if not rights.reaches(principal, collection):
        return False
    for most in (_FIRST_ROWS, MOST_ROWS):
        live, rows = ledger.under(collection, rights.shared_prefix(principal, collection), most)
        if any(rights.may_see(principal, key, one.attributes.tags) for key, one in live.items()):
            return True
        if rows is not None:
            return False
    return principal.may_read(collection)


def _places(ledger: Catalogue, principal: Principal, collections: Sequence[str], wanted: Filter) -> Places | None:
    """Return the documents that match and are the principal's, or whole collections where these are too many."""
    found: dict[str, Sequence[str] | None] = {}
    left = MOST_ROWS
    for number, collection in enumerate(_candidates(principal, collections, wanted)):
        prefix = rights.longer_prefix(wanted.prefix, rights.shared_prefix(principal, collection))
        if prefix is None:
            continue
        rows: int | None = None
        if (wanted or not principal.may_read(collection)) and left > 0 and number < _MOST_COLLECTIONS:
            live, rows = ledger.under(collection, prefix, left)
        if rows is not None:
            left -= rows
            found |= _by_collection(key for key, one in live.items() if _is_wanted(principal, wanted, key, one))
        elif collection is None:
            return None
        else:
            found[collection] = None
    return found


def _candidates(principal: Principal, collections: Sequence[str], wanted: Filter) -> Sequence[str | None]:
    """Return the collections that can hold a document for the question; None in place of all of them."""
    among = collections or rights.reach(principal)
    if among is not None:
        return wanted.collections(sorted(among))
    return [collection_of(wanted.prefix) if "/" in wanted.prefix else None]


def _is_wanted(principal: Principal, wanted: Filter, key: str, one: LiveDocument) -> bool:
    return wanted.matches(key, one.attributes) and rights.may_see(principal, key, one.attributes.tags)


def _by_collection(keys: Iterable[str]) -> dict[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for key in keys:
        found.setdefault(collection_of(key), []).append(key)
    return {**found}
