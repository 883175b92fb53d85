"""The vector index on a Chroma server, over chromadb's HTTP client.

Where a docwell collection is: see `docwell.adapters.chroma_layout` and docs/decisions/0013-four-shards.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from enum import Enum, auto
from heapq import nsmallest
from itertools import chain, count
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from uuid import uuid4

import httpx
import numpy as np
from cachetools import TTLCache
from chromadb.api.fastapi import FastAPI
from chromadb.api.models.Collection import Collection
from chromadb.config import Settings, System
from chromadb.errors import ChromaError, InvalidArgumentError, InvalidDimensionException, NotFoundError

from docwell.adapters.chroma_layout import SYNC_THRESHOLD, Layout
from docwell.adapters.chroma_records import MARKED, mark_fields, marks_of, passage_of, record_fields
from docwell.errors import BadInput, Corrupt, Unavailable
from docwell.models import IndexRecord, Mark, Passage, collection_of
from docwell.ports import Places

if TYPE_CHECKING:
    from docwell.adapters.server_auth import ServerAuth

_One = TypeVar("_One")
_Result = TypeVar("_Result")
# The name of a Chroma collection, and the id that a chunk has in it.
_ChunkPlace = tuple[str, str]

_CONNECT_TIMEOUT_S = 3.0
# The chunks of a document that are read for one page, at about 4 KB each: those of about 600 pages.
_MOST_READ = 2000
# With Chroma's 16 links and 100 considered neighbours, a search loses the nearest chunks of a small subject beside
# a large one in the same collection. Embedding takes far longer than building a larger graph.
_GRAPH = {"max_neighbors": 32, "ef_construction": 400, "ef_search": 1600}
# A condition costs 5 µs for each chunk that meets it, and loses up to 6% of the nearest; four times as many hits
# cost 1 ms. So a search of whole collections takes this many times `k` hits and drops those of others.
_WIDER = 4
_CALLS_AT_ONCE = 8
_SHARES_KNOWN = 1000
_MOST_HITS = 2000  # an answer of ids and distances takes about 100 KB
_COLLECTIONS_PAGE = 1000
_FLUSHED_AT_ONCE = 250
_METADATA_PAGE = 5000  # about 2 MB of an answer
# An id names one version read by one pipeline. Its text changes only when a document that needed the fallback PDF
# reader is rebuilt with the first one: this bounds how long the old text can be quoted.
_KEPT_S = 600.0


class ChromaIndex:
    """`docwell.ports.VectorIndex` and `IndexRows` over a Chroma server."""

    def __init__(
        self,
        url: str,
        layout: Layout,
        *,
        tenant: str,
        database: str,
        auth: ServerAuth | None = None,
        timeout_s: float = 10.0,
        kept_passages: int = 0,
    ) -> None:
        """Connect at the first call, not here.

        Searches keep the last `kept_passages` passages for ten minutes.
        """
        parsed = httpx.URL(url)
        settings = Settings(
            chroma_api_impl="chromadb.api.fastapi.FastAPI",
            chroma_server_host=str(parsed.copy_with(path="/")).rstrip("/"),
            chroma_server_http_port=parsed.port or (443 if parsed.scheme == "https" else 80),
            chroma_server_ssl_enabled=parsed.scheme == "https",
            anonymized_telemetry=False,
        )
        if auth:
            settings.chroma_server_ssl_verify = auth.tls  # type: ignore[assignment] # httpx takes it as `verify`
        # chromadb.HttpClient sends three requests without a timeout while it is constructed, so a stalled server
        # would hang it. Its HTTP layer alone sends none. Any: its decorators hide the signatures.
        self._server: Any = FastAPI(System(settings))
        timeout = httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S)
        self._server._session.timeout = timeout  # noqa: SLF001 - the client has no public way to set it
        self._server._session.auth = auth or httpx.Auth()  # noqa: SLF001 - the same
        self._where = {"tenant": tenant, "database": database}
        self._layout = layout
        self._known: dict[str, Collection] = {}
        self._kept: TTLCache[_ChunkPlace, Passage] = TTLCache(kept_passages, _KEPT_S, timer=monotonic)
        self._shares: TTLCache[tuple[str, ...], _Share] = TTLCache(_SHARES_KNOWN, _KEPT_S, timer=monotonic)
        self._lock = Lock()

    def upsert(self, collection: str, records: Sequence[IndexRecord]) -> None:
        """Write records by id. When this raises, some may have been written: write them again."""
        if not records:
            return
        self._call(
            self._layout.name(collection),
            lambda chroma: chroma.upsert(
                ids=[self._layout.mark(collection) + record.id for record in records],
                embeddings=np.asarray([record.vector for record in records], dtype=np.float32),
                documents=[record.chunk.text for record in records],
                metadatas=[{"collection": collection, **record_fields(record)} for record in records],
            ),
            create=collection,
        )

    def mark(self, collection: str, marks: Mapping[str, Sequence[Mark]]) -> None:
        """Add marks to the metadata of chunks by id; Chroma ignores ids of no chunk."""
        if marks:
            self._call(
                self._layout.name(collection),
                lambda chroma: chroma.update(
                    ids=[self._layout.mark(collection) + id_ for id_ in marks],
                    metadatas=[mark_fields(each) for each in marks.values()],
                ),
            )

    def marked(self, document: str, generation: str) -> list[tuple[Passage, tuple[Mark, ...]]]:
        """Return the chunks of a generation that have marks, in no order."""
        condition = {"$and": [{"document": document}, {"generation": generation}, {MARKED: True}]}
        rows = self._rows(self._layout.name(collection_of(document)), where=condition)
        return [(passage_of(self._layout.id_of(id_), text, row), marks_of(row)) for id_, text, row in rows]

    def on_page(self, document: str, generation: str, page: int) -> list[Passage]:
        """Return the chunks of a page in no order. Raises `BadInput` for a document with too many chunks."""
        condition = {"$and": [{"document": document}, {"generation": generation}]}
        rows = self._rows(self._layout.name(collection_of(document)), where=condition, limit=_MOST_READ + 1)
        if len(rows) > _MOST_READ:
            raise BadInput("this document is too long to read by page: search in it")
        found = (passage_of(self._layout.id_of(id_), text, row) for id_, text, row in rows)
        return [one for one in found if one.chunk.page == page]

    def containing(self, places: Places, patterns: Sequence[str], limit: int) -> list[Passage]:
        """Return up to `limit` chunks of these documents whose text matches all expressions, in any case."""
        # Chroma's own condition, `$contains`, tells capitals from small letters.
        conditions = [{"$regex": f"(?i){one}"} for one in patterns]
        wanted = {"$and": conditions} if conditions[1:] else conditions[0]

        def read(name: str, part: Places) -> list[Passage]:
            condition = _any_of(document=[key for keys in part.values() for key in keys or ()])
            rows = self._rows(name, where=condition, where_document=wanted, limit=limit)
            return [passage_of(self._layout.id_of(id_), text, row) for id_, text, row in rows]

        return [*chain(*_at_once(lambda part: read(*part), self._layout.by_name(places).items()))][:limit]

    def _rows(self, name: str, **wanted: Any) -> list[tuple[str, str, Any]]:
        """Return (stored id, text, metadata) of chunks of one Chroma collection, without those being removed."""
        answer = self._call(name, lambda chroma: chroma.get(include=["documents", "metadatas"], **wanted))
        rows = zip(answer["ids"], answer["documents"], answer["metadatas"], strict=True) if answer else ()
        return [(id_, text, row) for id_, text, row in rows if row and text is not None]

    def search(self, places: Places | None, vector: Sequence[float], k: int) -> list[Passage]:
        """Return the `k` nearest chunks, nearest first, of these places, or of all collections."""
        parts: Mapping[str, Places | None]
        parts = dict.fromkeys(self.collections()) if places is None else self._layout.by_name(places)
        nearest = nsmallest(k, chain(*_at_once(lambda part: self._nearest(*part, vector, k), parts.items())))
        found = self._read([hit.place for hit in nearest])
        # A chunk that was removed after the search has an id and a distance, but no text to read.
        there = ((found.get(hit.place), hit.distance) for hit in nearest)
        return [passage.scored(1.0 - distance) for passage, distance in there if passage is not None]

    def _nearest(self, name: str, places: Places | None, vector: Sequence[float], k: int) -> list[_Hit]:
        """Return the `k` nearest chunks of one Chroma collection, nearest first."""

        def query(most: int, condition: Any = None) -> list[_Hit]:
            answer = self._call(
                name,
                lambda chroma: chroma.query(
                    query_embeddings=np.asarray([vector], dtype=np.float32),
                    n_results=most,
                    where=condition,
                    include=["distances"],
                ),
            )
            rows = zip(answer["distances"][0], answer["ids"][0], strict=True) if answer else ()
            return [_Hit(distance, (name, id_)) for distance, id_ in rows]

        if places is None:
            return query(k)
        documents = [key for keys in places.values() for key in keys or ()]
        whole = [collection for collection, keys in places.items() if keys is None]
        condition = _any_of(collection=whole, document=documents)
        with self._lock:
            share = _Share.FEW if documents else self._shares.get((name, *whole))
        if share is _Share.FEW:
            return query(k, condition)
        marks = tuple(map(self._layout.mark, whole))
        if share is _Share.ALL:
            hits = query(k)
            if all(hit.place[1].startswith(marks) for hit in hits):
                return hits
        wider = max(k, min(_WIDER * k, _MOST_HITS))
        everything = query(wider)
        hits = [hit for hit in everything if hit.place[1].startswith(marks)]
        met = query(k, condition) if len(hits) < k and len(everything) == wider else None
        if met is not None and len(met) < k:  # the condition alone is the faster search
            learnt = _Share.FEW
        else:
            learnt = _Share.ALL if share is None and len(hits) == len(everything) else _Share.SOME
        if learnt is not share:
            with self._lock:
                self._shares[name, *whole] = learnt
        # The condition misses near chunks that the search without it has.
        return hits[:k] if met is None else nsmallest(k, {hit.place: hit for hit in (*hits, *met)}.values())

    def _read(self, places: Sequence[_ChunkPlace]) -> dict[_ChunkPlace, Passage]:
        """Return chunks from memory or from the server; removed ones are missing."""
        found: dict[_ChunkPlace, Passage] = {}
        missing: dict[str, list[str]] = {}
        with self._lock:
            for place in places:
                try:  # three times as fast as `get`, which looks twice
                    found[place] = self._kept[place]
                except KeyError:
                    missing.setdefault(place[0], []).append(place[1])
        for read in _at_once(lambda one: self._fetch(*one), missing.items()):
            found |= read
        return found

    def _fetch(self, name: str, ids: Sequence[str]) -> dict[_ChunkPlace, Passage]:
        """Return chunks of one Chroma collection from the server, and keep them; removed ones are missing."""
        rows = self._rows(name, ids=ids)
        read = {(name, id_): passage_of(self._layout.id_of(id_), text, row) for id_, text, row in rows}
        if self._kept.maxsize:
            with self._lock:
                self._kept.update(read)
        return read

    def ids(
        self, collection: str, document: str, *, of: str | None = None, but: str | None = None, limit: int = 500
    ) -> list[str]:
        """Return up to `limit` ids of a document's chunks: of the generation `of`, or of any except `but`."""
        condition: dict[str, Any] = {"document": document}
        generation = of if but is None else {"$ne": but}
        if generation is not None:
            condition = {"$and": [condition, {"generation": generation}]}
        found: list[str] | None = self._call(
            self._layout.name(collection),
            lambda chroma: chroma.get(where=condition, limit=limit, include=[])["ids"],
        )
        return [self._layout.id_of(id_) for id_ in found or ()]

    def delete(self, collection: str, ids: Sequence[str]) -> None:
        """Remove chunks by id, which is much faster in Chroma than by a condition."""
        if ids:
            stored = [self._layout.mark(collection) + id_ for id_ in ids]
            self._call(self._layout.name(collection), lambda chroma: chroma.delete(ids=stored))

    def flush(self, collection: str) -> None:
        """Make Chroma apply its write-ahead log, and so remove the text in it.

        Chroma does so after every 1,000 records of a collection. Deletes of unknown ids count, and change nothing.
        """
        for _ in range(0, SYNC_THRESHOLD, _FLUSHED_AT_ONCE):
            self.delete(collection, [uuid4().hex for _ in range(_FLUSHED_AT_ONCE)])

    def page(self, name: str, offset: int, limit: int) -> list[tuple[str, str, str]]:
        """Return (id, document, generation) of up to `limit` chunks of one Chroma collection, in its order."""
        rows = self._metadatas(name, offset, limit)
        return [(self._layout.id_of(id_), row["document"], row["generation"]) for id_, row in rows if row]

    def generations(self, collection: str, documents: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        """Return the number of chunks of each generation of each document."""
        counts: dict[str, Counter[str]] = {}
        for offset in count(0, _METADATA_PAGE):
            condition = _any_of(document=documents)
            rows = self._metadatas(self._layout.name(collection), offset, _METADATA_PAGE, condition)
            for row in (row for _, row in rows if row):
                counts.setdefault(row["document"], Counter())[row["generation"]] += 1
            if len(rows) < _METADATA_PAGE:
                break
        return counts

    def _metadatas(self, name: str, offset: int, limit: int, condition: Any = None) -> list[tuple[str, Any]]:
        """Return (id, metadata) of chunks; a chunk that is being removed has no metadata."""
        answer = self._call(
            name,
            lambda chroma: chroma.get(where=condition, offset=offset, limit=limit, include=["metadatas"]),
        )
        return list(zip(answer["ids"], answer["metadatas"], strict=True)) if answer else []

    def drop(self, name: str) -> None:
        """Remove one of `collections`, if it exists."""
        with _vendor_errors():
            self._known.pop(name, None)
            with suppress(NotFoundError):
                self._server.delete_collection(name, **self._where)

    def collections(self) -> list[str]:
        """Return the names of the Chroma collections of this fingerprint, sorted."""
        names: list[str] = []
        with _vendor_errors():
            for offset in range(0, 1_000_000, _COLLECTIONS_PAGE):
                page = self._server.list_collections(limit=_COLLECTIONS_PAGE, offset=offset, **self._where)
                names += [one.name for one in page if self._layout.owns(one.metadata or {})]
                if len(page) < _COLLECTIONS_PAGE:
                    break
        return sorted(names)

    def _call(self, name: str, call: Any, *, create: str | None = None) -> Any:
        """Return `call(chroma_collection)`; None where it does not exist and is not to be created for `create`.

        If a known collection was removed and created again meanwhile, open it and call again.
        """
        with _vendor_errors():
            chroma = self._open(name, create=create)
            with suppress(NotFoundError):
                return None if chroma is None else call(chroma)
            self._known.pop(name, None)
            chroma = self._open(name, create=create)
            return None if chroma is None else call(chroma)

    def _open(self, name: str, *, create: str | None) -> Collection | None:
        known = self._known.get(name)
        if known is not None:
            return known
        if create is not None:
            model = self._server.get_or_create_collection(
                name,
                configuration={"hnsw": {"space": "cosine", **_GRAPH}},
                metadata=self._layout.metadata(create),
                **self._where,
            )
        else:
            try:
                model = self._server.get_collection(name, **self._where)
            except NotFoundError:
                return None
        space = (model.configuration_json.get("hnsw") or model.configuration_json.get("spann") or {}).get("space")
        if space != "cosine":
            raise Corrupt(f"the Chroma collection {name} has the space {space!r}, not 'cosine'")
        self._known[name] = Collection(client=self._server, model=model, embedding_function=None)
        return self._known[name]


class _Hit(NamedTuple):
    """A chunk by its distance; hits compare by it first."""

    distance: float
    place: _ChunkPlace


class _Share(Enum):
    """How much of a Chroma collection belongs to the docwell collections that are searched."""

    FEW = auto()  # so few chunks that a condition is the fastest search
    SOME = auto()
    ALL = auto()  # all hits of a wide search did


def _at_once(call: Callable[[_One], _Result], items: Iterable[_One]) -> list[_Result]:
    """Return the results of calls that run in parallel."""
    items = list(items)
    if len(items) <= 1:
        return [call(one) for one in items]
    with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
        return list(pool.map(call, items))


def _any_of(**values: Sequence[str]) -> Any:
    """Return Chroma's condition that a field has one of its values, for any field with values."""
    given = {name: list(ones) for name, ones in values.items() if ones}
    conditions = [{name: ones[0] if len(ones) == 1 else {"$in": ones}} for name, ones in given.items()]
    return conditions[0] if len(conditions) == 1 else {"$or": conditions}


@contextmanager
def _vendor_errors() -> Iterator[None]:
    """Translate the client's errors to docwell's, without the server's text, which may quote a document."""
    try:
        yield
    except (Unavailable, Corrupt):
        raise
    except httpx.TimeoutException as error:
        raise Unavailable("chroma", f"chroma did not answer in time ({type(error).__name__})") from None
    except httpx.HTTPError as error:
        raise Unavailable("chroma", f"chroma cannot be reached ({type(error).__name__})") from None
    except (InvalidArgumentError, InvalidDimensionException) as error:
        raise Corrupt(f"chroma refused a request ({error.name()})") from None
    except ChromaError as error:
        raise Unavailable("chroma", f"chroma failed ({error.name()})") from None
    except Exception as error:  # noqa: BLE001 - the client raises bare Exception for an answer it cannot read
        raise Unavailable("chroma", f"chroma's answer cannot be read ({type(error).__name__})") from None
