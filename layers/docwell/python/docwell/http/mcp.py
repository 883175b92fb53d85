"""The Model Context Protocol, stateless: each message is one JSON-RPC request with one answer.

It supports version 2026-07-28, in which each request carries its version, and the three versions before it, which
begin with `initialize`: https://modelcontextprotocol.io/specification.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote, unquote

from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.event_handler.openapi.params import Body
from aws_lambda_powertools.event_handler.router import APIGatewayRouter
from pydantic import BaseModel, Field

from docwell import version
from docwell.answers import Mode
from docwell.audit import Action
from docwell.deadline import run
from docwell.errors import DocwellError, NotFound, Unauthenticated
from docwell.http import answering, bodies, openai
from docwell.http.edges import admission, caller, charge, data_file, record_error, request_id, validated
from docwell.http.shapes import MCP
from docwell.identity import ORIGIN_HEADER
from docwell.models import Status
from docwell.query.documents import Listing, list_documents, read_page
from docwell.wiring import query as wiring

VERSION, *BEFORE = SUPPORTED = ("2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26")
# RFC 9728, for the server and for its address of MCP.
_RESOURCE = "/.well-known/oauth-protected-resource"
_SERVER = {"name": "docwell", "version": version.VERSION}
_META, _HEADER = "io.modelcontextprotocol/", "mcp-protocol-version"
# Since 2026-07-28. Clients of the previous version reject these fields in the answer to a ping.
_RESULT_FIELDS = {"resultType": "complete", "cacheScope": "private", "ttlMs": 0}

_INVALID, _NO_METHOD, _PARAMS, _MISMATCH, _VERSION = -32600, -32601, -32602, -32020, -32022
# The parameter that `Mcp-Name` repeats.
_NAME_PARAMETERS = {"tools/call": "name", "resources/read": "uri"}
_BASE64 = re.compile(r"=\?base64\?(.*)\?=")

# The key may hold slashes: VS Code decodes `%2F` in an address.
_URI = re.compile(r"docwell://documents/(.+)/pages/([1-9][0-9]{0,6})")


router = APIGatewayRouter()  # type: ignore[no-untyped-call] # Powertools ships it so


class AskArguments(bodies.SearchFields):
    """A question to answer."""

    mode: Mode = Field(
        default=Mode.AUTO,
        description="How to answer. `overview` describes the one `document`; `auto` lets docwell choose.",
    )


class SearchArguments(bodies.SearchFields):
    """A question to find passages for."""

    links: bool = Field(default=False, description="Return a link to each document, for a person.")


class FetchArguments(bodies.Body, extra="forbid"):
    """The page to read."""

    id: bodies.Key = Field(description="The `id` of a passage: docwell://documents/DOCUMENT/pages/PAGE")


class DocumentsArguments(bodies.Body, extra="forbid"):
    """The documents to list."""

    collection: bodies.Key | None = None
    prefix: bodies.Key | None = Field(default=None, description="The beginning of their keys.")
    status: Status | None = Status.INDEXED
    limit: Annotated[int, Field(ge=1, le=bodies.PAGE_SIZE)] = 20
    cursor: bodies.Cursor | None = Field(default=None, description="Of the page before.")


@dataclass(eq=False)
class RpcError(Exception):
    """An error of the protocol."""

    code: int
    message: str
    data: Mapping[str, Any] | None = None


@router.post(
    MCP, description=f"The Model Context Protocol ({', '.join(SUPPORTED)}), stateless: one JSON-RPC message."
)
def message(body: Annotated[dict[str, Any], Body()]) -> Response[str]:
    """Answer one message."""
    headers = router.current_event.headers
    console = bodies.origin_of(headers.get(ORIGIN_HEADER, ""))
    # The specification requires servers to reject requests from pages of other origins.
    if headers.get("origin", console) != console:
        error = {"code": _INVALID, "message": "the Origin is not docwell's console"}
        return _response(HTTPStatus.FORBIDDEN, {"jsonrpc": "2.0", "id": None, "error": error})
    caller()
    if "id" not in body and body.get("jsonrpc") == "2.0" and isinstance(body.get("method"), str):
        return _response(HTTPStatus.ACCEPTED, None)  # docwell ignores notifications
    modern, id_ = False, body.get("id")
    try:
        method, params = _request(body)
        versioned = _meta(params).get(f"{_META}protocolVersion") is not None  # else a version without `initialize`
        modern = versioned or headers.get(_HEADER) not in (None, *BEFORE)
        if modern:
            _check_modern(method, params, headers)
        result = (_RESULT_FIELDS if modern else {}) | _result(method, params, console, modern=modern)
    except Unauthenticated:
        raise
    except DocwellError as error:  # tools return their errors as results
        uri = params.get("uri") if isinstance(error, NotFound) else None
        data = {"uri": uri[:4096]} if isinstance(uri, str) else None
        return _error_response(RpcError(_PARAMS, record_error(error).detail, data), id_, modern=modern)
    except RpcError as error:
        return _error_response(error, id_, modern=modern)
    return _response(HTTPStatus.OK, {"jsonrpc": "2.0", "id": id_, "result": result})


def _response(status: int, body: dict[str, Any] | None) -> Response[str]:
    return Response(status, content_types.APPLICATION_JSON, "" if body is None else json.dumps(body))


def _error_response(error: RpcError, id_: object, *, modern: bool) -> Response[str]:
    fields = {"code": error.code, "message": error.message} | ({"data": error.data} if error.data else {})
    status = HTTPStatus.NOT_FOUND if error.code == _NO_METHOD else HTTPStatus.BAD_REQUEST
    # In versions before 2026-07-28, errors within a method have status 200.
    status = status if modern or error.code == _INVALID else HTTPStatus.OK
    return _response(status, {"jsonrpc": "2.0", "id": id_ if _is_id(id_) else None, "error": fields})


def _is_id(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _request(message: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the method and the parameters of a request. Raises `RpcError`."""
    method, params = message.get("method"), message.get("params") or {}
    fits = message.get("jsonrpc") == "2.0" and _is_id(message.get("id"))
    if not fits or not isinstance(params, Mapping) or not isinstance(method, str):
        raise RpcError(_INVALID, "the body is not a JSON-RPC request")
    return method, params


def _meta(params: Mapping[str, Any]) -> Mapping[str, Any]:
    return params["_meta"] if isinstance(params.get("_meta"), Mapping) else {}


def _check_modern(method: str, params: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    """Raise `RpcError` where the version, the parameters of each request, or the headers are wrong."""
    header, meta = headers.get(_HEADER), _meta(params)
    if header is None or meta.get(f"{_META}protocolVersion") not in (None, header):  # JSON may be unhashable
        raise RpcError(_MISMATCH, "the header MCP-Protocol-Version is not the version of the message")
    if header != VERSION:
        raise RpcError(_VERSION, "unsupported version", {"supported": [*SUPPORTED], "requested": str(header)[:40]})
    for field, kind in (("protocolVersion", str), ("clientCapabilities", Mapping)):
        if not isinstance(meta.get(f"{_META}{field}"), kind):
            raise RpcError(_PARAMS, f"params._meta has no {_META}{field}")
    name = params.get(_NAME_PARAMETERS.get(method, ""))
    if headers.get("mcp-method") != method or (name is not None and _header(headers.get("mcp-name")) != name):
        raise RpcError(_MISMATCH, "the headers Mcp-Method and Mcp-Name are not those of the message")


def _header(value: str | None) -> str | None:
    """Return the text of a header: values beyond ASCII come in base64."""
    match = _BASE64.fullmatch(value or "")
    try:
        return base64.b64decode(match[1], validate=True).decode() if match else value
    except (binascii.Error, ValueError):
        return None


def _result(method: str, params: Mapping[str, Any], console: str | None, *, modern: bool) -> dict[str, Any]:
    """Return the result of a request. Raises `RpcError`."""
    methods: dict[str, Callable[[], dict[str, Any]]] = {
        "initialize": lambda: {
            "protocolVersion": params["protocolVersion"] if params.get("protocolVersion") in BEFORE else BEFORE[0],
            "serverInfo": _SERVER,
            **data_file("mcp")["server"],
        },
        "server/discover": lambda: {
            "supportedVersions": [*SUPPORTED],
            **data_file("mcp")["server"],
            "_meta": {f"{_META}serverInfo": _SERVER},
        },
        "ping": dict,
        "tools/list": lambda: {"tools": _tool_list()},
        "tools/call": lambda: _call_tool(params, console),
        "resources/list": lambda: _resources(params),
        "resources/templates/list": lambda: {"resourceTemplates": [data_file("mcp")["template"]]},
        "resources/read": lambda: {
            "contents": [{"uri": params.get("uri"), "mimeType": "text/plain", "text": _page(params.get("uri"))[2]}]
        },
    }
    if method not in methods or (modern and method in {"initialize", "ping"}):
        raise RpcError(_NO_METHOD, "docwell does not have this method")
    return methods[method]()


# The arguments of each tool.
TOOLS: dict[str, type[BaseModel]] = {
    "search": SearchArguments,
    "fetch": FetchArguments,
    "ask": AskArguments,
    "documents": DocumentsArguments,
}


def _fields(tool: str, items: str) -> set[str]:
    """Return the fields of the items in the result of a tool."""
    return {*data_file("mcp")["tools"][tool]["outputSchema"]["properties"][items]["items"]["properties"]}


def _run_tool(arguments: BaseModel, console: str | None) -> tuple[str, dict[str, Any]]:
    """Return the text and the structured result of the tool with these arguments."""
    if isinstance(arguments, SearchArguments):
        body = _search(arguments)
    elif isinstance(arguments, FetchArguments):
        document, page, text = _page(arguments.id)
        url = bodies.source_address(console, {"document": document, "page": page}) if console else arguments.id
        body = {"id": arguments.id, "title": f"{document}, page {page}", "text": text, "url": url}
    elif isinstance(arguments, DocumentsArguments):
        rows, cursor = _documents(arguments)
        names = _fields("documents", "documents")
        listed = [row.model_dump(mode="json", include=names, exclude_none=True) for row in rows]
        body = {"documents": listed} | ({"cursor": cursor} if cursor else {})
    else:
        request = bodies.QueryRequest.model_validate(arguments.model_dump())
        question = answering.QuestionRequest(request, request_id(), admission(bodies.most_model_calls(request)))
        try:
            answer = bodies.linked(run(question.result()).response, console)
        finally:
            question.follow_up()
        return openai.content(answer), answer.model_dump(mode="json")
    return json.dumps(body, ensure_ascii=False), body


def _search(arguments: SearchArguments) -> dict[str, Any]:
    """Return the passages without quotes, which are parts of them, and without signed links, which are longer."""
    request = bodies.SearchRequest.model_validate(arguments.model_dump(exclude={"links"}))
    names = _fields("search", "passages") - (set() if arguments.links else {"link"})
    return {
        "passages": [
            {"id": _uri(hit.document, hit.page), "title": openai.title(hit)}
            | hit.model_dump(mode="json", include=names, exclude_none=True)
            | {"score": round(hit.score, 3)}
            for hit in answering.search(request).passages or ()
        ]
    }


@cache
def _tool_list() -> list[dict[str, Any]]:
    hints = {"readOnlyHint": True, "openWorldHint": False}
    shared = {"outputSchema": bodies.QueryResponse.model_json_schema(mode="serialization"), "annotations": hints}
    described = data_file("mcp")["tools"]
    return [
        {"name": name, "inputSchema": arguments.model_json_schema(), **shared, **described[name]}
        for name, arguments in TOOLS.items()
    ]


def _call_tool(params: Mapping[str, Any], console: str | None) -> dict[str, Any]:
    """Return the result of a tool. An error of the tool is a result too, so that the model reads it."""
    name = params.get("name")
    if not isinstance(name, str) or name not in TOOLS:
        raise RpcError(_PARAMS, "docwell does not have this tool")
    try:
        text, structured = _run_tool(validated(TOOLS[name], params.get("arguments") or {}), console)
    except Unauthenticated:
        raise
    except DocwellError as error:
        text = f"{record_error(error).title}: {error.detail}"
        return {"content": [{"type": "text", "text": text}], "isError": True}
    return {"content": [{"type": "text", "text": text}], "structuredContent": structured, "isError": False}


def _documents(arguments: DocumentsArguments) -> tuple[list[bodies.DocumentBody], str | None]:
    """Return one page of the documents, and the cursor of the next; charges the request."""
    prefix, size = arguments.prefix or "", arguments.limit
    listing = Listing(arguments.collection, prefix, arguments.status, arguments.cursor, size)
    records, cursor = list_documents(wiring.catalogue(), charge(), listing)
    return list(map(bodies.document_body, records)), cursor


def _resources(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return one page of the documents, each as its first page."""
    fields = {"cursor": params.get("cursor"), "limit": bodies.PAGE_SIZE}
    documents, cursor = _documents(validated(DocumentsArguments, fields))
    resources = [
        {
            "uri": _uri(document.document, 1),
            "name": document.document,
            "title": document.title or document.document,
            "mimeType": "text/plain",
        }
        for document in documents
    ]
    return {"resources": resources} | ({"nextCursor": cursor} if cursor else {})


def _uri(document: str, page: int) -> str:
    return f"docwell://documents/{quote(document, safe='')}/pages/{page}"


def _page(uri: object) -> tuple[str, int, str]:
    """Return document, number and text of a page; charges the request."""
    match = _URI.fullmatch(uri) if isinstance(uri, str) else None
    if match is None:
        raise NotFound("no such resource: resources/templates/list has their form")
    document, page, principal = unquote(match[1]), int(match[2]), charge()
    text = read_page(wiring.catalogue(), wiring.page_index(), principal, document, page)
    answering.audit(principal, Action.READ, frozenset({document}))
    return document, page, text


@router.get(_RESOURCE, include_in_schema=False)
@router.get(f"{_RESOURCE}{MCP}", include_in_schema=False)
def protected_resource() -> Response[str]:
    """Name the issuer of tokens, at which a client signs in (RFC 9728)."""
    issuer, base = wiring.query_settings().token_issuer, _base(router.current_event.raw_event)
    if not (issuer and base):
        raise NotFound("this installation takes API keys alone")
    return _response(HTTPStatus.OK, {"resource": f"{base}{MCP}", "authorization_servers": [issuer]})


def challenge(event: Mapping[str, Any]) -> str:
    """Return WWW-Authenticate for a caller without a valid credential."""
    base = _base(event) if wiring.query_settings().token_issuer else None
    return f'Bearer resource_metadata="{base}{_RESOURCE}"' if base else "Bearer"


def _base(event: Mapping[str, Any]) -> str | None:
    """Return the address of the API as the client sees it; behind API Gateway's own name, with the stage."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    base = bodies.origin_of(f"{headers.get('x-forwarded-proto', 'http')}://{headers.get('host')}")
    return f"{base}/{event['requestContext']['stage']}" if base and ".execute-api." in base else base
