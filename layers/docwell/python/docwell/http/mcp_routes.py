"""The route of the Model Context Protocol."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.event_handler.openapi.params import Body
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from docwell.audit import Action
from docwell.deadline import run
from docwell.http import answering, bodies, document_bodies, mcp, searching
from docwell.http.app import admission, charged, known, request_id
from docwell.http.console_links import console_of, linked
from docwell.http.document_bodies import PAGE_SIZE
from docwell.http.mcp_tools import DocumentsArguments
from docwell.identity import Principal
from docwell.query.listing import Listing, list_documents
from docwell.query.page_text import read_page
from docwell.wiring import query as wiring

MCP = "/v1/mcp"

router = APIGatewayRouter()  # type: ignore[no-untyped-call] # Powertools ships it so


@dataclass(frozen=True, slots=True)
class _Caller:
    """`docwell.http.mcp_tools.Caller` for the current request, which may have come by the console's address."""

    console: str | None

    def known(self) -> Principal:
        return known()

    def search(self, body: searching.SearchRequest) -> searching.SearchResponse:
        return searching.search(body, admission(), request_id())

    def answer(self, body: bodies.QueryRequest) -> bodies.QueryResponse:
        asked = answering.QuestionRequest(body, request_id(), admission(bodies.most_model_calls(body)))
        try:
            return linked(run(asked.result()).response, self.console)
        finally:
            asked.follow_up()

    def documents(self, wanted: DocumentsArguments) -> document_bodies.DocumentsResponse:
        listing = Listing(wanted.collection, wanted.prefix or "", wanted.status, wanted.cursor, PAGE_SIZE)
        return document_bodies.documents_body(*list_documents(wiring.catalogue(), charged(), listing))

    def page(self, document: str, page: int) -> str:
        admitted = admission()
        principal = run(admitted.admitted()).principal
        text = read_page(wiring.catalogue(), wiring.page_index(), principal, document, page)
        answering.audit(admitted, Action.READ, frozenset({document}), request_id())
        return text


@router.post(
    MCP,
    description="The Model Context Protocol (2026-07-28 and 2025-11-25), stateless: one JSON-RPC message.",
)
def message(body: Annotated[dict[str, Any], Body()]) -> Response[str]:
    """Answer one message."""
    headers = {name.lower(): value for name, value in router.current_event.headers.items()}
    console = console_of(headers)
    # The specification demands that a server rejects requests of pages of other origins.
    if headers.get("origin", console) != console:
        answer = mcp.OTHER_ORIGIN
    else:
        answer = mcp.reply(body, headers, _Caller(console))
    text = "" if answer.body is None else json.dumps(answer.body)
    return Response(answer.status, content_types.APPLICATION_JSON, text)


@router.route(MCP, method=["GET", "DELETE"], include_in_schema=False)
def no_session() -> Response[str]:
    """Answer 405: there are no sessions, and the server begins no messages."""
    known()
    return Response(HTTPStatus.METHOD_NOT_ALLOWED, content_types.APPLICATION_JSON, "", {"Allow": "POST"})
