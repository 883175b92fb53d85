"""Where chunks are in Chroma: the one map from a docwell collection to a Chroma collection. Pure.

With shards, a Chroma collection holds many docwell collections, so that a question to all of them costs a fixed
number of searches. Without, it holds one. Chroma allows only some characters in names: a name has a hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from docwell.ports import Places

_MARK = 8  # hex digits
# With more records than this, Chroma applies the write-ahead log of a collection, and purges it some time later.
SYNC_THRESHOLD = 1000


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of one fingerprint's index, in `shards` Chroma collections; 0: one for each docwell collection.

    In a shard, a stored id begins with the mark of its docwell collection, so that a search sees the collection of
    each hit without reading it. Two collections can have the same mark: the ledger has the last word.
    """

    fingerprint: str
    shards: int

    def name(self, collection: str) -> str:
        """Return the name of the Chroma collection that holds a docwell collection."""
        digest = _digest(collection)
        place = f"shard-{int(digest[_MARK:], 16) % self.shards:03}" if self.shards else digest[:24]
        return f"docwell-{place}-{self._short}"

    def by_name(self, places: Places) -> dict[str, Places]:
        """Return the places by the name of their Chroma collection."""
        found: dict[str, dict[str, Sequence[str] | None]] = {}
        for collection, documents in places.items():
            found.setdefault(self.name(collection), {})[collection] = documents
        return {**found}

    def metadata(self, collection: str) -> dict[str, str]:
        """Return the metadata of that Chroma collection."""
        return {"fingerprint": self._short, **({} if self.shards else {"collection": collection})}

    def continuation(self, name: str) -> str:
        """Return the name of the Chroma collection with the rest of records that are over a quota."""
        return f"{name}-continued"

    def continuation_metadata(self) -> dict[str, str]:
        """Return the metadata of such a collection; `owns` is false for it."""
        return {"continues": self._short}

    def owns(self, metadata: Mapping[str, object]) -> bool:
        """Return whether a Chroma collection with this metadata belongs to the fingerprint."""
        return metadata.get("fingerprint") == self._short

    def mark(self, collection: str) -> str:
        """Return the beginning of the stored ids of a docwell collection."""
        return _digest(collection)[:_MARK] if self.shards else ""

    def id_of(self, stored: str) -> str:
        """Return a chunk's id from its stored id."""
        return stored[_MARK:] if self.shards else stored

    @property
    def _short(self) -> str:
        return self.fingerprint[:16]


def _digest(collection: str) -> str:
    return sha256(collection.encode("utf-8", "surrogatepass")).hexdigest()
