"""The retrievers of `integrations/` with their released frameworks, against the handler over HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest

from tests.unit import conftest
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import HandlerTransport
from tests.unit.query.query_world import BOILER, QUESTION

pytestmark = pytest.mark.integration

FOLDER = Path(__file__).parents[2] / "integrations"
world = conftest.world


class _Door(BaseHTTPRequestHandler):
    """Passes requests to the handler, with the API key as a Bearer key."""

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["content-length"]))
        headers = {"authorization": f"Bearer {self.headers['x-api-key']}"}
        request = httpx2.Request("POST", f"http://docwell{self.path}", content=sent, headers=headers)
        answer = HandlerTransport().handle_request(request)
        content = answer.read()
        self.send_response(answer.status_code)
        for name in ("content-type", "content-length"):
            self.send_header(name, answer.headers[name])
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def endpoint(world: HttpWorld) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Door)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def loaded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of an integration, imported as an installed one is."""
    monkeypatch.syspath_prepend(FOLDER / request.param[0])
    return import_module(request.param[1])


def langchain_passages(retriever: Any, *, waits: bool) -> list[tuple[str, dict[str, Any]]]:
    documents = asyncio.run(retriever.ainvoke(QUESTION)) if waits else retriever.invoke(QUESTION)
    return [(document.page_content, document.metadata) for document in documents]


def llama_index_passages(retriever: Any, *, waits: bool) -> list[tuple[str, dict[str, Any]]]:
    nodes = asyncio.run(retriever.aretrieve(QUESTION)) if waits else retriever.retrieve(QUESTION)
    assert all(node.score == node.node.metadata["score"] > 0 for node in nodes)
    return [(node.node.text, node.node.metadata) for node in nodes]


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
    where = {"collections": ["house"], "top_k": 2, "filter": {"prefix": "house/r"}}
    retriever = loaded.DocwellRetriever(endpoint=endpoint, api_key="house", **where)
    for waits in (False, True):
        ((text, metadata),) = found(retriever, waits=waits)
        assert text == BOILER
        assert (metadata["document"], metadata["page"], metadata["quote"]) == ("house/rules.pdf", 7, BOILER)
        assert metadata["link"].endswith("#page=7")


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
