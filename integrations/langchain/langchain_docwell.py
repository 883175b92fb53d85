"""A LangChain retriever over docwell's search: passages with document, page, quote and link."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import httpx
from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import AliasChoices, Field, SecretStr


class SearchFailed(RuntimeError):  # noqa: N818 - a name says what happened
    """docwell refused the search. `status` is that of HTTP."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"docwell: {detail} (HTTP {status})")
        self.status = status


class DocwellRetriever(BaseRetriever):
    """Retrieves the passages for a question that the key may read.

    `filter` is that of `POST /v1/search`; `k` is another name of `top_k`, here and in `invoke`. Pass a `client`
    and an `async_client` for proxies, certificates and retries, and close them yourself. Retrieving raises
    `SearchFailed`, and `httpx.HTTPError` when docwell cannot be reached within `timeout_s` seconds.
    """

    endpoint: str
    api_key: SecretStr
    collections: list[str] | None = None
    top_k: int | None = Field(default=None, validation_alias=AliasChoices("top_k", "k"))
    filter: dict[str, Any] | None = None
    timeout_s: float = 30.0
    client: httpx.Client | None = Field(default=None, exclude=True)
    async_client: httpx.AsyncClient | None = Field(default=None, exclude=True)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        top_k: int | None = None,
        k: int | None = None,
    ) -> list[Document]:
        with nullcontext(self.client) if self.client else httpx.Client(timeout=self.timeout_s) as client:
            return _documents(client.post(**self._request(query, top_k or k)))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        top_k: int | None = None,
        k: int | None = None,
    ) -> list[Document]:
        lent = nullcontext(self.async_client) if self.async_client else None
        async with lent or httpx.AsyncClient(timeout=self.timeout_s) as client:
            return _documents(await client.post(**self._request(query, top_k or k)))

    def _request(self, question: str, top_k: int | None) -> dict[str, Any]:
        options = {"collections": self.collections, "top_k": top_k or self.top_k, "filter": self.filter}
        body = {"question": question} | {name: value for name, value in options.items() if value is not None}
        headers = {"x-api-key": self.api_key.get_secret_value()}
        return {"url": f"{self.endpoint.rstrip('/')}/v1/search", "json": body, "headers": headers}


def _documents(response: httpx.Response) -> list[Document]:
    if not response.is_success:
        json = response.headers.get("content-type", "").endswith("json")
        raise SearchFailed(
            response.status_code, response.json().get("detail", "") if json else response.text[:200]
        )
    return [_document(passage) for passage in response.json()["passages"]]


def _document(passage: dict[str, Any]) -> Document:
    """Return a document whose id is that of the passage in this version, whatever the question."""
    text = passage.pop("text")
    place = (passage["document"], passage["version"], str(passage["page"]), text)
    return Document(id=str(uuid5(NAMESPACE_URL, "\n".join(place))), page_content=text, metadata=passage)
