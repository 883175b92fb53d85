"""The HTTP API: what requests and answers look like, and how errors become problem documents (RFC 9457).

The OpenAPI page comes from the models below.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler import Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from docwell.errors import BadInput, DocwellError, Unavailable
from docwell.models import Answer, AnswerStatus, DocumentRecord, Status, collection_of

PROBLEM_JSON = "application/problem+json"

# S3 keys have at most 1,024 bytes, so a collection, their first part, has no more.
_Key = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
_MAX_COLLECTIONS = 50
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


class QueryRequest(BaseModel):
    """A question. Without `collection` and `collections` all collections are searched."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1, description="In any language the embedding model knows.")
    collection: _Key | None = None
    collections: Annotated[list[_Key], Field(max_length=_MAX_COLLECTIONS)] | None = None
    top_k: int | None = Field(default=None, ge=1, description="How many passages the model is given.")
    document: _Key | None = Field(default=None, description="Only this document: its key.")
    stream: Literal[False] = Field(default=False, description="Server-sent events are not offered yet.")

    @field_validator("question")
    @classmethod
    def _says_something(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("the question is blank")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("the question is not valid Unicode text")
        return value


class CitationBody(BaseModel):
    """One `[marker]` of the answer: `quote` stands on `page` (1-based position) of `document`."""

    marker: int
    document: str
    version: str
    page: int
    page_label: str | None
    quote: str
    start: int = Field(description="First character of the quote in the page's text.")
    end: int = Field(description="One past its last character.")
    score: float = Field(description="Cosine similarity of passage and question.")


class UsageBody(BaseModel):
    """Tokens as the model host counted them."""

    prompt_tokens: int
    completion_tokens: int


class TimingsBody(BaseModel):
    """Milliseconds."""

    embed: float
    retrieve: float
    generate: float
    total: float


class QueryResponse(BaseModel):
    """An answer with its sources."""

    answer: str
    status: AnswerStatus
    citations: list[CitationBody]
    usage: UsageBody
    timings_ms: TimingsBody
    model: str
    prompt_version: str
    dropped_passages: int = Field(description="Passages left out of the prompt because they did not fit.")
    request_id: str


class DocumentBody(BaseModel):
    """Where one document stands."""

    document: str
    collection: str
    status: Status
    reason: str | None
    detail: str | None
    version: str | None = Field(description="The S3 version that the status speaks of.")
    live_version: str | None = Field(description="The S3 version that answers come from.")
    size: int | None
    pages: int | None
    pages_done: int
    unreadable_pages: list[int] = Field(description="Pages with text that no one could read; not searched.")
    chunks: int
    title: str | None
    updated_at: float = Field(description="Seconds since the epoch.")


class DocumentsResponse(BaseModel):
    """One page of documents; `cursor` asks for the next, and is null on the last."""

    documents: list[DocumentBody]
    cursor: str | None


class HealthResponse(BaseModel):
    """`ok` when every dependency answers."""

    status: Literal["ok", "degraded"]
    dependencies: dict[str, str]
    model: str


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[dict[str, Any]] | None = None


def answer_body(answer: Answer, request_id: str) -> QueryResponse:
    """The response for an answer."""
    return QueryResponse.model_validate({**asdict(answer), "request_id": request_id})


def document_body(record: DocumentRecord) -> DocumentBody:
    """The response for what the ledger knows of a document."""
    fields = asdict(record)
    fields |= {"document": record.key, "collection": collection_of(record.key)}
    fields["unreadable_pages"] = sorted(record.unreadable_pages)
    return DocumentBody.model_validate(fields, extra="ignore")


def request_id_of(client_value: str | None, gateway_value: str) -> str:
    """The id that the client sent, where it is fit for logs and headers; else the gateway's."""
    return client_value if client_value and _REQUEST_ID.fullmatch(client_value) else gateway_value


def problem(error: DocwellError, request_id: str) -> Response[str]:
    """The problem document of an error, with `Retry-After` where trying again may help."""
    headers: dict[str, str | list[str]] = {}
    if isinstance(error, Unavailable) and error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    return problem_response(error.status, error.problem, error.title, error.detail, request_id, headers=headers)


def problem_response(
    status: int,
    type_: str,
    title: str,
    detail: str,
    request_id: str,
    errors: list[dict[str, Any]] | None = None,
    headers: dict[str, str | list[str]] | None = None,
) -> Response[str]:
    """A problem document as a response."""
    body = Problem(
        type=f"urn:docwell:problem:{type_}",
        title=title,
        status=status,
        detail=detail,
        request_id=request_id,
        errors=errors,
    )
    return Response(
        status_code=HTTPStatus(status),
        content_type=PROBLEM_JSON,
        body=body.model_dump_json(exclude_none=True),
        headers=headers or {},
    )


def chosen_collections(request: QueryRequest) -> tuple[str, ...]:
    """The collections of a request. Raises `BadInput` when both forms are used."""
    if request.collection is not None and request.collections is not None:
        raise BadInput("give collection or collections, not both")
    if request.collection is not None:
        return (request.collection,)
    return tuple(dict.fromkeys(request.collections or ()))
