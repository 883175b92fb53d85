"""One Chroma server, over chromadb's HTTP client: its collections, its errors and its quotas."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import numpy as np
from chromadb.api.fastapi import FastAPI
from chromadb.api.models.Collection import Collection
from chromadb.config import Settings, System
from chromadb.errors import ChromaError, InvalidArgumentError, InvalidDimensionException, NotFoundError

from docwell.adapters.chroma_quotas import UNLIMITED, Quotas
from docwell.errors import Corrupt, Unavailable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from docwell.adapters.server_auth import ServerAuth

_Item = TypeVar("_Item")

_CONNECT_TIMEOUT_S = 3.0
# With Chroma's 16 links and 100 considered neighbours, a search loses the nearest chunks of a small subject beside
# a large one in the same collection. Embedding takes far longer than building a larger graph. Hosted and
# distributed Chroma take only the space from it.
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
        # chromadb.HttpClient sends three requests without a timeout while it is constructed, so a stalled server
        # would hang it. Its HTTP layer alone sends none. Any: its decorators hide the signatures.
        self.client: Any = FastAPI(System(settings))
        timeout = httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S)
        self.client._session.timeout = timeout  # noqa: SLF001 - the client has no public way to set it
        self.client._session.auth = auth or httpx.Auth()  # noqa: SLF001 - the same
        self.where = {"tenant": tenant, "database": database}
        self.quotas = quotas
        self.known: dict[str, Collection] = {}

    def upsert(self, name: str, metadata: Mapping[str, str], rows: Mapping[str, Any]) -> None:
        """Write records, given as columns, to a collection, which is created with this metadata."""
        for places in self._parts(range(len(rows["ids"]))):
            part = {column: values[places[0] : places[-1] + 1] for column, values in rows.items()}
            self.call(name, lambda chroma, part=part: chroma.upsert(**part), create=metadata)

    def update(self, name: str, metadatas: Mapping[str, Mapping[str, Any]]) -> None:
        """Add fields to the metadata of records by id; ids of no record change nothing."""
        for ids in self._parts(list(metadatas)):
            fields = [metadatas[id_] for id_ in ids]
            self.call(name, lambda chroma, ids=ids, fields=fields: chroma.update(ids=ids, metadatas=fields))

    def delete(self, name: str, ids: Sequence[str], where: Any = None) -> None:
        """Remove records by id that meet a condition, if given; ids of no record change nothing."""
        for some in self._parts(ids):
            self.call(name, lambda chroma, some=some: chroma.delete(ids=list(some), where=where))

    def get(self, name: str, ids: Sequence[str]) -> Iterator[tuple[str, str, Any]]:
        """Yield (id, text, metadata) of records by id, without missing ones and those being removed."""
        for some in self._parts(ids):
            answer = self.call(
                name, lambda chroma, some=some: chroma.get(ids=list(some), include=["documents", "metadatas"])
            )
            yield from _whole(answer)

    def vectors(self, name: str, ids: Sequence[str]) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """Yield ids of records that exist, with their vectors as rows."""
        for some in self._parts(ids):
            answer = self.call(name, lambda chroma, some=some: chroma.get(ids=list(some), include=["embeddings"]))
            if answer and answer["ids"]:
                yield answer["ids"], np.asarray(answer["embeddings"], dtype=np.float32)

    def pages(
        self, name: str, include: Sequence[str], *, offset: int = 0, limit: int | None = None, **wanted: Any
    ) -> Iterator[Any]:
        """Yield Chroma's answers, with up to `limit` records in all, from `offset` on."""
        end = None if limit is None else offset + limit
        while end is None or offset < end:
            most = self.quotas.records if end is None else min(self.quotas.records, end - offset)
            answer = self.call(
                name,
                lambda chroma, most=most, offset=offset: chroma.get(
                    include=include, limit=most, offset=offset, **wanted
                ),
            )
            if answer is None:
                return
            yield answer
            if len(answer["ids"]) < most:
                return
            offset += most

    def rows(self, name: str, *, limit: int | None = None, **wanted: Any) -> Iterator[tuple[str, str, Any]]:
        """Yield (id, text, metadata) of records that meet conditions, without those being removed."""
        for answer in self.pages(name, ["documents", "metadatas"], limit=limit, **wanted):
            yield from _whole(answer)

    def drop(self, name: str) -> None:
        """Remove a collection, if it exists."""
        with _vendor_errors():
            self.known.pop(name, None)
            with suppress(NotFoundError):
                self.client.delete_collection(name, **self.where)

    def collections(self, owns: Callable[[Mapping[str, object]], bool]) -> list[str]:
        """Return the names of the collections whose metadata is accepted, sorted."""
        names: list[str] = []
        with _vendor_errors():
            for offset in range(0, 1_000_000, _COLLECTIONS_PAGE):
                page = self.client.list_collections(limit=_COLLECTIONS_PAGE, offset=offset, **self.where)
                names += [one.name for one in page if owns(one.metadata or {})]
                if len(page) < _COLLECTIONS_PAGE:
                    break
        return sorted(names)

    def _parts(self, items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
        """Yield the items in parts of one request."""
        most = self.quotas.records
        yield from (items[start : start + most] for start in range(0, len(items), most))

    def call(self, name: str, call: Any, *, create: Mapping[str, str] | None = None) -> Any:
        """Return `call(collection)`; None where it does not exist and is not to be created with this metadata.

        If a known collection was removed and created again meanwhile, open it and call again.
        """
        with _vendor_errors():
            chroma = self._open(name, create)
            with suppress(NotFoundError):
                return None if chroma is None else call(chroma)
            self.known.pop(name, None)
            chroma = self._open(name, create)
            return None if chroma is None else call(chroma)

    def _open(self, name: str, create: Mapping[str, str] | None) -> Collection | None:
        known = self.known.get(name)
        if known is not None:
            return known
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
        self.known[name] = Collection(client=self.client, model=model, embedding_function=None)
        return self.known[name]


def _whole(answer: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield (id, text, metadata) of an answer's records that have both."""
    rows = zip(answer["ids"], answer["documents"], answer["metadatas"], strict=True) if answer else ()
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
