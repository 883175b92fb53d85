"""The vector index on a Chroma server, over chromadb's HTTP client.

`docwell.adapters.chroma_records` defines the collection and the fields of a chunk.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from heapq import nsmallest
from itertools import chain, islice
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

from docwell.adapters.chroma_records import (
    MARKED,
    STAMP,
    SYNC_THRESHOLD,
    UNLIMITED,
    Layout,
    Quotas,
    marks_of,
    new_stamp,
    passage_of,
    stored_fields,
)
from docwell.errors import BadInput, Corrupt, Unavailable
from docwell.models import IndexRecord, Mark, Passage, collection_of
from docwell.ports import Places, Stamped

if TYPE_CHECKING:
    from docwell.adapters.server_auth import ServerAuth

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
# The name of a Chroma collection, and the id that a chunk has in it.
_ChunkPlace = tuple[str, str]
# The id, the text and the metadata of a chunk.
_Row = tuple[str, str, Any]
_ROW = ["documents", "metadatas"]

# The most chunks of a document to read for one page, at about 4 KB each: those of about 600 pages.
_MOST_READ = 2000
# A condition costs 5 µs for each chunk that meets it and loses up to 6% of the nearest chunks; four times as many
# hits cost 2 ms. So a search of whole collections requests this many times `k` hits where `k` have hits of others.
_WIDER = 4
# Filters with at most so many documents and chunks compare each chunk: about 100 pages, 20 ms. With a condition, a
# self-hosted server computes the distance of most chunks, also of those that do not meet it.
_DOCUMENTS_COMPARED, _MOST_COMPARED = 30, 300
_NO_LENGTH = 1e-12  # shorter vectors have no direction
_CALLS_AT_ONCE = 8
_MOST_HITS = 2000  # an answer of ids and distances takes about 100 KB
_FLUSHED_AT_ONCE = 250
# The hosted service's limit of comparisons. `$in` takes 0.5 s longer beside 500 ids of 100,000.
_STAMPS_AT_ONCE = 8
# Chroma lists a chunk that is being removed without metadata: use this instead.
_GONE: Mapping[str, Any] = {STAMP: "gone"}
# Seconds to cache a passage. A text changes under the same id only when a rebuild uses another PDF reader: this
# bounds how long the old text is quoted.
_KEPT_S = 600.0


class ChromaIndex:
    """`docwell.ports.VectorIndex` and `IndexRows` over a Chroma server."""

    def __init__(self, server: ChromaServer, layout: Layout, kept_passages: int = 0) -> None:
        """Searches keep the last `kept_passages` passages for ten minutes."""
        self._server = server
        self._layout = layout
        self._kept: TTLCache[_ChunkPlace, Passage] = TTLCache(kept_passages, _KEPT_S, timer=monotonic)
        self._lock = Lock()
        self._mixed: set[str] = set()  # Chroma collections whose nearest chunks were of several collections

    def upsert(self, collection: str, records: Sequence[IndexRecord]) -> None:
        """Write records by id. After an error some may be written: write all again."""
        if not records:
            return
        mark, stamp = self._layout.mark(collection), new_stamp()
        columns = {
            "ids": [mark + record.id for record in records],
            "embeddings": np.asarray([record.vector for record in records], dtype=np.float32),
            "documents": [record.chunk.text for record in records],
            "metadatas": [stored_fields(collection, record, stamp) for record in records],
        }
        self._server.upsert(self._layout.name(collection), self._layout.metadata(), columns)

    def marked(self, document: str, generation: str) -> list[tuple[Passage, tuple[Mark, ...]]]:
        """Return the chunks of a generation that have marks, in no order."""
        condition = {"$and": [{"document": document}, {"generation": generation}, {MARKED: True}]}
        name = self._layout.name(collection_of(document))
        rows = list(self._server.rows(name, where=condition))
        marks = {self._layout.id_of(id_): marks_of(row) for id_, _, row in rows}
        return [(passage, marks[passage.id]) for passage in self._passages(rows)]

    def on_page(self, document: str, generation: str, page: int) -> list[Passage]:
        """Return the chunks of a page in no order. Raises `BadInput` for a document with too many chunks."""
        condition = {"$and": [{"document": document}, {"generation": generation}]}
        name = self._layout.name(collection_of(document))
        rows = list(self._server.rows(name, where=condition, limit=_MOST_READ + 1))
        if len(rows) > _MOST_READ:
            raise BadInput("this document is too long to read by page: search in it")
        return [passage for passage in self._passages(rows) if passage.chunk.page == page]

    def containing(self, places: Places, patterns: Sequence[str], limit: int) -> list[Passage]:
        """Return up to `limit` chunks of these documents whose text matches all expressions, in any case."""
        # Chroma's `$contains` is case-sensitive, so use a regular expression.
        expressions = [f"(?i){pattern}" for pattern in patterns]
        quota = self._server.quotas.pattern_bytes
        conditions = [{"$regex": text} for text in expressions if len(text.encode()) <= quota]
        local = [re.compile(text) for text in expressions if len(text.encode()) > quota]
        matching = {"$and": conditions} if conditions[1:] else next(iter(conditions), None)

        def read(name: str, part: Places) -> list[Passage]:
            condition = _any_of(document=[key for keys in part.values() for key in keys or ()])
            read_limit = None if local else limit
            rows = self._server.rows(name, where=condition, where_document=matching, limit=read_limit)
            matches = (row for row in rows if all(pattern.search(row[1]) for pattern in local))
            return self._passages(islice(matches, limit))

        return [*chain(*at_once(lambda part: read(*part), self._layout.by_name(places).items()))][:limit]

    def _passages(self, rows: Iterable[_Row]) -> list[Passage]:
        """Return the passages of rows, as `ChromaServer.rows` yields them."""
        return [passage_of(self._layout.id_of(id_), text, row) for id_, text, row in rows]

    def search(self, places: Places | None, vector: Sequence[float], k: int) -> list[Passage]:
        """Return the `k` nearest chunks, nearest first, of these collections, or of all."""
        parts: Mapping[str, Places | None]
        parts = dict.fromkeys(self.collections()) if places is None else self._layout.by_name(places)
        nearest = nsmallest(k, chain(*at_once(lambda part: self._nearest(*part, vector, k), parts.items())))
        passages = self._read([hit.place for hit in nearest])
        # Skip chunks that were removed after the search: they have an id and a distance, but no text.
        return [passages[hit.place].scored(1.0 - hit.distance) for hit in nearest if hit.place in passages]

    def _nearest(self, name: str, places: Places | None, vector: Sequence[float], k: int) -> list[_Hit]:
        """Return the `k` nearest chunks of one Chroma collection, nearest first."""

        def query(count: int, condition: Any = None) -> list[_Hit]:
            answer = self._server.call(
                name,
                lambda chroma: chroma.query(
                    query_embeddings=np.asarray([vector], dtype=np.float32),
                    n_results=count,
                    where=condition,
                    include=["distances"],
                ),
            )
            rows = zip(answer["distances"][0], answer["ids"][0], strict=True) if answer else ()
            return [_Hit(distance, (name, id_)) for distance, id_ in rows]

        k = min(k, self._server.quotas.records)
        if places is None:
            return query(k)
        documents = [key for keys in places.values() for key in keys or ()]
        collections = [collection for collection, keys in places.items() if keys is None]
        condition = _any_of(collection=collections, document=documents)
        if documents:
            compares = len(documents) <= _DOCUMENTS_COMPARED and self._server.quotas is UNLIMITED
            compared = self._compared(name, condition, vector) if compares else None
            return query(k, condition) if compared is None else nsmallest(k, compared)
        marks = tuple(map(self._layout.mark, collections))
        wider = max(k, min(_WIDER * k, _MOST_HITS, self._server.quotas.records))
        for count in (wider,) if name in self._mixed else dict.fromkeys((k, wider)):
            everything = query(count)
            hits = [hit for hit in everything if hit.place[1].startswith(marks)]
            if len(hits) >= k or len(everything) < count:
                return hits[:k]
            self._mixed.add(name)
        # Merge both searches: the one with the condition misses near chunks.
        return nsmallest(k, {hit.place: hit for hit in (*hits, *query(k, condition))}.values())

    def _compared(self, name: str, condition: Any, vector: Sequence[float]) -> list[_Hit] | None:
        """Return all chunks that meet a condition, compared one by one; None where they are too many."""
        pages = self._server.pages(name, [], where=condition, limit=_MOST_COMPARED + 1)
        ids = [id_ for page in pages for id_ in page["ids"]]
        if len(ids) > _MOST_COMPARED:
            return None
        hits = list[_Hit]()
        for answer in self._server.by_id(name, ids, ["embeddings"]):
            vectors = np.asarray(answer["embeddings"], dtype=np.float32)
            lengths = np.maximum(np.linalg.norm(vectors, axis=1), _NO_LENGTH)
            distances = 1.0 - vectors @ np.asarray(vector, dtype=np.float32) / lengths
            hits += map(_Hit, distances.tolist(), ((name, id_) for id_ in answer["ids"]))
        return hits

    def _read(self, places: Sequence[_ChunkPlace]) -> dict[_ChunkPlace, Passage]:
        """Return chunks from memory or from the server; removed ones are missing."""
        passages: dict[_ChunkPlace, Passage] = {}
        missing: dict[str, list[str]] = {}
        with self._lock:
            for place in places:
                try:  # three times as fast as `get`, which looks up twice
                    passages[place] = self._kept[place]
                except KeyError:
                    missing.setdefault(place[0], []).append(place[1])
        for read in at_once(lambda part: self._fetch(*part), missing.items()):
            passages |= read
        return passages

    def _fetch(self, name: str, ids: Sequence[str]) -> dict[_ChunkPlace, Passage]:
        """Return chunks of one Chroma collection from the server, and keep them; removed ones are missing."""
        rows = [row for answer in self._server.by_id(name, ids, _ROW) for row in complete_rows(answer)]
        read = {(name, id_): passage for (id_, _, _), passage in zip(rows, self._passages(rows), strict=True)}
        if self._kept.maxsize:
            with self._lock:
                self._kept.update(read)
        return read

    def ids(
        self, collection: str, document: str, *, of: str | None = None, but: str | None = None, limit: int = 500
    ) -> Stamped:
        """Return up to `limit` ids of a document's chunks: of the generation `of`, or of any except `but`."""
        condition: dict[str, Any] = {"document": document}
        generation = of if but is None else {"$ne": but}
        if generation is not None:
            condition = {"$and": [condition, {"generation": generation}]}
        name = self._layout.name(collection)
        pages = self._server.pages(name, ["metadatas"], where=condition, limit=limit)
        return {
            self._layout.id_of(id_): str((row or _GONE)[STAMP])
            for page in pages
            for id_, row in zip(page["ids"], page["metadatas"], strict=True)
        }

    def delete(self, collection: str, ids: Stamped) -> None:
        """Remove chunks by id: in Chroma this is much faster than by a condition alone.

        A request that timed out may run after the chunks were written again, so Chroma compares the stamps.
        """
        name, mark = self._layout.name(collection), self._layout.mark(collection)
        stamps = sorted(set(ids.values()))
        for start in range(0, len(stamps), _STAMPS_AT_ONCE):
            batch = stamps[start : start + _STAMPS_AT_ONCE]
            conditions = [{STAMP: stamp} for stamp in batch]
            stored = [mark + id_ for id_, stamp in ids.items() if stamp in batch]
            self._server.delete(name, stored, {"$or": conditions} if batch[1:] else conditions[0])

    def flush(self, collection: str) -> None:
        """Make Chroma apply its write-ahead log, and so remove the text in it.

        Chroma does so after every 1,000 records of a collection. Deletes of unknown ids count, and change nothing.
        """
        for _ in range(0, SYNC_THRESHOLD, _FLUSHED_AT_ONCE):
            self._server.delete(self._layout.name(collection), [uuid4().hex for _ in range(_FLUSHED_AT_ONCE)])

    def page(self, name: str, offset: int, limit: int) -> list[tuple[str, str, str]]:
        """Return (id, document, generation) of up to `limit` chunks of one Chroma collection, in its order."""
        pages = self._server.pages(name, ["metadatas"], offset=offset, limit=limit)
        rows = [row for page in pages for row in zip(page["ids"], page["metadatas"], strict=True)]
        return [(self._layout.id_of(id_), row["document"], row["generation"]) for id_, row in rows if row]

    def generations(self, collection: str, documents: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        """Return the number of chunks of each generation of each document."""
        counts: dict[str, Counter[str]] = {}
        name, condition = self._layout.name(collection), _any_of(document=documents)
        for page in self._server.pages(name, ["metadatas"], where=condition):
            for row in filter(None, page["metadatas"]):  # a chunk that is being removed has no metadata
                counts.setdefault(row["document"], Counter())[row["generation"]] += 1
        return counts

    def drop(self, name: str) -> None:
        """Remove one of `collections`, if it exists."""
        self._server.drop(name)

    def collections(self) -> list[str]:
        """Return the names of the Chroma collections of this fingerprint, sorted."""
        return self._server.collections(self._layout.owns)


class _Hit(NamedTuple):
    """A chunk and its distance, by which hits compare first."""

    distance: float
    place: _ChunkPlace


def at_once(call: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """Return the results of calls that run in parallel."""
    items = list(items)
    if len(items) <= 1:
        return [call(item) for item in items]
    with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
        return list(pool.map(call, items))


def _any_of(**values: Sequence[str]) -> Any:
    """Return Chroma's condition that each field with values has one of them."""
    conditions = [
        {name: texts[0] if len(texts) == 1 else {"$in": list(texts)}} for name, texts in values.items() if texts
    ]
    return conditions[0] if len(conditions) == 1 else {"$or": conditions}


_CONNECT_TIMEOUT_S = 3.0
# Chroma's defaults, 16 links and 100 considered neighbours, lose the nearest chunks of a small subject beside a
# large one in the same collection. Embedding takes far longer than building a larger graph. Hosted and distributed
# Chroma ignore all but the space.
_GRAPH = {"max_neighbors": 32, "ef_construction": 400, "ef_search": 1600}
_COLLECTIONS_PAGE = 1000
_QUOTA = re.compile(r"Quota exceeded: '([\w ()]+)'")


class ChromaServer:
    """The collections of one tenant's database. All requests keep the quotas."""

    def __init__(
        self,
        url: str,
        *,
        tenant: str = "default_tenant",
        database: str = "default_database",
        auth: ServerAuth | None = None,
        timeout_s: float = 10.0,
        quotas: Quotas = UNLIMITED,
    ) -> None:
        """Connect at the first call, not here."""
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
        # chromadb.HttpClient sends three requests without a timeout in its constructor, so a stalled server would
        # hang it. Its HTTP layer alone sends none. Any: its decorators hide the signatures.
        self.client: Any = FastAPI(System(settings))
        timeout = httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S)
        self.client._session.timeout = timeout  # noqa: SLF001 - the client has no public way to set it
        self.client._session.auth = auth or httpx.Auth()  # noqa: SLF001 - the same
        self.where = {"tenant": tenant, "database": database}
        self.quotas = quotas
        self.opened: dict[str, Collection] = {}

    def upsert(self, name: str, metadata: Mapping[str, str], rows: Mapping[str, Any]) -> None:
        """Write records, given as columns, to a collection, which is created with this metadata."""
        for places in self._parts(range(len(rows["ids"]))):
            part = {column: values[places[0] : places[-1] + 1] for column, values in rows.items()}
            self.call(name, lambda chroma, part=part: chroma.upsert(**part), create=metadata)

    def delete(self, name: str, ids: Sequence[str], where: Any = None) -> None:
        """Remove records by id that meet a condition, if given; ids of no record change nothing."""
        for batch in self._parts(ids):
            self.call(name, lambda chroma, batch=batch: chroma.delete(ids=list(batch), where=where))

    def by_id(self, name: str, ids: Sequence[str], include: Sequence[str]) -> Iterator[Any]:
        """Yield Chroma's answers about records by id."""
        for batch in self._parts(ids):
            answer = self.call(
                name, lambda chroma, batch=batch: chroma.get(ids=list(batch), include=list(include))
            )
            if answer and answer["ids"]:
                yield answer

    def pages(
        self, name: str, include: Sequence[str], *, offset: int = 0, limit: int | None = None, **selected: Any
    ) -> Iterator[Any]:
        """Yield Chroma's answers, page by page, for `selected` records from `offset` on, up to `limit` in all."""
        end = None if limit is None else offset + limit
        while end is None or offset < end:
            count = self.quotas.records if end is None else min(self.quotas.records, end - offset)
            answer = self.call(
                name,
                lambda chroma, count=count, offset=offset: chroma.get(
                    include=include, limit=count, offset=offset, **selected
                ),
            )
            if answer is None:
                return
            yield answer
            if len(answer["ids"]) < count:
                return
            offset += count

    def rows(self, name: str, *, limit: int | None = None, **selected: Any) -> Iterator[_Row]:
        """Yield (id, text, metadata) of records that meet conditions, without those being removed."""
        for answer in self.pages(name, _ROW, limit=limit, **selected):
            yield from complete_rows(answer)

    def drop(self, name: str) -> None:
        """Remove a collection, if it exists."""
        with _vendor_errors():
            self.opened.pop(name, None)
            with suppress(NotFoundError):
                self.client.delete_collection(name, **self.where)

    def collections(self, owns: Callable[[Mapping[str, object]], bool]) -> list[str]:
        """Return the names of the collections whose metadata is accepted, sorted."""
        names: list[str] = []
        with _vendor_errors():
            for offset in range(0, 1_000_000, _COLLECTIONS_PAGE):
                page = self.client.list_collections(limit=_COLLECTIONS_PAGE, offset=offset, **self.where)
                names += [collection.name for collection in page if owns(collection.metadata or {})]
                if len(page) < _COLLECTIONS_PAGE:
                    break
        return sorted(names)

    def _parts(self, items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
        """Yield the items in parts that each fit one request."""
        size = self.quotas.records
        yield from (items[start : start + size] for start in range(0, len(items), size))

    def call(self, name: str, call: Any, *, create: Mapping[str, str] | None = None) -> Any:
        """Return `call(collection)`; None where it does not exist and is not to be created with this metadata.

        If a known collection was removed and created again meanwhile, reopen it and retry.
        """
        with _vendor_errors():
            chroma = self._open(name, create)
            with suppress(NotFoundError):
                return None if chroma is None else call(chroma)
            self.opened.pop(name, None)
            chroma = self._open(name, create)
            return None if chroma is None else call(chroma)

    def _open(self, name: str, create: Mapping[str, str] | None) -> Collection | None:
        if name in self.opened:
            return self.opened[name]
        if create is not None:
            model = self.client.get_or_create_collection(
                name, configuration={"hnsw": {"space": "cosine", **_GRAPH}}, metadata=create, **self.where
            )
        else:
            try:
                model = self.client.get_collection(name, **self.where)
            except NotFoundError:
                return None
        space = (model.configuration_json.get("hnsw") or model.configuration_json.get("spann") or {}).get("space")
        if space != "cosine":
            raise Corrupt(f"the Chroma collection {name} has the space {space!r}, not 'cosine'")
        self.opened[name] = Collection(client=self.client, model=model, embedding_function=None)
        return self.opened[name]


def complete_rows(answer: Any) -> Iterator[_Row]:
    """Yield (id, text, metadata) of an answer's records, without those being removed, which lack both."""
    rows = zip(answer["ids"], answer["documents"], answer["metadatas"], strict=True)
    yield from ((id_, text, row) for id_, text, row in rows if row and text is not None)


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
        if quota := _QUOTA.match(error.message()):
            raise Corrupt(f"chroma refused a request: over its quota of {quota[1]!r}") from None
        raise Unavailable("chroma", f"chroma failed ({error.name()})") from None
    except Exception as error:  # noqa: BLE001 - the client raises bare Exception for an answer it cannot read
        raise Unavailable("chroma", f"chroma's answer cannot be read ({type(error).__name__})") from None
