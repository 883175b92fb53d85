"""One vector index on several Chroma servers: each docwell collection is on one of them.

The ledger says on which. A new collection goes to the server with the highest hash (rendezvous hashing), so a new
server moves no other collection. A new index, of a re-index, places all collections again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from hashlib import sha256
from itertools import chain
from threading import Lock
from time import monotonic
from typing import Protocol, TypeVar

from docwell.adapters.chroma import ChromaIndex, at_once
from docwell.errors import Unavailable
from docwell.models import IndexRecord, Mark, Passage, collection_of
from docwell.ports import PartialHits, Places, Stamped

_Part = TypeVar("_Part", Places, Places | None)

# A search takes milliseconds. A server that needs this long does not delay the answers from the others.
_ANSWERS_WITHIN_S = 3.0
# Questions to several servers skip one for this long after it has failed.
_RESTS_S = 15.0
_SEPARATOR = " "  # of a server's URL and the name of its Chroma collection


class Facts(Protocol):
    """The part of the ledger that holds the places."""

    def read(self, name: str) -> Mapping[str, str]:
        """Return the fact, empty where there is none."""

    def claim(self, name: str, values: Mapping[str, str], instead_of: Mapping[str, str]) -> bool:
        """Store the fact if the stored one is `instead_of`, which is empty for none. Return whether it was."""


class Placement:
    """The server of each collection of one fingerprint's index, by URL."""

    def __init__(self, facts: Facts, fingerprint: str, urls: Sequence[str]) -> None:
        self._facts, self._fingerprint, self._urls = facts, fingerprint, tuple(urls)
        self._known: dict[str, str] = {}
        self._lock = Lock()

    def find(self, collection: str) -> str:
        """Return the server to read from: the first one for a collection without a place.

        So an index from before there were several servers stays where it is.
        """
        known = self._known.get(collection)
        return known or self._remembered(collection, self._read(collection)) or self._urls[0]

    def find_all(self, collections: Iterable[str]) -> dict[str, str]:
        """Return the server of each collection, as `find` does: a grant may name hundreds."""
        found = {one: self._known.get(one) for one in collections}
        unknown = [one for one, url in found.items() if url is None]
        read = dict(zip(unknown, at_once(self.find, unknown), strict=True))
        return {one: url or read[one] for one, url in found.items()}

    def place(self, collection: str, is_on_first: Callable[[], bool]) -> str:
        """Return the server to write to, after choosing one where the ledger has none of the settings' servers."""
        while (found := self._known.get(collection)) is None:
            before = self._read(collection)
            if self._remembered(collection, before) is None:
                stays = not before and is_on_first()
                url = self._urls[0] if stays else max(self._urls, key=lambda one: _weight(one, collection))
                # When another worker was faster, read its choice.
                self._facts.claim(self._fact(collection), {"server": url}, before)
        return found

    def _read(self, collection: str) -> Mapping[str, str]:
        return self._facts.read(self._fact(collection))

    def _remembered(self, collection: str, fact: Mapping[str, str]) -> str | None:
        """Return and keep the server of a fact, None if the settings no longer have it: its chunks are lost."""
        url = fact.get("server", "")
        if url not in self._urls:
            return None
        with self._lock:
            self._known[collection] = url
        return url

    def _fact(self, collection: str) -> str:
        return f"chroma/{self._fingerprint}/{collection}"


class PlacedIndex:
    """The index on several servers, given by URL, the first one first: the same ports as `ChromaIndex`."""

    def __init__(self, servers: Mapping[str, ChromaIndex], placement: Placement) -> None:
        self._servers, self._placement = servers, placement
        self._first = next(iter(servers))
        self._failed_at: dict[str, float] = {}

    def upsert(self, collection: str, records: Sequence[IndexRecord]) -> None:
        """Write records as `ChromaIndex.upsert` does, to the collection's server."""
        with self._named(self._first):
            url = self._placement.place(collection, lambda: self._servers[self._first].holds(collection))
        with self._named(url):
            self._servers[url].upsert(collection, records)

    def mark(self, collection: str, marks: Mapping[str, Sequence[Mark]]) -> None:
        """Add marks to chunks by id."""
        with self._of(collection) as server:
            server.mark(collection, marks)

    def marked(self, document: str, generation: str) -> list[tuple[Passage, tuple[Mark, ...]]]:
        """Return the chunks of a generation that have marks, in no order."""
        with self._of(collection_of(document)) as server:
            return server.marked(document, generation)

    def on_page(self, document: str, generation: str, page: int) -> list[Passage]:
        """Return the chunks of a page in no order. Raises `BadInput` for a document with too many chunks."""
        with self._of(collection_of(document)) as server:
            return server.on_page(document, generation, page)

    def containing(self, places: Places, patterns: Sequence[str], limit: int) -> list[Passage]:
        """Return up to `limit` chunks of these documents whose text matches all expressions, in any case.

        `PartialHits` and `Unavailable` as in `search`.
        """
        parts = self._by_server(places)
        answers = self._answers(parts, lambda server, part: server.containing(part, patterns, limit))
        found = [*chain(*answers.values())][:limit]
        missing = [one for url in parts.keys() - answers.keys() for one in parts[url]]
        return PartialHits(found, missing) if missing else found

    def search(self, places: Places | None, vector: Sequence[float], k: int) -> list[Passage]:
        """Return the `k` nearest chunks, nearest first; `PartialHits` where a server did not answer.

        Raises `Unavailable` where none did.
        """
        parts: Mapping[str, Places | None]
        parts = dict.fromkeys(self._servers) if places is None else self._by_server(places)
        answers = self._answers(parts, lambda server, part: server.search(part, vector, k), _ANSWERS_WITHIN_S)
        nearest = sorted(chain(*answers.values()), key=lambda one: -one.score)[:k]
        return nearest if len(answers) == len(parts) else PartialHits(nearest)

    def _answers(
        self,
        parts: Mapping[str, _Part],
        call: Callable[[ChromaIndex, _Part], list[Passage]],
        within_s: float | None = None,
    ) -> dict[str, list[Passage]]:
        """Return the answer of each server by URL, without those that fail; `within_s` only holds for several.

        Where it is None, as for a list, a server that rests is not asked again, and one that fails does not rest:
        it may still search well. Raises `Unavailable` where none answers.
        """
        if not parts:
            return {}
        awake = [url for url in parts if monotonic() >= self._failed_at.get(url, -_RESTS_S) + _RESTS_S]
        asked = awake or (list(parts) if within_s else [])
        pool = ThreadPoolExecutor(max(len(asked), 1))
        calls = {url: pool.submit(call, self._servers[url], parts[url]) for url in asked}
        wait(calls.values(), timeout=within_s if len(parts) > 1 else None)
        pool.shutdown(wait=False, cancel_futures=True)
        answers = dict[str, list[Passage]]()
        failure = Unavailable("chroma", "chroma did not answer in time")
        for url, future in calls.items():
            try:
                with self._named(url):
                    answers[url] = future.result(timeout=0)
                self._failed_at.pop(url, None)
            except (TimeoutError, Unavailable) as error:
                if within_s:
                    self._failed_at[url] = monotonic()
                failure = error if isinstance(error, Unavailable) else failure
        if not answers:
            raise failure
        return answers

    def ids(
        self, collection: str, document: str, *, of: str | None = None, but: str | None = None, limit: int = 500
    ) -> Stamped:
        """Return up to `limit` ids of a document's chunks: of the generation `of`, or of any except `but`."""
        with self._of(collection) as server:
            return server.ids(collection, document, of=of, but=but, limit=limit)

    def delete(self, collection: str, ids: Stamped) -> None:
        """Remove chunks by id, except those written again since."""
        with self._of(collection) as server:
            server.delete(collection, ids)

    def flush(self, collection: str) -> None:
        """Remove the text of deleted chunks from the server's write-ahead log."""
        with self._of(collection) as server:
            server.flush(collection)

    def generations(self, collection: str, documents: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        """Return the number of chunks of each generation of each document."""
        with self._of(collection) as server:
            return server.generations(collection, documents)

    def page(self, name: str, offset: int, limit: int) -> list[tuple[str, str, str]]:
        """Return (id, document, generation) of up to `limit` chunks of one of `collections`, in its order."""
        url, _, own = name.partition(_SEPARATOR)
        with self._named(url):
            return self._servers[url].page(own, offset, limit)

    def collections(self) -> list[str]:
        """Return the names of the Chroma collections of this fingerprint on all servers, sorted."""
        names: list[str] = []
        for url, server in self._servers.items():
            with self._named(url):
                names += [f"{url}{_SEPARATOR}{name}" for name in server.collections()]
        return sorted(names)

    def drop(self, name: str) -> None:
        """Remove one of `collections`, if it exists."""
        url, _, own = name.partition(_SEPARATOR)
        with self._named(url):
            self._servers[url].drop(own)

    def _by_server(self, places: Places) -> dict[str, Places]:
        parts: dict[str, dict[str, Sequence[str] | None]] = {}
        for collection, url in self._placement.find_all(places).items():
            parts.setdefault(url, {})[collection] = places[collection]
        return {**parts}

    @contextmanager
    def _of(self, collection: str) -> Iterator[ChromaIndex]:
        url = self._placement.find(collection)
        with self._named(url):
            yield self._servers[url]

    @contextmanager
    def _named(self, url: str) -> Iterator[None]:
        """Say by number, and not by address, which server failed."""
        try:
            yield
        except Unavailable as error:
            number = list(self._servers).index(url) + 1
            of = f"server {number} of {len(self._servers)}"
            raise Unavailable(error.dependency, f"{error.detail}: {of}", error.retry_after) from None


def _weight(url: str, collection: str) -> bytes:
    return sha256(f"{url}\0{collection}".encode("utf-8", "surrogatepass")).digest()
