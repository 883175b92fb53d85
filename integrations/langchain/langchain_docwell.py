"""A LangChain retriever over docwell's search: passages with document, page, quote and link."""

from __future__ import annotations

from typing import Any

import httpx
from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import SecretStr


class SearchFailed(RuntimeError):  # noqa: N818 - a name says what happened
    """docwell refused the search. `status` is that of HTTP."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"docwell: {detail} (HTTP {status})")
        self.status = status


class DocwellRetriever(BaseRetriever):
    """Retrieves the passages for a question that the key may read.

    `filter` is that of `POST /v1/search`. Retrieving raises `SearchFailed`, and `httpx.HTTPError` when docwell
    cannot be reached within `timeout_s` seconds.
    """

    endpoint: str
    api_key: SecretStr
    collections: list[str] | None = None
    top_k: int | None = None
    filter: dict[str, Any] | None = None
    timeout_s: float = 30.0

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        with httpx.Client(timeout=self.timeout_s) as client:
            return _documents(client.send(self._request(query)))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        async with httpx.AsyncClient(timeout=self.timeout_s) as client:
            return _documents(await client.send(self._request(query)))

    def _request(self, question: str) -> httpx.Request:
        options = {"collections": self.collections, "top_k": self.top_k, "filter": self.filter}
        body = {"question": question} | {name: value for name, value in options.items() if value is not None}
        headers = {"x-api-key": self.api_key.get_secret_value()}
        return httpx.Request("POST", f"{self.endpoint.rstrip('/')}/v1/search", json=body, headers=headers)


def _documents(response: httpx.Response) -> list[Document]:
    if not response.is_success:
        json = response.headers.get("content-type", "").endswith("json")
        raise SearchFailed(
            response.status_code, response.json().get("detail", "") if json else response.text[:200]
        )
    return [Document(page_content=one.pop("text"), metadata=one) for one in response.json()["passages"]]
