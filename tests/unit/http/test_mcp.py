"""The Model Context Protocol with the official client, through the handler on ports in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from docwell.answers import REFUSALS, STILL_INDEXING
from docwell.audit import Action
from docwell.http import mcp
from docwell.models import Chunk, DocumentRecord, IndexRecord
from docwell.wiring import query as wiring
from functions.query.handler import handler
from tests.unit.cases import rows
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import CONTEXT, HandlerTransport, begin, call, event_of, events_of
from tests.unit.query.query_world import BOILER, QUESTION

MODES = pytest.mark.parametrize("mode", ["auto", "legacy"])
QUERY = {"question": QUESTION}
PAGE = "docwell://documents/house%2Frules.pdf/pages/7"
_Result = TypeVar("_Result")


class _Transport(httpx2.AsyncBaseTransport):
    """Sends the client's requests to the handler, on another thread, as the handler runs an event loop."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        answer = await asyncio.to_thread(HandlerTransport().handle_request, request)
        content = answer.read()
        return httpx2.Response(answer.status_code, headers=answer.headers, content=content)


def using(work: Callable[[Client], Awaitable[_Result]], key: str = "house", mode: Any = "auto") -> _Result:
    """Return the result of work with a connected client."""

    async def connected() -> _Result:
        async with (
            httpx2.AsyncClient(transport=_Transport(), headers={"authorization": f"Bearer {key}"}) as http,
            Client(streamable_http_client("http://docwell/v1/mcp", http_client=http), mode=mode) as client,
        ):
            return await work(client)

    return asyncio.run(connected())


def tool(name: str, key: str = "house", mode: Any = "auto", **arguments: Any) -> Any:
    return using(lambda client: client.call_tool(name, arguments), key, mode)


@MODES
def test_the_official_client_lists_the_tools_at_no_charge(world: HttpWorld, mode: str) -> None:
    listed = using(lambda client: client.list_tools(), mode=mode)
    assert [entry.name for entry in listed.tools] == ["search", "fetch", "ask", "documents"]
    assert {"question", "filter", "links"} <= set(listed.tools[0].input_schema["properties"])
    assert world.principals.requests == 0


@MODES
def test_a_search_gives_passages_with_pages(world: HttpWorld, mode: str) -> None:
    world.add("cellar/a.pdf", "The boiler of the cellar is inspected every June.")
    result = tool("search", mode=mode, question=QUESTION, top_k=3)
    assert not result.is_error
    (passage,) = result.structured_content["passages"]
    assert (passage["document"], passage["page"], passage["text"]) == ("house/rules.pdf", 7, BOILER)
    assert BOILER in result.content[0].text
    assert len(result.content[0].text) < len(BOILER) + 300
    assert (world.principals.requests, world.model.asked) == (1, [])
    with_link = tool("search", mode=mode, question=QUESTION, links=True).structured_content["passages"][0]
    assert (set(with_link) - set(passage), passage["id"]) == ({"link"}, PAGE)
    page = tool("fetch", mode=mode, id=passage["id"]).structured_content
    assert page == {"id": PAGE, "title": "house/rules.pdf, page 7", "text": BOILER, "url": PAGE}


@MODES
def test_an_answer_has_its_sources_a_receipt_and_its_charge(world: HttpWorld, mode: str) -> None:
    result = tool("ask", mode=mode, question=QUESTION, collection="house")
    assert result.content[0].text.startswith("Every March [1].\n\nSources:\n\n1. [house/rules.pdf, page 7")
    answer = result.structured_content
    assert world.principals.tokens == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"] > 0
    assert [id_ for _, id_ in world.receipts.kept] == [answer["request_id"]]
    (event,) = world.audit.events
    assert (event.action, event.documents) == (Action.ASKED, frozenset({"house/rules.pdf"}))


@pytest.mark.parametrize(("name", "arguments", "text"), rows(__file__, "mcp_tool_errors"))
def test_an_error_of_a_tool_reaches_the_model(
    world: HttpWorld, name: str, arguments: dict[str, Any], text: str
) -> None:
    world.add("cellar/a.pdf", "The cellar is dry.")
    result = tool(name, **arguments)
    assert result.is_error
    assert text in result.content[0].text


@MODES
def test_resources_are_pages_of_documents(world: HttpWorld, mode: str) -> None:
    async def work(client: Client) -> tuple[Any, Any, Any]:
        listed, templates = await client.list_resources(), await client.list_resource_templates()
        return listed, templates, await client.read_resource(PAGE)

    listed, templates, page = using(work, mode=mode)
    assert [resource.uri for resource in listed.resources] == ["docwell://documents/house%2Frules.pdf/pages/1"]
    assert templates.resource_templates[0].uri_template == "docwell://documents/{document}/pages/{page}"
    assert page.contents[0].text == BOILER
    assert world.principals.requests == 2
    (event,) = world.audit.events
    assert (event.action, event.documents) == (Action.READ, frozenset({"house/rules.pdf"}))


def test_a_page_is_joined_from_its_chunks_of_the_live_version(world: HttpWorld) -> None:
    chunks = [(20, "the second one.", True), (0, "One sentence, and the second", True), (5, "x", False)]
    for start, text, live in chunks:
        chunk = Chunk(text, 8, start - 2 if start else 0, start - 2 + len(text) if start else len(text), 4)
        generation = "live" if live else "old"
        record = IndexRecord(f"c{start}", "house/rules.pdf", generation, "v1", chunk, [1.0])
        world.index.upsert("house", [record])
    page: Any = using(lambda client: client.read_resource(PAGE.replace("/7", "/8")))
    assert page.contents[0].text == "One sentence, and the second one."


@pytest.mark.parametrize("key", ["house/rules.pdf", "house/a b+é.pdf", "house//100%.pdf", "house/pages/1/x.pdf"])
def test_a_page_is_read_by_the_listed_address_and_by_the_one_that_vs_code_makes_of_it(
    world: HttpWorld, key: str
) -> None:
    world.add(key, BOILER, page=7)
    listed = f"docwell://documents/{quote(key, safe='')}/pages/7"
    assert listed.removesuffix("7") + "1" in {
        resource["uri"] for resource in read("resources/list")["result"]["resources"]
    }
    # It decodes the path, and encodes it again without its slashes and percent signs.
    for uri in (listed, f"docwell://documents/{quote(key, safe='/%')}/pages/7"):
        (content,) = read("resources/read", uri=uri)["result"]["contents"]
        assert (content["uri"], content["text"]) == (uri, BOILER)
    assert {document for event in world.audit.events for document in event.documents} == {key}


def read(method: str, **params: Any) -> Any:
    """Return the answer of the version before to a request."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return call("POST", "/v1/mcp", message, "house")[1]


@MODES
@pytest.mark.parametrize("uri", rows(__file__, "mcp_missing_pages"))
def test_a_page_that_the_caller_may_not_read_looks_missing(world: HttpWorld, uri: str, mode: str) -> None:
    world.add("cellar/rules.pdf", "The cellar is dry.", page=7)

    async def work(client: Client) -> tuple[int, Any]:
        with pytest.raises(MCPError) as caught:
            await client.read_resource(uri)
        return caught.value.code, caught.value.error.data

    assert using(work, mode=mode) == (-32602, {"uri": uri})


@pytest.mark.parametrize("key", [None, "revoked"])
@pytest.mark.parametrize("method", ["initialize", "tools/list", "notifications/initialized", "nothing"])
def test_an_unknown_key_is_401_for_every_message(world: HttpWorld, key: str | None, method: str) -> None:
    message = {"jsonrpc": "2.0", "method": method} | ({} if "/init" in method else {"id": 1})
    status, body, headers = call("POST", "/v1/mcp", message, key)
    assert (status, body["error"]["code"], headers["WWW-Authenticate"]) == (401, -32000, ["Bearer"])


@pytest.mark.parametrize(
    ("asked", "answered"),
    [*zip(mcp.BEFORE, mcp.BEFORE, strict=True), ("2024-11-05", "2025-11-25"), ({}, "2025-11-25")],
)
def test_a_client_gets_its_version_if_docwell_has_it(world: HttpWorld, asked: object, answered: str) -> None:
    assert read("initialize", protocolVersion=asked)["result"]["protocolVersion"] == answered


@pytest.mark.parametrize(("key", "body", "status", "code"), rows(__file__, "mcp_no_messages"))
def test_a_body_that_is_no_message_is_an_error_of_json_rpc(
    world: HttpWorld, key: str | None, body: str, status: int, code: int
) -> None:
    got, answer, _ = call("POST", "/v1/mcp", body, key)
    assert (got, answer["id"], answer["error"]["code"]) == (status, None, code)


def test_a_client_without_a_token_learns_where_to_sign_in(
    world: HttpWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, issuer = "/.well-known/oauth-protected-resource", "https://sso.example/realms/docs"
    headers = {"host": "docs.example", "x-forwarded-proto": "https"}
    assert call("GET", path, key=None, **headers)[0] == 404
    settings = wiring.query_settings().model_copy(update={"token_issuer": issuer})
    monkeypatch.setattr(wiring, "query_settings", lambda: settings)
    for suffix in ("", "/v1/mcp"):
        document = call("GET", path + suffix, key=None, **headers)[1]
        assert document == {"resource": "https://docs.example/v1/mcp", "authorization_servers": [issuer]}
    challenge = call("POST", "/v1/mcp", LIST, None, **headers)[2]["WWW-Authenticate"]
    assert challenge == [f'Bearer resource_metadata="https://docs.example{path}"']
    assert call("POST", "/v1/mcp", LIST, None, host='evil"')[2]["WWW-Authenticate"] == ["Bearer"]


META = {"io.modelcontextprotocol/protocolVersion": mcp.VERSION, "io.modelcontextprotocol/clientCapabilities": {}}
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@pytest.mark.parametrize(("message", "headers", "status", "code"), rows(__file__, "mcp_bad_messages"))
def test_a_message_that_breaks_the_protocol_is_an_error_of_json_rpc(
    world: HttpWorld, message: dict[str, Any], headers: dict[str, str], status: int, code: int
) -> None:
    got, answer, _ = call("POST", "/v1/mcp", message, "house", **headers)
    assert (got, answer["error"]["code"]) == (status, code)
    versions = {"supported": [*mcp.SUPPORTED], "requested": headers.get("mcp-protocol-version")}
    assert answer["error"].get("data", versions) == versions


@pytest.mark.parametrize(("method", "params"), rows(__file__, "mcp_methods"))
def test_only_a_result_of_todays_version_has_its_fields(
    world: HttpWorld, method: str, params: dict[str, Any]
) -> None:
    """The official client of the version before rejects the answer to a ping that has a field."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    for headers in ({}, *({"mcp-protocol-version": version} for version in mcp.BEFORE)):
        before = call("POST", "/v1/mcp", message, "house", **headers)[1]["result"]
        assert not {"resultType", "cacheScope", "ttlMs"} & set(before)
        assert (before == {}) is (method == "ping")
    if method in {"initialize", "ping"}:  # not in today's version
        return
    headers = {"mcp-protocol-version": mcp.VERSION, "mcp-method": method}
    headers["mcp-name"] = params.get("name") or params.get("uri") or ""
    today = call("POST", "/v1/mcp", message | {"params": params | {"_meta": META}}, "house", **headers)[1][
        "result"
    ]
    assert (today["resultType"], today["cacheScope"], today["ttlMs"]) == ("complete", "private", 0)


HOSTILE: tuple[object, ...] = (None, True, 0, -1, 1.5, 10**400, "", "\ud800", "x" * 5_000, [], [{}], {}, {"a": []})
CALL = {"name": "search", "arguments": QUERY}
NAMES = sorted({name for arguments in mcp.TOOLS.values() for name in arguments.model_fields} | {"nothing"})


def messages(value: object) -> list[dict[str, Any]]:
    """Return messages that each have the value in another place."""
    calls = [{"name": tool, "arguments": QUERY | {name: value}} for tool in mcp.TOOLS for name in NAMES]
    params = [
        ("tools/list", {"_meta": META | {"io.modelcontextprotocol/protocolVersion": value}}),
        ("tools/list", {"_meta": value}),
        ("resources/read", {"uri": value}),
        ("resources/list", {"cursor": value}),
        ("initialize", {"protocolVersion": value, "capabilities": value, "clientInfo": value}),
        *(("tools/call", call) for call in (CALL | {"name": value}, CALL | {"arguments": value}, *calls)),
    ]
    wrong = [LIST | {name: value} for name in ("jsonrpc", "id", "method", "params", "other")]
    return wrong + [LIST | {"method": method, "params": given} for method, given in params]


@pytest.mark.parametrize("version", [None, mcp.VERSION, mcp.BEFORE[0]])
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:20])
def test_a_value_of_any_json_type_in_a_message_causes_no_server_error(
    world: HttpWorld, value: object, version: str | None
) -> None:
    for message in messages(value):
        headers = {"mcp-protocol-version": version, "mcp-method": str(message["method"])} if version else {}
        answer: Any = handler(event_of("POST", "/v1/mcp", message, "house", **headers), CONTEXT)
        assert answer["statusCode"] < 500, message


@pytest.mark.parametrize(("document", "count"), [("house/new.pdf", 1), ("cellar/new.pdf", 0)])
def test_a_refusal_says_at_each_interface_how_many_documents_of_the_caller_are_still_being_indexed(
    world: HttpWorld, document: str, count: int
) -> None:
    world.model.says = "NOT FOUND"
    world.ledger.records[document] = DocumentRecord(document)
    text = REFUSALS["not_in_documents"] + STILL_INDEXING.format(1) * count
    _, answer, _ = call("POST", "/v1/query", QUERY, "house")
    (*_, (_, streamed)) = events_of(begin(QUERY | {"stream": True}, "house"))
    for body in (answer, streamed, tool("ask", **QUERY).structured_content):
        assert (body["answer"], body["still_indexing"]) == (text, count)
