"""Find the collections and documents that a principal may see, and those that a question searches.

The ledger decides at the time of the question: tags can change without a new version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from os.path import commonprefix

from docwell.answers import Refusal
from docwell.errors import NotFound, StillIndexing, Unavailable
from docwell.identity import RESERVED_COLLECTION, Principal, Rule
from docwell.models import DEFAULT_COLLECTION, Attributes, DocumentRecord, Passage, Status, collection_of
from docwell.ports import Catalogue, Listing, LiveDocument, Places


def may_see(principal: Principal, key: str, tags: Mapping[str, str]) -> bool:
    """Return whether the principal may see a document with these tags. Unknown tags are no tags."""
    return principal.may_read(collection_of(key)) or any(_allows(rule, key, tags) for rule in principal.rules)


def may_see_record(principal: Principal, record: DocumentRecord) -> bool:
    """Return whether the principal may see a document in any status. Only live documents have known tags."""
    tags = record.live_attributes.tags if record.answers and record.live_attributes else {}
    return may_see(principal, record.key, tags)


def visible(catalogue: Catalogue, principal: Principal, keys: Iterable[str]) -> frozenset[str]:
    """Return the documents that the principal may see now. Only live documents have known tags."""
    keys = list(dict.fromkeys(keys))
    live = catalogue.described(keys) if principal.rules else {}
    tags = {key: document.attributes.tags for key, document in live.items()}
    return frozenset(key for key in keys if may_see(principal, key, tags.get(key, {})))


def reachable(principal: Principal) -> frozenset[str] | None:
    """Return the collections that may hold a document for the principal; None: any."""
    homes = {rule.collection for rule in principal.rules}
    if principal.collections is None or None in homes:
        return None
    return principal.collections | {home for home in homes if home is not None}


def reaches(principal: Principal, collection: str) -> bool:
    """Return whether the collection may hold a document for the principal."""
    among = reachable(principal)
    return collection != RESERVED_COLLECTION if among is None else collection in among


def shared_prefix(principal: Principal, collection: str | None) -> str:
    """Return the longest prefix that all visible documents of a collection share (None: of all collections)."""
    if principal.may_read(collection) or (collection is None and principal.collections):
        return ""
    homes = (None, collection)
    prefixes = [rule.prefix for rule in principal.rules if collection is None or rule.collection in homes]
    return commonprefix(prefixes)  # noqa: RUF071 - keys are no paths


def longer_prefix(prefix: str, limit: str) -> str | None:
    """Return the longer of two prefixes of a key; None where no key has both."""
    if prefix.startswith(limit):
        return prefix
    return limit if limit.startswith(prefix) else None


def _allows(rule: Rule, key: str, tags: Mapping[str, str]) -> bool:
    home = collection_of(key)
    in_collection = rule.collection == home or (rule.collection is None and home != RESERVED_COLLECTION)
    return in_collection and key.startswith(rule.prefix) and rule.tags <= tags.items()


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions on a document. All of them must hold; an empty filter matches every document.

    Attributes:
        prefix: the beginning of the key.
        documents: the keys themselves.
        title: words that the title contains, in any case.
        author: words that the author contains, in any case.
        created_from: the first day ("2026-03-01"), included. A document without a day does not match.
        created_to: the last day, included.
        tags: tags that the document has with these values.
        metadata: metadata that the document has with these values; names in any case.
    """

    prefix: str = ""
    documents: tuple[str, ...] = ()
    title: str = ""
    author: str = ""
    created_from: str = ""
    created_to: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    def matches(self, key: str, attributes: Attributes) -> bool:
        """Return whether a document with this key and these attributes matches."""
        return (
            key.startswith(self.prefix)
            and (not self.documents or key in self.documents)
            and _has_words(self.title, attributes.title)
            and _has_words(self.author, attributes.author)
            and self._in_time(attributes.created)
            and self.tags.items() <= attributes.tags.items()
            # S3 keeps metadata names in lower case.
            and {name.lower(): value for name, value in self.metadata.items()}.items()
            <= attributes.metadata.items()
        )

    def collections(self, among: Sequence[str]) -> tuple[str, ...]:
        """Return the collections in which a key can begin with the prefix."""
        if "/" in self.prefix:
            return tuple(name for name in among if name == collection_of(self.prefix))
        return tuple(name for name in among if name == DEFAULT_COLLECTION or name.startswith(self.prefix))

    def _in_time(self, created: str | None) -> bool:
        if not self.created_from and not self.created_to:
            return True
        # Days in this form sort as text.
        return created is not None and self.created_from <= created <= (self.created_to or created)


NO_FILTER = Filter()


def _has_words(words: str, text: str | None) -> bool:
    """Return whether a text contains each of the words."""
    folded = (text or "").casefold()
    return all(word in folded for word in words.casefold().split())


# The most rows and collections read for one question. A row takes about 1 KB and DynamoDB returns 1 MB at once, so
# these are two or three requests. 2,500 keys in one condition made a Chroma search of 20,000 chunks 60 ms slower.
MOST_ROWS = 2000
_MOST_COLLECTIONS = 50
# The rows to read to see that a collection exists.
_FIRST_ROWS = 25
# The rows and the newest objects to read to see that documents wait.
_ROWS, _NEWEST = 50, 5

# The same message for missing and forbidden, so that existence does not leak.
NO_COLLECTION = "no such collection, or nothing of it is indexed yet"
INDEX_LOST = "the index has no chunk of documents that are INDEXED: `docwell reconcile` sends them to ingest again"
NO_DOCUMENT = "no document has this key; `docwell ls` and GET /v1/documents list the keys"


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to search: `places`, or all collections with None. Every hit must also be allowed."""

    principal: Principal
    places: Places | None = None
    filter: Filter = NO_FILTER
    unread: frozenset[str] = frozenset()  # collections that exist only if a hit is live, or the ledger has a row

    @property
    def is_narrowed(self) -> bool:
        """Return whether single hits can be forbidden, since no list of documents limits the search."""
        among = self.places.values() if self.places is not None else (None,)
        has_conditions = self.principal.rules or self.filter != NO_FILTER
        return bool(has_conditions) and any(documents is None for documents in among)

    def only(self, document: str) -> Scope:
        """Return the part of the scope that is this document."""
        return replace(self, places={collection_of(document): [document]})

    def documents(self, catalogue: Catalogue, most: int) -> tuple[Mapping[str, LiveDocument], bool]:
        """Return the live documents of the scope that are allowed now, and whether these are all.

        Some are missing where there are over `most` rows. Those of whole collections are read eventually
        consistently.
        """
        documents, complete = dict[str, LiveDocument](), True
        for collection, keys in [(None, None)] if self.places is None else self.places.items():
            shared = shared_prefix(self.principal, collection)
            prefix = longer_prefix(self.filter.prefix, shared)
            if keys is not None:
                documents |= catalogue.described(keys)
            elif prefix is not None and complete:
                live, rows = catalogue.under(collection, prefix, most)
                documents |= live
                complete, most = rows is not None, most - (rows or 0)
        return {key: document for key, document in documents.items() if self.allows(key, document)}, complete

    def covers(self, hit: Passage) -> bool:
        """Return whether the hit is in a place to search: in rare cases the index returns others."""
        home = collection_of(hit.document)
        return home != RESERVED_COLLECTION if self.places is None else home in self.places

    def live(self, catalogue: Catalogue, keys: Sequence[str]) -> Mapping[str, str]:
        """Return the live generation of each of the documents that is allowed now, read consistently."""
        return {
            key: document.generation
            for key, document in catalogue.described(keys).items()
            if (self.places is None or collection_of(key) in self.places) and self.allows(key, document)
        }

    def allows(self, key: str, document: LiveDocument) -> bool:
        """Return whether a document matches the filter and the principal may see it."""
        attributes = document.attributes
        matches = self.filter == NO_FILTER or self.filter.matches(key, attributes)
        return matches and may_see(self.principal, key, attributes.tags)


def find_scope(
    ledger: Catalogue, principal: Principal, collections: Sequence[str], document: str | None, condition: Filter
) -> Scope:
    """Return the scope of a question. No `collections` means all that the principal may read.

    Raises:
        NotFound: a document does not exist, or the principal may not read it or a collection.
    """
    named = condition.documents if document is None else (document,)
    if named:
        return Scope(principal, _of_documents(ledger, principal, collections, named, condition), condition)
    unread = frozenset(collections)
    if condition != NO_FILTER or not all(map(principal.may_read, unread)):
        check_exist(ledger, principal, unread)
        unread = frozenset()
    scope = Scope(principal, filter=condition, unread=unread)
    if condition == NO_FILTER and not collections and principal.collections is None:
        return scope
    return replace(scope, places=_places(ledger, scope, collections))


def check_exist(ledger: Catalogue, principal: Principal, collections: Iterable[str]) -> None:
    """Check that the collections exist for the principal. Raises `NotFound`."""
    if not all(exists(ledger, principal, name) for name in collections):
        raise NotFound(NO_COLLECTION)


def _of_documents(
    ledger: Catalogue, principal: Principal, collections: Sequence[str], keys: Sequence[str], condition: Filter
) -> Places:
    outside = collections and not {collection_of(key) for key in keys} <= set(collections)
    if outside or not visible(ledger, principal, keys) >= set(keys):
        raise NotFound(NO_DOCUMENT)
    is_filtered = condition != NO_FILTER
    live = ledger.described(keys) if is_filtered else {}
    for record in (ledger.get(key) for key in keys if key not in live):
        if record is None or record.status is Status.DELETED:  # a deleted document keeps its row
            raise NotFound(NO_DOCUMENT)
    return by_collection(
        key for key in keys if not is_filtered or (key in live and condition.matches(key, live[key].attributes))
    )


def exists(ledger: Catalogue, principal: Principal, collection: str) -> bool:
    """Return whether the collection has a live document that the principal may see."""
    if not reaches(principal, collection):
        return False
    for most in (_FIRST_ROWS, MOST_ROWS):
        live, complete = Scope(principal, {collection: None}).documents(ledger, most)
        if live or complete:
            return bool(live)
    return principal.may_read(collection)


def _places(ledger: Catalogue, scope: Scope, collections: Sequence[str]) -> Places | None:
    """Return the documents that match and are visible, or whole collections if there are too many."""
    principal, condition = scope.principal, scope.filter
    among: Iterable[str] | None = collections or reachable(principal)
    # [None] means all collections.
    candidates: Sequence[str | None] = [collection_of(condition.prefix) if "/" in condition.prefix else None]
    if among is not None:
        candidates = condition.collections(sorted(among))
    places: dict[str, Sequence[str] | None] = {}
    left = MOST_ROWS
    for number, collection in enumerate(candidates):
        prefix = longer_prefix(condition.prefix, shared_prefix(principal, collection))
        if prefix is None:
            continue
        rows: int | None = None
        is_partial = condition != NO_FILTER or not principal.may_read(collection)
        if is_partial and left > 0 and number < _MOST_COLLECTIONS:
            live, rows = ledger.under(collection, prefix, left)
        if rows is not None:
            left -= rows
            places |= by_collection(key for key, document in live.items() if scope.allows(key, document))
        elif collection is None:
            return None
        else:
            places[collection] = None
    return places


def by_collection(keys: Iterable[str]) -> dict[str, Sequence[str]]:
    """Return the keys of each collection."""
    return {name: list(group) for name, group in groupby(sorted(keys, key=collection_of), collection_of)}


def unfinished(ledger: Catalogue, scope: Scope, listing: Listing, *also: Status) -> int:
    """Return how many of some new documents of a scope have no row yet, are PENDING or `also`."""
    whole = frozenset(name for name, documents in (scope.places or {}).items() if documents is None)
    among = reachable(scope.principal) if scope.places is None else whole
    keys = {key for documents in (scope.places or {}).values() for key in documents or ()}
    if among != frozenset():
        collections = None if among is None else sorted(among)
        rows, _ = ledger.page(collections, Status.PENDING, None, _ROWS, scope.filter.prefix)
        new = [row.key for row in rows]
        after = f"{collections[0]}/" if collections and DEFAULT_COLLECTION not in collections else ""
        with suppress(Unavailable):  # the role may lack the right to list
            objects = sorted(listing(after)[0], key=lambda row: row.modified)
            new += [row.key for row in objects if among is None or collection_of(row.key) in among][-_NEWEST:]
        # Tags and metadata are not known before ingest.
        keys.update(key for key in new if scope.allows(key, LiveDocument("", Attributes())))
    return sum(row is None or row.status in {Status.PENDING, *also} for row in map(ledger.get, [*keys][:_ROWS]))


def why_empty(ledger: Catalogue, scope: Scope, listing: Listing) -> Refusal:
    """Return why a search is empty. Raises `Unavailable` for a lost index, `StillIndexing` if documents wait."""
    if scope.filter != NO_FILTER:
        return "filter" if scope.places == {} else "nothing_near"
    # Before the live ones, so that a document that goes live meanwhile counts as one or the other.
    waits = unfinished(ledger, scope, listing, Status.INDEXED)
    live, _ = scope.documents(ledger, MOST_ROWS)
    # Read again, consistently: a document may have been deleted since the search.
    if live and scope.live(ledger, [*live][:_ROWS]):
        raise Unavailable("chroma", INDEX_LOST)
    if waits:
        raise StillIndexing("ledger", "ask again in a minute, or see the list of documents")
    return "nothing_indexed"
