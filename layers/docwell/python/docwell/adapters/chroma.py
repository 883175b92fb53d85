"""The vector index on a Chroma server, over chromadb's HTTP client.

One Chroma collection holds one docwell collection under one fingerprint. Chroma allows only some characters in
names, so a collection's name is a hash and its metadata holds the docwell name.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from itertools import count
from threading import Lock
from time import monotonic
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
from cachetools import TTLCache
from chromadb.api.fastapi import FastAPI
from chromadb.api.models.Collection import Collection
from chromadb.config import Settings, System
from chromadb.errors import ChromaError, InvalidArgumentError, InvalidDimensionException, NotFoundError

from docwell.errors import Corrupt, Unavailable
from docwell.models import Chunk, IndexRecord, Passage, Units

_CONNECT_TIMEOUT_S = 3.0
# The neighbours that a search considers (HNSW `ef`). Of the nearest 110, Chroma's default of 100 loses one in 40;
# this value loses one in 2,000 and takes no longer.
_SEARCHED = 400
_COLLECTIONS_PAGE = 1000
# Chroma's `sync_threshold`: the records after which it applies its log and empties it.
_LOGGED = 1000
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
        fingerprint: str,
        *,
        tenant: str,
        database: str,
        token: str | None = None,
        timeout_s: float = 10.0,
        kept_passages: int = 0,
    ) -> None:
        """Connect at the first call, not here.

        `token` is sent as a bearer token. Searches keep the last `kept_passages` passages for ten minutes.
        """
        parsed = httpx.URL(url)
        settings = Settings(
            chroma_api_impl="chromadb.api.fastapi.FastAPI",
            chroma_server_host=str(parsed.copy_with(path="/")).rstrip("/"),
            chroma_server_http_port=parsed.port or (443 if parsed.scheme == "https" else 80),
            chroma_server_ssl_enabled=parsed.scheme == "https",
            chroma_server_headers={"Authorization": f"Bearer {token}"} if token else None,
            anonymized_telemetry=False,
        )
        # chromadb.HttpClient sends three requests without a timeout while it is constructed, so a stalled server
        # would hang it. Its HTTP layer alone sends none. Any: its decorators hide the signatures.
        self._server: Any = FastAPI(System(settings))
        timeout = httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S)
        self._server._session.timeout = timeout  # noqa: SLF001 - the client has no public way to set it
        self._where = {"tenant": tenant, "database": database}
        self._fingerprint = fingerprint[:16]
        self._known: dict[str, Collection] = {}
        self._kept: TTLCache[tuple[str, str], Passage] = TTLCache(kept_passages, _KEPT_S, timer=monotonic)
        self._kept_lock = Lock()

    def upsert(self, collection: str, records: Sequence[IndexRecord]) -> None:
        """Write records by id. When this raises, some may have been written: write them again."""
        if not records:
            return
        self._call(
            collection,
            lambda chroma: chroma.upsert(
                ids=[record.id for record in records],
                embeddings=np.asarray([record.vector for record in records], dtype=np.float32),
                documents=[record.chunk.text for record in records],
                metadatas=[_metadata(record) for record in records],
            ),
            create=True,
        )

    def search(
        self, collection: str, vector: Sequence[float], k: int, documents: Sequence[str] | None
    ) -> list[Passage]:
        """Return the `k` nearest chunks, nearest first, of `documents` or of all; none without the collection."""
        condition: Any = None
        if documents is not None:
            condition = {"document": documents[0] if len(documents) == 1 else {"$in": list(documents)}}
        answer = self._call(
            collection,
            lambda chroma: chroma.query(
                query_embeddings=np.asarray([vector], dtype=np.float32),
                n_results=k,
                where=condition,
                include=["distances"],
            ),
        )
        if answer is None:
            return []
        found = self._read(collection, answer["ids"][0])
        near = zip(answer["ids"][0], answer["distances"][0], strict=True)
        # A chunk that was removed after the search has an id and a distance, but no text to read.
        return [replace(found[id_], score=1.0 - distance) for id_, distance in near if id_ in found]

    def _read(self, collection: str, ids: Sequence[str]) -> dict[str, Passage]:
        """Return the chunks by id, from memory or from the server; removed ones are missing."""
        found: dict[str, Passage] = {}
        with self._kept_lock:
            for id_ in ids:
                with suppress(KeyError):  # three times as fast as `get`, which looks twice
                    found[id_] = self._kept[collection, id_]
        missing = [id_ for id_ in ids if id_ not in found]
        if not missing:
            return found
        answer = self._call(collection, lambda chroma: chroma.get(ids=missing, include=["documents", "metadatas"]))
        if answer is None:
            return found
        rows = zip(answer["ids"], answer["documents"], answer["metadatas"], strict=True)
        read = {id_: _passage(id_, text, row) for id_, text, row in rows if row and text is not None}
        if self._kept.maxsize:
            with self._kept_lock:
                self._kept.update({(collection, id_): passage for id_, passage in read.items()})
        return found | read

    def ids(
        self, collection: str, document: str, *, of: str | None = None, but: str | None = None, limit: int = 500
    ) -> list[str]:
        """Return up to `limit` ids of a document's chunks: of the generation `of`, or of any except `but`."""
        condition: dict[str, Any] = {"document": document}
        generation = of if but is None else {"$ne": but}
        if generation is not None:
            condition = {"$and": [condition, {"generation": generation}]}
        found: list[str] | None = self._call(
            collection, lambda chroma: chroma.get(where=condition, limit=limit, include=[])["ids"]
        )
        return found or []

    def delete(self, collection: str, ids: Sequence[str]) -> None:
        """Remove chunks by id, which is much faster in Chroma than by a condition."""
        if ids:
            self._call(collection, lambda chroma: chroma.delete(ids=list(ids)))

    def flush(self, collection: str) -> None:
        """Make Chroma apply its write-ahead log, and so remove the text in it.

        Chroma does so after every 1,000 records of a collection. Deletes of unknown ids count, and change nothing.
        """
        for _ in range(0, _LOGGED, _FLUSHED_AT_ONCE):
            self.delete(collection, [uuid4().hex for _ in range(_FLUSHED_AT_ONCE)])

    def page(self, collection: str, offset: int, limit: int) -> list[tuple[str, str, str]]:
        """Return (id, document, generation) of up to `limit` chunks, in the server's order."""
        rows = self._metadatas(collection, offset, limit)
        return [(id_, row["document"], row["generation"]) for id_, row in rows if row]

    def generations(self, collection: str, documents: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        """Return the number of chunks of each generation of each document."""
        counts: dict[str, Counter[str]] = {}
        for offset in count(0, _METADATA_PAGE):
            rows = self._metadatas(collection, offset, _METADATA_PAGE, {"document": {"$in": list(documents)}})
            for row in (row for _, row in rows if row):
                counts.setdefault(row["document"], Counter())[row["generation"]] += 1
            if len(rows) < _METADATA_PAGE:
                break
        return counts

    def _metadatas(self, collection: str, offset: int, limit: int, condition: Any = None) -> list[tuple[str, Any]]:
        """Return (id, metadata) of chunks; a chunk that is being removed has no metadata."""
        answer = self._call(
            collection,
            lambda chroma: chroma.get(where=condition, offset=offset, limit=limit, include=["metadatas"]),
        )
        return list(zip(answer["ids"], answer["metadatas"], strict=True)) if answer else []

    def drop(self, collection: str) -> None:
        """Remove the Chroma collection of this fingerprint, if it exists."""
        with _vendor_errors():
            self._known.pop(collection, None)
            with suppress(NotFoundError):
                self._server.delete_collection(self._name(collection), **self._where)

    def collections(self) -> list[str]:
        """Return the docwell names of all collections of this fingerprint, sorted."""
        names: list[str] = []
        with _vendor_errors():
            for offset in range(0, 1_000_000, _COLLECTIONS_PAGE):
                page = self._server.list_collections(limit=_COLLECTIONS_PAGE, offset=offset, **self._where)
                metadata = [model.metadata or {} for model in page]
                names += [m["collection"] for m in metadata if m.get("fingerprint") == self._fingerprint]
                if len(page) < _COLLECTIONS_PAGE:
                    break
        return sorted(names)

    def _call(self, collection: str, call: Any, *, create: bool = False) -> Any:
        """Return `call(chroma_collection)`, or None where the collection does not exist and is not to be created.

        If a known collection was removed and created again meanwhile, open it and call again.
        """
        with _vendor_errors():
            chroma = self._open(collection, create=create)
            with suppress(NotFoundError):
                return None if chroma is None else call(chroma)
            self._known.pop(collection, None)
            chroma = self._open(collection, create=create)
            return None if chroma is None else call(chroma)

    def _name(self, collection: str) -> str:
        return f"docwell-{sha256(collection.encode()).hexdigest()[:24]}-{self._fingerprint}"

    def _open(self, collection: str, *, create: bool) -> Collection | None:
        known = self._known.get(collection)
        if known is not None:
            return known
        name = self._name(collection)
        if create:
            model = self._server.get_or_create_collection(
                name,
                configuration={"hnsw": {"space": "cosine", "ef_search": _SEARCHED}},
                metadata={"collection": collection, "fingerprint": self._fingerprint},
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
        self._known[collection] = Collection(client=self._server, model=model, embedding_function=None)
        return self._known[collection]


def _metadata(record: IndexRecord) -> dict[str, str]:
    """Return the fields to filter by, and the rest as one JSON value: Chroma stores each value as a row."""
    chunk, units = record.chunk, record.units
    rest = {
        "version": record.version,
        "page_start": chunk.page,
        "start": chunk.start,
        "end": chunk.end,
        "tokens": chunk.tokens,
        "label": chunk.label,
        "heading": chunk.heading,
        "confidence": None if chunk.confidence is None else round(chunk.confidence, 3),
        "unit_spans": units.spans,
        "unit_vectors": b64encode(units.vectors).decode(),
    }
    return {"document": record.document, "generation": record.generation, "chunk": json.dumps(rest)}


def _passage(id_: str, text: str, metadata: dict[str, Any]) -> Passage:
    """Return a stored chunk with score 0, which the search replaces. Raises `Corrupt`."""
    try:
        rest = json.loads(metadata["chunk"])
        spans = tuple((start, end) for start, end in rest["unit_spans"])
        chunk = Chunk(
            text=text,
            page=rest["page_start"],
            start=rest["start"],
            end=rest["end"],
            tokens=rest["tokens"],
            label=rest["label"],
            heading=rest["heading"],
            confidence=rest["confidence"],
        )
        return Passage(
            id=id_,
            document=metadata["document"],
            generation=metadata["generation"],
            version=rest["version"],
            chunk=chunk,
            score=0.0,
            units=Units(spans, b64decode(rest["unit_vectors"], validate=True)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupt(f"chunk {id_} was not written by docwell") from error


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
