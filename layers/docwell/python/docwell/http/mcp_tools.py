"""The tools of the Model Context Protocol: the operations of the HTTP API, with its models as arguments."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, Field

from docwell.answers import Mode
from docwell.http import bodies, chat, document_bodies
from docwell.http.searching import SearchRequest, SearchResponse
from docwell.models import Status

_OVERVIEW_QUESTION = "What is this document about?"


class AskArguments(bodies.SearchFields):
    """A question to answer."""

    mode: Mode = Field(default=Mode.AUTO, description="How to answer; `auto` lets docwell choose.")


class DocumentsArguments(BaseModel, extra="forbid"):
    """The documents to list."""

    collection: bodies.Key | None = None
    prefix: bodies.Key | None = Field(default=None, description="The beginning of their keys.")
    status: Status | None = Status.INDEXED
    cursor: document_bodies.Cursor | None = Field(default=None, description="Of the page before.")


class OverviewArguments(BaseModel, extra="forbid"):
    """The document to describe."""

    document: bodies.Key = Field(description="Its key.")


class Caller(Protocol):
    """The current request. Each method raises as its route does and, except `known`, charges the request."""

    def known(self) -> object:
        """Return the principal. Raises `Unauthenticated`."""

    def search(self, body: SearchRequest) -> SearchResponse:
        """Return the passages for a question."""

    def answer(self, body: bodies.QueryRequest) -> bodies.QueryResponse:
        """Return the answer to a question."""

    def documents(self, wanted: DocumentsArguments) -> document_bodies.DocumentsResponse:
        """Return one page of documents."""

    def page(self, document: str, page: int) -> str:
        """Return the text of a page (1-based)."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: `run` returns its text and its structured result."""

    name: str
    title: str
    description: str
    arguments: type[BaseModel]
    run: Callable[[Any, Caller], tuple[str, dict[str, Any]]]


def _search(body: SearchRequest, caller: Caller) -> tuple[str, dict[str, Any]]:
    return _told(caller.search(body))


def _ask(body: AskArguments, caller: Caller) -> tuple[str, dict[str, Any]]:
    return _answered(bodies.QueryRequest.model_validate(body.model_dump()), caller)


def _documents(body: DocumentsArguments, caller: Caller) -> tuple[str, dict[str, Any]]:
    return _told(caller.documents(body))


def _overview(body: OverviewArguments, caller: Caller) -> tuple[str, dict[str, Any]]:
    request = bodies.QueryRequest(question=_OVERVIEW_QUESTION, document=body.document, mode=Mode.OVERVIEW)
    return _answered(request, caller)


def _answered(body: bodies.QueryRequest, caller: Caller) -> tuple[str, dict[str, Any]]:
    response = caller.answer(body)
    return chat.content(response), response.model_dump(mode="json")


def _told(found: BaseModel) -> tuple[str, dict[str, Any]]:
    body = found.model_dump(mode="json", exclude_none=True)
    return json.dumps(body, ensure_ascii=False), body


TOOLS = (
    Tool(
        "search",
        "Search passages",
        "Find the passages of the documents for a question, best first, with document, page and score.",
        SearchRequest,
        _search,
    ),
    Tool(
        "ask",
        "Ask a question",
        "Answer a question from the documents; each statement cites its document and page.",
        AskArguments,
        _ask,
    ),
    Tool("documents", "List documents", "List the documents that you can search.", DocumentsArguments, _documents),
    Tool(
        "overview",
        "Overview of a document",
        "Say what one document is: its subject, authors, parts and main statements, with pages.",
        OverviewArguments,
        _overview,
    ),
)
