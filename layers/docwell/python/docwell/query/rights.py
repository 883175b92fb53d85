"""The documents that a principal may see: whole collections, and those that a rule allows.

The ledger decides at the time of the request: tags can change without a new version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os.path import commonprefix

from docwell.identity import RESERVED_COLLECTION, Principal, Rule
from docwell.models import DocumentRecord, collection_of
from docwell.ports import Catalogue


def may_see(principal: Principal, key: str, tags: Mapping[str, str]) -> bool:
    """Return whether the principal may see a document with these tags. Unknown tags are no tags."""
    return principal.may_read(collection_of(key)) or any(_allows(rule, key, tags) for rule in principal.rules)


def may_see_record(principal: Principal, record: DocumentRecord) -> bool:
    """Return whether the principal may see a document in any status. Only one that answers has known tags."""
    tags = record.live_attributes.tags if record.answers and record.live_attributes else {}
    return may_see(principal, record.key, tags)


def visible(catalogue: Catalogue, principal: Principal, keys: Iterable[str]) -> frozenset[str]:
    """Return the documents that the principal may see now. Only live documents have known tags."""
    keys = list(dict.fromkeys(keys))
    live = catalogue.described(keys) if principal.rules else {}
    tags = {key: document.attributes.tags for key, document in live.items()}
    return frozenset(key for key in keys if may_see(principal, key, tags.get(key, {})))


def reach(principal: Principal) -> frozenset[str] | None:
    """Return the collections that may hold a document for the principal; None: any."""
    homes = {rule.collection for rule in principal.rules}
    if principal.collections is None or None in homes:
        return None
    return principal.collections | {home for home in homes if home is not None}


def reaches(principal: Principal, collection: str) -> bool:
    """Return whether the collection may hold a document for the principal."""
    among = reach(principal)
    return collection != RESERVED_COLLECTION if among is None else collection in among


def shared_prefix(principal: Principal, collection: str | None) -> str:
    """Return the longest prefix that all visible documents of a collection have (None: of all collections)."""
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
