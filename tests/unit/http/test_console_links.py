"""Sources in answers to other programs link to the console where the request came by its address."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest

from docwell.http.console_links import ORIGIN_HEADER, console_of
from docwell.models import CitationUnit, UnitKind
from tests.unit.cases import rows
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import call
from tests.unit.query.query_world import BOILER, QUESTION

CONSOLE = "https://d1.cloudfront.net"
SOURCE = {"document": "house/rules.pdf", "version": "v1", "page": "7", "quote": BOILER}
CHAT = {"model": "docwell", "messages": [{"role": "user", "content": QUESTION}]}
ASK = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "ask", "arguments": {"question": QUESTION}},
}


def link(body: dict[str, Any], origin: str | None = CONSOLE) -> str:
    """Return the link of the only source in a chat completion."""
    headers = {ORIGIN_HEADER: origin} if origin is not None else {}
    message = call("POST", "/v1/chat/completions", body, **headers)[1]["choices"][0]["message"]
    (annotation,) = message["annotations"]
    url = str(annotation["url_citation"]["url"])
    assert f"]({url}): “" in message["content"]
    return url


def source(url: str) -> dict[str, str]:
    console, _, query = url.partition("/#/source?")
    assert console == CONSOLE
    return dict(parse_qsl(query, strict_parsing=True))


def test_a_source_of_a_chat_opens_the_console_at_its_quote(world: HttpWorld) -> None:
    assert source(link(CHAT)) == SOURCE


def test_a_source_that_has_no_pages_names_its_place(world: HttpWorld) -> None:
    unit = CitationUnit(UnitKind.RANGE, "Budget!A5:D5", "Budget!A5:D5")
    text = "The pump (of the [yard](x) & cellar) is inspected every April."
    world.add("house/50% & more.xlsx", text, unit=unit)
    world.model.says = "The pump is inspected every April [1]."
    body = {**CHAT, "messages": [{"role": "user", "content": "how often is the pump inspected"}]}
    opened = source(link(body))
    assert (opened["document"], opened["place"]) == ("house/50% & more.xlsx", "Budget!A5:D5")


def test_an_answer_to_a_tool_links_to_the_console_too(world: HttpWorld) -> None:
    result = call("POST", "/v1/mcp", ASK, **{ORIGIN_HEADER: CONSOLE})[1]["result"]
    (citation,) = result["structuredContent"]["citations"]
    assert source(citation["link"]) == SOURCE
    assert f"]({citation['link']}): “" in result["content"][0]["text"]


@pytest.mark.parametrize("origin", rows(__file__, "no_console_origins"))
def test_without_the_consoles_address_a_source_links_to_its_file(world: HttpWorld, origin: str | None) -> None:
    assert link(CHAT, origin).startswith("https://bucket/house/rules.pdf?versionId=v1")


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8080", "http://[::1]:8080", "https://docs.house.example"])
def test_the_address_may_be_a_local_one(origin: str) -> None:
    assert console_of({ORIGIN_HEADER.title(): origin}) == origin


@pytest.mark.parametrize(
    ("origin", "status"), [(CONSOLE, 200), ("https://evil.example", 403), ("null", 403), ("", 403)]
)
def test_pages_of_other_origins_call_no_tools(world: HttpWorld, origin: str, status: int) -> None:
    got, body, _ = call("POST", "/v1/mcp", ASK, **{ORIGIN_HEADER: CONSOLE, "Origin": origin})
    assert (got, "error" in body) == (status, status == 403)
    assert world.principals.requests == (status == 200)
    assert call("POST", "/v1/mcp", ASK, Origin="https://evil.example")[0] == 403
