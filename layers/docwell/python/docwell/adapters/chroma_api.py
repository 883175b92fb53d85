"""The calls of Chroma's HTTP API, version 2, that docwell needs.

They take the place of chromadb's client, which imports 8 MB of packages in 0.1 s at each cold start.
The API: https://cookbook.chromadb.dev/core/api/
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import orjson

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A load balancer closes idle connections after 60 s.
_LIMITS = httpx.Limits(keepalive_expiry=40.0)
_HEADERS = {"Content-Type": "application/json", "User-Agent": "docwell"}


class ChromaError(Exception):
    """An answer that reports an error. `name` is Chroma's name for it; `message` may quote a document."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(name)
        self.name = name
        self.message = message


class NotFoundError(ChromaError):
    """A collection that does not exist."""


class ChromaClient:
    """The collections of one database. All methods raise `ChromaError` and httpx's errors. Thread-safe."""

    def __init__(
        self, url: str, tenant: str, database: str, *, auth: httpx.Auth | None, verify: Any, timeout: httpx.Timeout
    ) -> None:
        """Connect at the first call. `verify` is a TLS context, or true for the public authorities."""
        root = str(httpx.URL(url).copy_with(path="/api/v2"))
        self._collections = f"{root}/tenants/{_part(tenant)}/databases/{_part(database)}/collections"
        self._session = httpx.Client(auth=auth, verify=verify, timeout=timeout, limits=_LIMITS, headers=_HEADERS)

    def get_or_create_collection(
        self, name: str, metadata: Mapping[str, str], configuration: Mapping[str, Any]
    ) -> Collection:
        """Return a collection; metadata and configuration are for a new one."""
        body = {"name": name, "metadata": metadata, "configuration": configuration, "get_or_create": True}
        return Collection(self, self.send("POST", "", body))

    def get_collection(self, name: str) -> Collection:
        """Return a collection. Raises `NotFoundError`."""
        return Collection(self, self.send("GET", f"/{_part(name)}"))

    def delete_collection(self, name: str) -> None:
        """Remove a collection. Raises `NotFoundError`."""
        self.send("DELETE", f"/{_part(name)}")

    def list_collections(self, limit: int, offset: int) -> list[Collection]:
        """Return a page of the collections."""
        return [Collection(self, one) for one in self.send("GET", f"?limit={limit}&offset={offset}")]

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the parsed answer to one request; `path` is below the database's collections."""
        content = None if body is None else orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
        answer = self._session.request(method, self._collections + path, content=content)
        if answer.is_success:
            return orjson.loads(answer.content)
        try:
            error = orjson.loads(answer.content)
            name, message = str(error["error"]), str(error.get("message", ""))
        except (ValueError, TypeError, KeyError, AttributeError):  # not Chroma's answer but a proxy's
            name, message = f"HTTP {answer.status_code}", ""
        kind = NotFoundError if answer.status_code == HTTPStatus.NOT_FOUND else ChromaError
        raise kind(name, message)


class Collection:
    """One collection. Records are given and returned as columns: lists of the same length."""

    def __init__(self, client: ChromaClient, fields: Mapping[str, Any]) -> None:
        """`fields` is Chroma's description of the collection."""
        self.name: str = fields["name"]
        self.metadata: Mapping[str, Any] = fields.get("metadata") or {}
        self.configuration: Mapping[str, Any] = fields["configuration_json"]
        self._client, self._path = client, f"/{_part(fields['id'])}"

    def upsert(
        self,
        *,
        ids: Sequence[str],
        embeddings: NDArray[np.float32],
        documents: Sequence[str],
        metadatas: Sequence[Mapping[str, Any]],
    ) -> None:
        """Write records by id."""
        # As base64 of little-endian float32, vectors take a third of the bytes that their digits take.
        vectors = [b64encode(row.astype("<f4").tobytes()).decode() for row in embeddings]
        self._post("upsert", ids=ids, embeddings=vectors, documents=documents, metadatas=metadatas)

    def update(self, *, ids: Sequence[str], metadatas: Sequence[Mapping[str, Any]]) -> None:
        """Add fields to the metadata of records by id; ids of no record change nothing."""
        self._post("update", ids=ids, metadatas=metadatas)

    def delete(self, *, ids: Sequence[str]) -> None:
        """Remove records by id; ids of no record change nothing."""
        self._post("delete", ids=ids)

    def get(
        self,
        *,
        include: Sequence[str],
        ids: Sequence[str] | None = None,
        where: Any = None,
        where_document: Any = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> Any:
        """Return the records with these ids, or those that meet the conditions."""
        wanted = {"where": where, "where_document": where_document, "limit": limit, "offset": offset}
        return self._post("get", ids=ids, include=include, **wanted)

    def query(
        self, *, query_embeddings: NDArray[np.float32], n_results: int, include: Sequence[str], where: Any = None
    ) -> Any:
        """Return the nearest records of each vector: columns with one list for each."""
        nearest = {"n_results": n_results, "where": where, "include": include}
        return self._post("query", query_embeddings=query_embeddings, **nearest)

    def _post(self, operation: str, **body: Any) -> Any:
        return self._client.send("POST", f"{self._path}/{operation}", body)


def _part(text: str) -> str:
    return quote(text, safe="")
