"""A LlamaIndex retriever over docwell's search: passages with document, page, quote and link."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import httpx
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

# The metadata that a prompt shows.
_SHOWN = ("document", "page")


class SearchFailed(RuntimeError):  # noqa: N818 - a name says what happened
    """docwell refused the search. `status` is that of HTTP."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"docwell: {detail} (HTTP {status})")
        self.status = status


class DocwellRetriever(BaseRetriever):
    """Retrieves the passages for a question that the key may read."""

    def __init__(  # noqa: PLR0913 - each is a setting
        self,
        endpoint: str,
        api_key: str,
        *,
        collections: list[str] | None = None,
        top_k: int | None = None,
        filter: dict[str, Any] | None = None,  # noqa: A002 - the name in docwell's API
        timeout_s: float = 30.0,
        client: httpx.Client | None = None,
        async_client: httpx.AsyncClient | None = None,
    ) -> None:
        """`filter` is that of `POST /v1/search`.

        Pass a `client` and an `async_client` for proxies, certificates and retries, and close them yourself.
        Retrieving raises `SearchFailed`, and `httpx.HTTPError` when docwell cannot be reached within `timeout_s`
        seconds.
        """
        super().__init__()
        self._address = f"{endpoint.rstrip('/')}/v1/search"
        self._headers = {"x-api-key": api_key}
        options = {"collections": collections, "top_k": top_k, "filter": filter}
        self._options = {name: value for name, value in options.items() if value is not None}
        self._timeout_s = timeout_s
        self._client, self._async_client = client, async_client

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        with nullcontext(self._client) if self._client else httpx.Client(timeout=self._timeout_s) as client:
            return _nodes(client.post(**self._request(query_bundle.query_str)))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        lent = nullcontext(self._async_client) if self._async_client else None
        async with lent or httpx.AsyncClient(timeout=self._timeout_s) as client:
            return _nodes(await client.post(**self._request(query_bundle.query_str)))

    def _request(self, question: str) -> dict[str, Any]:
        return {"url": self._address, "json": {"question": question, **self._options}, "headers": self._headers}


def _nodes(response: httpx.Response) -> list[NodeWithScore]:
    if not response.is_success:
        json = response.headers.get("content-type", "").endswith("json")
        raise SearchFailed(
            response.status_code, response.json().get("detail", "") if json else response.text[:200]
        )
    passages = response.json()["passages"]
    return [NodeWithScore(node=_node(passage), score=passage["score"]) for passage in passages]


def _node(passage: dict[str, Any]) -> TextNode:
    """Return a node that shows a model the text and its place, without the link, which opens the document.

    Its id is that of the passage in this version, whatever the question.
    """
    text = passage.pop("text")
    place = (passage["document"], passage["version"], str(passage["page"]), text)
    hidden = [name for name in passage if name not in _SHOWN]
    return TextNode(
        id_=str(uuid5(NAMESPACE_URL, "\n".join(place))),
        text=text,
        metadata=passage,
        excluded_llm_metadata_keys=hidden,
        excluded_embed_metadata_keys=hidden,
    )
