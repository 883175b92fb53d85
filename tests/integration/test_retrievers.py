"""The retrievers of `integrations/` with their released frameworks, against the handler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest

from tests.unit import conftest
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import HandlerTransport
from tests.unit.query.query_world import BOILER, QUESTION

pytestmark = pytest.mark.integration

FOLDER = Path(__file__).parents[2] / "integrations"
world = conftest.world


def handled(request: httpx.Request) -> httpx.Response:
    """Return the handler's answer to a request, whose API key is sent as a Bearer key."""
    headers = {"authorization": f"Bearer {request.headers['x-api-key']}"}
    sent = httpx2.Request(request.method, str(request.url), content=request.content, headers=headers)
    answer = HandlerTransport().handle_request(sent)
    return httpx.Response(answer.status_code, headers=dict(answer.headers), content=answer.read())


async def handled_async(_transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
    return await asyncio.to_thread(handled, request)


@pytest.fixture
def endpoint(world: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", lambda _self, request: handled(request))
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handled_async)
    return "http://docwell/"


@pytest.fixture
def loaded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of an integration, imported as an installed one is."""
    monkeypatch.syspath_prepend(FOLDER / request.param[0])
    return import_module(request.param[1])


def langchain_passages(retriever: Any, *, waits: bool) -> list[tuple[str, dict[str, Any]]]:
    documents = asyncio.run(retriever.ainvoke(QUESTION, k=1)) if waits else retriever.invoke(QUESTION, top_k=1)
    return [(document.page_content, document.metadata | {"id": document.id}) for document in documents]


def llama_index_passages(retriever: Any, *, waits: bool) -> list[tuple[str, dict[str, Any]]]:
    nodes = asyncio.run(retriever.aretrieve(QUESTION)) if waits else retriever.retrieve(QUESTION)
    assert all(node.score == node.node.metadata["score"] > 0 for node in nodes)
    return [(node.node.text, node.node.metadata | {"id": node.node.node_id}) for node in nodes]


EACH = pytest.mark.parametrize(
    ("loaded", "found"),
    [
        (("langchain", "langchain_docwell"), langchain_passages),
        (("llama-index", "llama_index_docwell"), llama_index_passages),
    ],
    indirect=["loaded"],
)
Found = Callable[..., list[tuple[str, dict[str, Any]]]]


@EACH
def test_a_retriever_gives_the_passages_of_a_search_with_their_pages(
    world: HttpWorld, endpoint: str, loaded: ModuleType, found: Found
) -> None:
    world.add("house/notes.pdf", "Another boiler is inspected in the cellar.", page=3)
    where = {"collections": ["house"], "top_k": 2, "filter": {"prefix": "house/"}}
    given = {"client": httpx.Client(), "async_client": httpx.AsyncClient()}
    retrievers = [
        loaded.DocwellRetriever(endpoint=endpoint, api_key="house", **where, **own) for own in ({}, given)
    ]
    ids = set()
    for retriever, waits in product(retrievers, (False, True)):
        (text, metadata), *more = found(retriever, waits=waits)
        assert (len(more), metadata["id"] != metadata["document"]) == (
            loaded.__name__ != "langchain_docwell",
            True,
        )
        ids.add(metadata["id"])
        assert text == BOILER
        assert (metadata["document"], metadata["page"], metadata["quote"]) == ("house/rules.pdf", 7, BOILER)
        assert metadata["link"].endswith("#page=7")
    assert len(ids) == 1


@EACH
def test_a_retriever_says_why_a_search_fails(
    world: HttpWorld, endpoint: str, loaded: ModuleType, found: Found
) -> None:
    for options, status in (({"api_key": "revoked"}, 401), ({"api_key": "house", "collections": ["cellar"]}, 404)):
        retriever = loaded.DocwellRetriever(endpoint=endpoint, **options)
        with pytest.raises(loaded.SearchFailed) as caught:
            found(retriever, waits=False)
        assert caught.value.status == status
        assert str(caught.value).startswith("docwell: ")
