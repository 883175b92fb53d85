"""The vector index on a Chroma server, over chromadb's HTTP client.

One Chroma collection holds one docwell collection under one fingerprint. Chroma allows only some
characters in names, so the name is a hash and the real one stands in the metadata.
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
from typing import Any

import httpx
import numpy as np
from chromadb.api.fastapi import FastAPI
from chromadb.api.models.Collection import Collection
from chromadb.config import Settings, System
from chromadb.errors import (
    ChromaError,
    InvalidArgumentError,
    InvalidDimensionException,
    NotFoundError,
)

from docwell.adapters.kept_passages import KeptPassages
from docwell.errors import Corrupt, Unavailable
from docwell.models import Chunk, IndexRecord, Passage, Units

_CONNECT_TIMEOUT_S = 3.0
# How many neighbours a search keeps in sight. Of the nearest 110 the default of 100 loses one in forty, this one
# in two thousand, and takes no longer.
_SEARCHED = 400
_COLLECTIONS_PAGE = 1000
_METADATA_PAGE = 5000  # about 2 MB of an answer


class ChromaIndex:
    """`docwell.ports.VectorIndex` over a Chroma server."""

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
        """Connects at the first call, not here.

        `token` is sent as a bearer token. `kept_passages` that were read stay in memory for the next searches.
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
        # chromadb.HttpClient asks the server three things while it is made, without any time-out, so a
        # stalled server would hang it; this is the part of it that speaks HTTP, made without asking.
        self._server: Any = FastAPI(System(settings))  # Any: its decorators hide its signatures from type checkers
        self._server._session.timeout = httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S)  # noqa: SLF001 - no public way
        self._where = {"tenant": tenant, "database": database}
        self._fingerprint = fingerprint[:16]
        self._known: dict[str, Collection] = {}
        self._kept = KeptPassages(kept_passages)

    def upsert(self, collection: str, records: Sequence[IndexRecord]) -> None:
        """Write records by id. When this raises, some may have been written: write them again."""
        if not records:
            return
        with _vendor_errors():
            self._again_if_gone(
                collection,
                create=True,
                call=lambda chroma: chroma.upsert(
                    ids=[record.id for record in records],
                    embeddings=np.asarray([record.vector for record in records], dtype=np.float32),
                    documents=[record.chunk.text for record in records],
                    metadatas=[_metadata(record) for record in records],
                ),
            )

    def search(
        self, collection: str, vector: Sequence[float], k: int, documents: Sequence[str] | None
    ) -> list[Passage]:
        """The `k` nearest chunks (of these documents), nearest first; none where the collection does not exist."""
        condition: Any = None
        if documents is not None:
            condition = {"document": documents[0] if len(documents) == 1 else {"$in": list(documents)}}
        with _vendor_errors():
            answer = self._again_if_gone(
                collection,
                create=False,
                call=lambda chroma: chroma.query(
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
        # A chunk that is removed while Chroma answers has an id and a distance, and nothing that could be read.
        return [replace(found[id_], score=1.0 - distance) for id_, distance in near if id_ in found]

    def _read(self, collection: str, ids: Sequence[str]) -> dict[str, Passage]:
        """The chunks by id, out of memory or from the server; those that are gone are left out."""
        found = self._kept.find(collection, ids)
        missing = [id_ for id_ in ids if id_ not in found]
        if not missing:
            return found
        with _vendor_errors():
            answer = self._again_if_gone(
                collection,
                create=False,
                call=lambda chroma: chroma.get(ids=missing, include=["documents", "metadatas"]),
            )
        if answer is None:
            return found
        rows = zip(answer["ids"], answer["documents"], answer["metadatas"], strict=True)
        read = [_passage(id_, text, row) for id_, text, row in rows if row and text is not None]
        self._kept.keep(collection, read)
        return found | {passage.id: passage for passage in read}

    def ids(
        self, collection: str, document: str, *, of: str | None = None, but: str | None = None, limit: int = 500
    ) -> list[str]:
        """Up to `limit` ids of a document's chunks: of the generation `of`, or of any but `but`."""
        condition: dict[str, Any] = {"document": document}
        if of is not None:
            condition = {"$and": [condition, {"generation": of}]}
        elif but is not None:
            condition = {"$and": [condition, {"generation": {"$ne": but}}]}
        with _vendor_errors():
            found: list[str] | None = self._again_if_gone(
                collection,
                create=False,
                call=lambda chroma: chroma.get(where=condition, limit=limit, include=[])["ids"],
            )
        return found or []

    def delete(self, collection: str, ids: Sequence[str]) -> None:
        """Remove chunks by id: much faster in Chroma than by a condition."""
        if not ids:
            return
        with _vendor_errors():
            self._again_if_gone(collection, create=False, call=lambda chroma: chroma.delete(ids=list(ids)))

    def page(self, collection: str, offset: int, limit: int) -> list[tuple[str, str, str]]:
        """(id, document, generation) of up to `limit` chunks, in the server's order."""
        with _vendor_errors():
            answer = self._again_if_gone(
                collection,
                create=False,
                call=lambda chroma: chroma.get(offset=offset, limit=limit, include=["metadatas"]),
            )
        if answer is None:
            return []
        return [
            (id_, metadata["document"], metadata["generation"])
            for id_, metadata in zip(answer["ids"], answer["metadatas"], strict=True)
            if metadata  # else it is being removed
        ]

    def generations(self, collection: str, documents: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        """How many chunks there are of each generation of each of the documents."""
        counts: dict[str, Counter[str]] = {}
        condition: dict[str, Any] = {"document": {"$in": list(documents)}}
        for offset in count(0, _METADATA_PAGE):
            with _vendor_errors():
                answer = self._again_if_gone(
                    collection,
                    create=False,
                    call=lambda chroma, offset=offset: chroma.get(
                        where=condition, offset=offset, limit=_METADATA_PAGE, include=["metadatas"]
                    ),
                )
            rows = answer["metadatas"] if answer is not None else []
            for row in filter(None, rows):
                counts.setdefault(row["document"], Counter())[row["generation"]] += 1
            if len(rows) < _METADATA_PAGE:
                break
        return counts

    def drop(self, collection: str) -> None:
        """Remove the whole Chroma collection of this fingerprint; that it is not there is no error."""
        with _vendor_errors():
            self._known.pop(collection, None)
            with suppress(NotFoundError):
                self._server.delete_collection(self._name(collection), **self._where)

    def collections(self) -> list[str]:
        """The docwell names of all collections of this fingerprint."""
        names: list[str] = []
        with _vendor_errors():
            for offset in range(0, 1_000_000, _COLLECTIONS_PAGE):
                page = self._server.list_collections(limit=_COLLECTIONS_PAGE, offset=offset, **self._where)
                metadata = [model.metadata or {} for model in page]
                names += [m["collection"] for m in metadata if m.get("fingerprint") == self._fingerprint]
                if len(page) < _COLLECTIONS_PAGE:
                    break
        return sorted(names)

    def _again_if_gone(self, collection: str, *, create: bool, call: Any) -> Any:
        """`call` with the Chroma collection; once more where what was known of it was out of date."""
        for last in (False, True):
            chroma = self._open(collection, create=create)
            if chroma is None:
                return None
            try:
                return call(chroma)
            except NotFoundError:  # removed and made again by somebody else since it was opened
                self._known.pop(collection, None)
                if last:
                    raise
        return None

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
    """What Chroma looks for, and the rest in one value: it keeps and reads each value as a row of its own."""
    chunk, units = record.chunk, record.units
    rest = {
        "version": record.version,
        "page_start": chunk.page_start,
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
    """A chunk as it was written; its score is the search's to say."""
    try:
        rest = json.loads(metadata["chunk"])
        spans = tuple((start, end) for start, end in rest["unit_spans"])
        chunk = Chunk(
            text=text,
            page_start=rest["page_start"],
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
    """Turn what the client raises into docwell's errors, without the server's text: it may quote a document."""
    try:
        yield
    except (Unavailable, Corrupt):
        raise
    except httpx.TimeoutException as error:
        raise Unavailable("chroma", f"chroma did not answer in time ({type(error).__name__})") from None
    except httpx.HTTPError as error:
        raise Unavailable("chroma", f"chroma cannot be reached ({type(error).__name__})") from None
    except ChromaError as error:
        if isinstance(error, (InvalidArgumentError, InvalidDimensionException)):
            raise Corrupt(f"chroma refused a request ({error.name()})") from None
        raise Unavailable("chroma", f"chroma failed ({error.name()})") from None
    except Exception as error:  # noqa: BLE001 - the client raises bare Exception for an answer it cannot read
        raise Unavailable(
            "chroma", f"chroma gave an answer that cannot be read ({type(error).__name__})"
        ) from None
