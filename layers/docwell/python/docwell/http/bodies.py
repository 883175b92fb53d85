"""The HTTP API: what requests and answers look like.

The OpenAPI page comes from the models below.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from docwell.answers import Answer, AnswerStatus, Cost, Receipt
from docwell.attributes import MAX_METADATA, MAX_TAGS, Attributes
from docwell.errors import BadInput
from docwell.models import DocumentRecord, Passage, Status, collection_of
from docwell.query.retrieval.filters import ANY, Filter

# S3's limit for a key; a collection, its first part, has no more.
_KEY_BYTES = 1024
_MAX_COLLECTIONS = 50
# Of 1 KB each: the firewall blocks bodies over 64 KB.
_MAX_DOCUMENTS = 50
# Each of the server-sent events of a streamed answer.
EVENT_SCHEMA = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": ["passages", "token", "answer", "error"]},
        "data": {"type": "string", "description": "JSON"},
    },
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


def _encodable(value: str) -> str:
    """Text that can be encoded."""
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("it is not valid Unicode text")
    return value


def _text(value: str) -> str:
    """Text that says something and can be encoded."""
    if not value.strip():
        raise ValueError("it is blank")
    return _encodable(value)


def _key(value: str) -> str:
    """What can be a key, or begin one."""
    if len(_encodable(value).encode()) > _KEY_BYTES:
        raise ValueError(f"it is over {_KEY_BYTES:,} bytes")
    return value


_Text = Annotated[str, StringConstraints(min_length=1), AfterValidator(_text)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=_KEY_BYTES), AfterValidator(_key)]


class TurnBody(BaseModel):
    """One question and answer of the conversation so far."""

    model_config = ConfigDict(extra="forbid")

    question: _Text
    answer: _Text


# A tag's name has 128 characters at most and its value 256; all metadata of an object has 2 KB.
_Pair = Annotated[str, StringConstraints(max_length=2048), AfterValidator(_encodable)]
_Words = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_text)]


class FilterBody(BaseModel):
    """Which documents are meant: those for which all of this holds, by what the ledger knows of them now."""

    model_config = ConfigDict(extra="forbid")

    prefix: Key | None = Field(default=None, description="How their keys begin, such as `handbooks/2026/`.")
    documents: Annotated[list[Key], Field(min_length=1, max_length=_MAX_DOCUMENTS)] | None = Field(
        default=None, description="Their keys."
    )
    title: _Words | None = Field(default=None, description="Words of the PDF's title, in any case.")
    author: _Words | None = Field(default=None, description="Words of the PDF's author, in any case.")
    created_from: date | None = Field(default=None, description="The first day that the PDF may be of.")
    created_to: date | None = Field(default=None, description="The last one.")
    tags: Annotated[dict[_Pair, _Pair], Field(max_length=MAX_TAGS)] = Field(
        default={}, description="S3 object tags with these values."
    )
    metadata: Annotated[dict[_Pair, _Pair], Field(max_length=MAX_METADATA)] = Field(
        default={}, description="S3 user metadata (x-amz-meta-...) with these values."
    )


class QueryRequest(BaseModel):
    """A question. Without `collection` and `collections` all that the caller may read are searched."""

    model_config = ConfigDict(extra="forbid")

    question: _Text = Field(description="In any language the embedding model knows.")
    collection: Key | None = None
    collections: Annotated[list[Key], Field(max_length=_MAX_COLLECTIONS)] | None = None
    top_k: int | None = Field(default=None, ge=1, description="How many passages the model is given.")
    document: Key | None = Field(default=None, description="Only this document: its key.")
    filter: FilterBody | None = Field(default=None, description="Only documents like these.")
    history: list[TurnBody] = Field(default=[], description="The conversation so far, oldest first.")
    stream: bool = Field(default=False, description="Answer as server-sent events.")
    fallback: Literal["none", "extractive"] = Field(
        default="none",
        description="What to give when the model host fails: a problem, or the best sentences of the passages.",
    )


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
    score: float = Field(description="Cosine similarity of the question and the passage, or its nearest part.")
    suspicious: bool = Field(description="The passage gives orders to its reader: it may be an attack.")
    link: str | None = Field(description="Opens the PDF at that page, for a short time.")
    ocr_confidence: float | None = Field(
        default=None, description="The page is a picture: how sure its text was recognised, 0 to 1."
    )


class SentenceBody(BaseModel):
    """One sentence of the answer and how well its cited passages bear it out."""

    text: str
    markers: list[int]
    support: float = Field(description="0 to 1.")
    supported: bool
    missing: list[str] = Field(description="Its figures and names that stand in no passage.")


class UsageBody(BaseModel):
    """Tokens as the model host counted them, and docwell's own count of the prompt beside."""

    prompt_tokens: int
    completion_tokens: int
    estimated_prompt_tokens: int


class CostBody(BaseModel):
    """What the answer cost by the price file. Seconds are wall time."""

    amount: float
    currency: str
    model_host_s: float
    function_s: float
    prices: str = Field(description="The price file's name, which has its date.")


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
    sentences: list[SentenceBody]
    usage: UsageBody
    timings_ms: TimingsBody
    cost: CostBody
    model: str
    prompt_version: str
    dropped_passages: int = Field(description="Passages left out of the prompt because they did not fit.")
    suspicious_passages: int = Field(description="Passages found that give orders to their reader.")
    rewritten_question: str | None = Field(description="What was searched for, where it is not the question.")
    fallback_reason: str | None = Field(description="Why an extractive answer is not the model's.")
    cut_short: bool = Field(description="The answer ends where the limit of its tokens was reached.")
    request_id: str


class PassageBody(BaseModel):
    """A passage that the model is given; `number` is what `[number]` in the answer means."""

    number: int
    document: str
    version: str
    page: int
    page_label: str | None
    text: str
    score: float
    suspicious: bool


class FeedbackRequest(BaseModel):
    """A verdict on an answer."""

    model_config = ConfigDict(extra="forbid")

    request_id: Annotated[str, StringConstraints(pattern=f"^{_REQUEST_ID.pattern}$")]
    verdict: Literal["good", "bad"]


class FeedbackResponse(BaseModel):
    """`kept` when the answer has a receipt that the verdict was attached to."""

    request_id: str
    kept: bool


class ReceiptBody(BaseModel):
    """What is kept of one answer."""

    request_id: str
    created_at: float = Field(description="Seconds since the epoch.")
    request: dict[str, Any]
    answer: dict[str, Any]
    passages: list[tuple[str, str, str]] = Field(description="Chunk id, document and version of each.")
    prompt_version: str
    model: str
    model_digest: str | None
    options: dict[str, Any]
    verdict: str | None


class ChangeBody(BaseModel):
    """One thing that differs between two answers to one question."""

    what: str
    then: Any
    now: Any


class ReplayResponse(BaseModel):
    """The same question asked again."""

    request_id: str
    then: dict[str, Any]
    now: QueryResponse
    changes: list[ChangeBody]


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
    author: str | None
    created: str | None = Field(description="The day that the PDF says it was created on.")
    metadata: dict[str, str] = Field(description="S3 user metadata of the live version.")
    tags: dict[str, str] = Field(description="S3 object tags of the live version.")
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


def answer_body(answer: Answer, cost: Cost, estimated_tokens: int, request_id: str) -> QueryResponse:
    """The response for an answer."""
    fields = asdict(answer) | {"cost": asdict(cost), "request_id": request_id}
    fields["usage"]["estimated_prompt_tokens"] = estimated_tokens
    return QueryResponse.model_validate(fields)


def passage_bodies(passages: Sequence[Passage], suspicious: Collection[str]) -> list[dict[str, Any]]:
    """The passages of a prompt, in its order; `suspicious` has the ids of those that are."""
    return [
        PassageBody(
            number=number,
            document=passage.document,
            version=passage.version,
            page=passage.chunk.page_start,
            page_label=passage.chunk.label,
            text=passage.chunk.text,
            score=round(passage.score, 4),
            suspicious=passage.id in suspicious,
        ).model_dump()
        for number, passage in enumerate(passages, 1)
    ]


def receipt_body(receipt: Receipt) -> ReceiptBody:
    """The response for a receipt."""
    return ReceiptBody.model_validate(asdict(receipt), extra="ignore")


def document_body(record: DocumentRecord) -> DocumentBody:
    """The response for what the ledger knows of a document."""
    fields = asdict(record)
    fields |= {"document": record.key, "collection": collection_of(record.key)}
    said = record.live_attributes or Attributes()
    fields |= {"metadata": said.metadata, "tags": said.tags}
    fields["unreadable_pages"] = sorted(record.unreadable_pages)
    return DocumentBody.model_validate(fields, extra="ignore")


def request_id_of(client_value: str | None, gateway_value: str) -> str:
    """The id that the client sent, where it is fit for logs and headers; else the gateway's."""
    return client_value if client_value and _REQUEST_ID.fullmatch(client_value) else gateway_value


def chosen_collections(request: QueryRequest) -> tuple[str, ...]:
    """The collections of a request. Raises `BadInput` when both forms are used."""
    if request.collection is not None and request.collections is not None:
        raise BadInput("give collection or collections, not both")
    if request.collection is not None:
        return (request.collection,)
    return tuple(dict.fromkeys(request.collections or ()))


def chosen_documents(request: QueryRequest) -> Filter:
    """The filter of a request. Raises `BadInput` when it contradicts itself."""
    body = request.filter
    if body is None:
        return ANY
    if body.documents is not None and request.document is not None:
        raise BadInput("give document or filter.documents, not both")
    if body.created_from is not None and body.created_to is not None and body.created_from > body.created_to:
        raise BadInput("filter.created_from is after filter.created_to")
    return Filter(
        prefix=body.prefix or "",
        documents=tuple(dict.fromkeys(body.documents or ())),
        title=body.title or "",
        author=body.author or "",
        created_from=body.created_from.isoformat() if body.created_from else "",
        created_to=body.created_to.isoformat() if body.created_to else "",
        tags=body.tags,
        metadata=body.metadata,
    )
