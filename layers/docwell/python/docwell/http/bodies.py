"""Request and response bodies of the HTTP API. The OpenAPI page comes from these models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints

from docwell.answers import AnswerStatus, Cost, HostState, Mode, Refusal, Sentence, Timings
from docwell.errors import BadInput
from docwell.models import (
    KEY_BYTES,
    MAX_METADATA,
    MAX_TAGS,
    Attributes,
    CitationUnit,
    DocumentRecord,
    Reason,
    Status,
    UnitKind,
    collection_of,
)
from docwell.query.ask import Passages
from docwell.query.checking.grounding import cite, likely, quote_of
from docwell.query.compare import ROWS_CALLS
from docwell.query.receipts import Change
from docwell.query.retrieval.scope import NO_FILTER, Filter
from docwell.text.page_lists import by_reason, listed
from docwell.text.visible import strip_invisible

_MAX_COLLECTIONS = 50
# The most model calls of each mode, before it falls back to an answer from passages.
_MODE_CALLS = {Mode.PASSAGES: 0, Mode.OVERVIEW: 1, Mode.COMPARE: ROWS_CALLS, Mode.LIST: 0, Mode.AUTO: ROWS_CALLS}
# Add one call to rewrite a follow-up and one for the answer from passages.
MOST_MODEL_CALLS = 2 + max(_MODE_CALLS.values())
# Keys of 1 KB: the firewall blocks bodies over 64 KB.
_MAX_DOCUMENTS = 50
# DynamoDB stores a receipt as one item of up to 400 KB; the comment must fit beside the rest.
_MAX_COMMENT = 1000
REQUEST_ID = "[A-Za-z0-9_.:-]{1,128}"
# The documents of a page of the list.
PAGE_SIZE = 100
_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")
# RFC 6838: a type and a subtype, without parameters.
_MEDIA_TYPE = "^[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$"


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("it is blank")
    return value


def _key(value: str) -> str:
    if len(value.encode()) > KEY_BYTES:
        raise ValueError(f"it is over {KEY_BYTES:,} bytes")
    return value


# Pydantic rejects lone surrogates, which have no encoding, where a type has a constraint.
_Text = Annotated[str, StringConstraints(min_length=1), AfterValidator(_text)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=KEY_BYTES), AfterValidator(_key)]
# The cursor packs a key and its collection, of 1,024 bytes each, in base64: under 3,000 characters.
Cursor = Annotated[str, StringConstraints(max_length=4096, pattern="^[A-Za-z0-9_=-]*$")]
# A tag's name has at most 128 characters and its value 256; all metadata of an object has 2 KB.
_Pair = Annotated[str, StringConstraints(max_length=2048)]
_Words = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_text)]


class Body(BaseModel, defer_build=True):
    """A body that Pydantic compiles at its first use: compiling all takes 5% of a cold start."""


class TurnBody(Body, extra="forbid"):
    """One earlier question of the conversation, with its answer."""

    question: _Text
    answer: _Text


class FilterBody(Body, extra="forbid"):
    """The documents to search: those that match all fields, as the ledger describes them now."""

    prefix: Key | None = Field(default=None, description="The beginning of their keys, such as `handbooks/2026/`.")
    documents: Annotated[list[Key], Field(min_length=1, max_length=_MAX_DOCUMENTS)] | None = Field(
        default=None, description="Their keys."
    )
    title: _Words | None = Field(default=None, description="Words of the PDF's title, in any case.")
    author: _Words | None = Field(default=None, description="Words of the PDF's author, in any case.")
    created_from: date | None = Field(default=None, description="The PDF was created on this day or later.")
    created_to: date | None = Field(default=None, description="The PDF was created on this day or earlier.")
    tags: Annotated[dict[_Pair, _Pair], Field(max_length=MAX_TAGS)] = Field(
        default={}, description="S3 object tags with these values."
    )
    metadata: Annotated[dict[_Pair, _Pair], Field(max_length=MAX_METADATA)] = Field(
        default={}, description="S3 user metadata (x-amz-meta-...) with these values."
    )


class SearchFields(Body, extra="forbid"):
    """A question. Without `collection` and `collections` it searches all that the caller may read."""

    question: _Text = Field(description="In any language the embedding model knows.")
    collection: Key | None = None
    # An empty list is rejected: a program that may show its user no collection must not search all of them.
    collections: Annotated[list[Key], Field(min_length=1, max_length=_MAX_COLLECTIONS)] | None = None
    top_k: int | None = Field(default=None, ge=1, description="The number of passages.")
    document: Key | None = Field(default=None, description="Only this document: its key.")
    filter: FilterBody | None = Field(default=None, description="Only documents that match.")


class QueryRequest(SearchFields, defer_build=False):
    """A question to answer, and how."""

    # A list of many wrong entries would cost seconds and answer megabytes: name the first.
    history: Annotated[list[TurnBody], Field(fail_fast=True)] = Field(
        default=[], description="The conversation so far, oldest first."
    )
    stream: bool = Field(default=False, description="Answer as server-sent events.")
    fallback: Literal["none", "extractive"] | None = Field(
        default=None,
        description="What to return when the model host fails: a problem, or the best sentences of the passages. "
        "Default `none`, and where model hosts may sleep `extractive`.",
    )
    mode: Mode = Field(
        default=Mode.AUTO,
        description="`passages` answers from the nearest passages, `overview` says what one document is: its "
        "subject, authors, parts and main statements, or which documents there are, `compare` asks each of 2 to 8 "
        "documents by itself, `list` names all documents that mention something, or all dates and other values in "
        "them. `auto` lets docwell choose.",
    )


class PlaceBody(Body):
    """A place of a document: `page` is its 1-based position in the file."""

    document: str
    version: str
    page: int
    page_label: str | None
    unit: CitationUnit


class QuoteBody(PlaceBody):
    """A quote, which stands on `page` of `document`."""

    quote: str = Field(description="Verbatim, but for white space and invisible characters. May contain markup.")
    display_quote: str = Field(description="The quote without markup; an address reads docs[.]org. Show this one.")
    start: int = Field(description="First character of the quote in the page's text.")
    end: int = Field(description="One past its last character.")
    score: float = Field(
        description="Cosine similarity of the question and the passage, or its nearest part; 0 in an overview."
    )
    suspicious: bool = Field(description="The passage gives its reader orders: it may be an attack.")
    link: str | None = Field(description="Opens the document for a short time, a PDF at that page.")
    ocr_confidence: float | None = Field(
        description="The page is a picture: the confidence of its recognised text, 0 to 1."
    )


class CitationBody(QuoteBody):
    """One `[marker]` of the answer."""

    marker: int


class UsageBody(Body):
    """Tokens as the model host counts them (estimated where it failed), and docwell's own count of the prompt."""

    prompt_tokens: int
    completion_tokens: int
    estimated_prompt_tokens: int


class SearchTimings(Body):
    """Milliseconds."""

    embed: float
    retrieve: float
    total: float


class QueryResponse(Body, defer_build=False):
    """An answer with its sources."""

    answer: str
    status: AnswerStatus
    refusal: Refusal | None = Field(description="Why there is no answer; `answer` says it in a sentence.")
    mode: Literal[Mode.PASSAGES, Mode.OVERVIEW, Mode.COMPARE, Mode.LIST] = Field(
        description="How the question was answered."
    )
    citations: list[CitationBody]
    sentences: list[Sentence]
    usage: UsageBody
    timings_ms: Timings
    cost: Cost
    model: str
    prompt_version: str
    dropped_passages: int = Field(description="Passages that did not fit into the prompt.")
    suspicious_passages: int = Field(description="Passages that give their reader orders.")
    rewritten_question: str | None = Field(description="The text searched for, where it is not the question.")
    fallback_reason: str | None = Field(
        description="Of an extractive answer in place of the model's: the problem of its host, such as "
        "`model_waking` or `model_asleep_until 2026-11-28T07:00Z`."
    )
    cut_short: bool = Field(description="The answer reached the limit of its tokens.")
    partial: bool = Field(description="Chroma stopped answering: a list is not of all documents.")
    still_indexing: int = Field(description="Of a refusal: documents that may answer once they are indexed.")
    request_id: str


class PassageBody(PlaceBody):
    """A passage of the prompt, which `[number]` in the tokens cites; its place is that of `likely`, if any."""

    number: int
    text: str
    score: float
    suspicious: bool
    likely: str | None = Field(
        description="Its sentence that most likely answers, without markup. Of one passage at most."
    )


class SearchRequest(SearchFields):
    """A question to find passages for, without an answer."""

    group_by: Literal["document"] | None = Field(
        default=None, description="`document` returns the passages by document, in `documents`."
    )


class HitBody(QuoteBody):
    """A passage that matches a search. Its quote is the part nearest to the question."""

    heading: str = Field(description="The path of its section, or empty.")
    text: str


class DocumentHits(Body):
    """A document and its passages, best first."""

    document: str
    passages: list[HitBody]


class SearchResponse(Body):
    """The passages for a question, best first: all in `passages`, or by document in `documents`."""

    passages: list[HitBody] | None
    documents: list[DocumentHits] | None = Field(description="By the best passage of each, if asked for.")
    fit: float | None = Field(description="How well the best passages fit the question; null without a passage.")
    min_fit: float | None = Field(description="With less fit, a question is refused; null where none is.")
    timings_ms: SearchTimings
    request_id: str


class RetrievalSetting(Body):
    """How many passages, and the least score of each."""

    top_k: int | None = Field(default=None, ge=1)
    score_threshold: float | None = None


class MetadataCondition(Body):
    """A condition on the documents."""

    name: _Words | Annotated[list[_Words], Field(min_length=1, max_length=1)]
    comparison_operator: str = Field(
        description="`start with`, `is` and `=` for `document`, `contains` for `title` and `author`, `≥` and `≤` "
        "for `created`, `is` and `=` for S3 user metadata."
    )
    value: str | float


class MetadataConditions(Body):
    """Conditions that all hold."""

    logical_operator: Literal["and"] | None = None
    conditions: list[MetadataCondition] | None = None


class RetrievalRequest(Body):
    """A question for passages of one collection, as Dify asks it."""

    knowledge_id: Key = Field(description="The collection.")
    query: _Text
    retrieval_setting: RetrievalSetting
    metadata_condition: MetadataConditions | None = None


class RetrievalRecord(Body):
    """A passage."""

    content: str
    score: float
    title: str
    metadata: dict[str, Any]


class RetrievalResponse(Body):
    """The passages, best first."""

    records: list[RetrievalRecord]


class FeedbackRequest(Body, extra="forbid"):
    """A verdict on an answer. It replaces an earlier verdict and its comment."""

    request_id: Annotated[str, StringConstraints(pattern=f"^{REQUEST_ID}$")]
    verdict: Literal["good", "bad"]
    comment: Annotated[str, StringConstraints(max_length=_MAX_COMMENT), AfterValidator(_text)] | None = Field(
        default=None, description="What was good or bad. Only the caller's receipt has it; no log does."
    )


class FeedbackResponse(Body):
    """The receipt has the verdict."""

    request_id: str
    verdict: str


class ReceiptBody(Body):
    """The record of one answer."""

    request_id: str
    created_at: float = Field(description="Seconds since the epoch.")
    request: dict[str, Any]
    answer: dict[str, Any]
    passages: list[tuple[str, str, str]] = Field(description="Chunk id, document and version of each.")
    prompt_version: str
    model: str
    model_digest: str | None
    options: dict[str, Any]
    fit: float | None = Field(description="Under the option `min_fit`, the question was refused before the model.")
    verdict: Literal["good", "bad"] | None = Field(description="The last verdict of the caller.")
    comment: str | None = Field(description="The comment that came with the verdict.")


class ReplayResponse(Body):
    """The same question asked again."""

    request_id: str
    question: str
    then: dict[str, Any]
    now: QueryResponse
    fit: float | None = Field(description="Of the new run. Under `min_fit` it was refused before the model.")
    min_fit: float | None
    changes: list[Change]


class HealthResponse(Body):
    """`ok` when the function runs."""

    status: Literal["ok"] = "ok"


class ReadyResponse(Body):
    """`ready` when every dependency answers; `dependencies` is empty when the caller cannot be looked up."""

    status: Literal["ready", "degraded"]
    dependencies: dict[str, str]


class StatusResponse(Body):
    """The state of the model's hosts."""

    model: str
    demo_model: bool = Field(description="The model is too small for real use: it shows only the path.")
    passage_tokens: int | None = Field(description="Tokens of all passages of a prompt. Null: as many as fit.")
    model_host: HostState = Field(
        description="`asleep`: the next question starts a host. `waking`: a question has started one, which takes "
        "minutes. `down`: a host should answer and does not."
    )
    asleep_until: datetime | None = Field(default=None, description="When a schedule starts the stopped hosts.")


class DocumentBody(Body):
    """The state of one document."""

    document: str
    collection: str
    status: Status
    reason: str | None
    detail: str | None
    version: str | None = Field(description="The S3 version that the status is about.")
    live_version: str | None = Field(description="The S3 version that answers come from.")
    recognised_pages: str | None = Field(description="Pages of which OCR read a picture; null before OCR.")
    size: int | None
    pages: int | None
    pages_done: int
    unreadable_pages: dict[Reason, str] = Field(description="Pages not fully searched, such as 3,7-9, by reason.")
    chunks: int
    title: str | None
    author: str | None
    created: str | None = Field(description="The PDF's own creation day.")
    media_type: str | None = Field(description="The kind of file of the live version, from its content.")
    metadata: dict[str, str] = Field(description="S3 user metadata of the live version.")
    tags: dict[str, str] = Field(description="S3 object tags of the live version.")
    updated_at: float = Field(description="Seconds since the epoch.")
    link: str | None = Field(default=None, description="Opens the live version for minutes. With `link=true`.")


class DocumentsResponse(Body):
    """One page of documents; `cursor` fetches the next page and is null on the last."""

    documents: list[DocumentBody]
    cursor: str | None


class UploadRequest(Body, extra="forbid"):
    """One file to upload."""

    document: Key = Field(description="Its key. The first folder is the collection. An existing one is replaced.")
    size: int = Field(ge=1, description="Bytes. The form takes a file of exactly this size.")
    content_type: Annotated[str, StringConstraints(pattern=_MEDIA_TYPE)] = "application/pdf"
    attributes_of: Key | None = Field(default=None, description="A document whose S3 tags and metadata it gets.")


class UploadsRequest(Body, extra="forbid"):
    """Files to upload. The list counts as one request."""

    files: list[UploadRequest] = Field(min_length=1, max_length=25)


# A plain union names each of its kinds in the errors.
UploadBody = Annotated[
    UploadRequest | UploadsRequest,
    BeforeValidator(
        lambda fields: (UploadsRequest if "files" in fields else UploadRequest).model_validate(fields)
    ),
]


class UploadResponse(Body):
    """A form for the upload: POST `fields` and then `file` as multipart/form-data to `url`."""

    document: str
    url: str
    fields: dict[str, str]
    expires_in: int = Field(description="Seconds until the upload must have begun.")


class UploadsResponse(Body):
    """A form for each file, in the order of the request."""

    forms: list[UploadResponse]


class DeletionResponse(Body):
    """The document is deleted from the bucket. It stops answering within seconds."""

    document: str


class CallerBody(Body):
    """A principal's use of today. A null quota means no limit, or that only a group of its token has one."""

    id: str = Field(description="Of the principal: the same for all its keys.")
    label: str
    requests: int
    requests_per_day: int | None
    tokens: int = Field(description="With those that questions in flight have reserved.")
    tokens_per_day: int | None
    pages: int = Field(description="Of uploads with forms, as the following fields: counted when they are read.")
    pages_per_day: int | None
    bytes: int
    bytes_per_day: int | None
    reading_s: float = Field(description="Seconds of downloading, reading and indexing, also in rebuilds.")
    reading_s_per_day: int | None


class UsageResponse(CallerBody):
    """The caller's rights, and its use of the current UTC day. A null quota or list means no limit."""

    writable: list[str] | None = Field(description="The collections that it may upload to and delete from.")
    operates: bool = Field(description="Whether it may call `/v1/operations`.")
    max_upload_bytes: int
    ocr: bool = Field(description="Whether ingest recognises the text of scans.")


def passage_bodies(event: Passages) -> list[dict[str, Any]]:
    """Return the passages of a prompt in its order; the sentence that most likely answers is marked."""
    places = [cite(number, passage, 0, 0) for number, passage in enumerate(event.passages, 1)]
    for best in likely(event.question, event.passages):
        places[best.marker - 1] = quote_of(best, event.passages[best.marker - 1])
    texts = [strip_invisible(passage.chunk.text) for passage in event.passages]
    return [
        PassageBody(
            **asdict(place), number=place.marker, text=text, likely=place.display_quote or None
        ).model_dump()
        for place, text in zip(places, texts, strict=True)
    ]


def origin_of(text: str) -> str | None:
    """Return the text if it is the origin of an address."""
    return text if _ORIGIN.fullmatch(text) else None


def linked(response: QueryResponse, console: str | None) -> QueryResponse:
    """Return the answer with links of its citations to the console, unchanged without one."""
    if console is None:
        return response
    citations = []
    for citation in response.citations:
        source = citation.model_dump(include={"document", "version", "page"})
        place = {} if citation.unit.kind is UnitKind.PAGE else {"place": citation.unit.label}
        link = source_address(console, source | place | {"quote": citation.display_quote})
        citations.append(citation.model_copy(update={"link": link}))
    return response.model_copy(update={"citations": citations})


def source_address(console: str, source: Mapping[str, Any]) -> str:
    """Return the address of the console's view of a source, whose parameters console/source.js reads."""
    return f"{console}/#/source?{urlencode(source, quote_via=quote, safe='')}"


def most_model_calls(request: QueryRequest) -> int:
    """Return the most model calls that a question can make, without those of optional stages."""
    return bool(request.history) + _MODE_CALLS[request.mode] + 1


def chosen_collections(request: SearchFields) -> tuple[str, ...]:
    """Return the collections of a request. Raises `BadInput` when it uses both forms."""
    if request.collection is not None and request.collections is not None:
        raise BadInput("give collection or collections, not both")
    names = request.collections if request.collection is None else [request.collection]
    return tuple(dict.fromkeys(names or ()))


def chosen_documents(request: SearchFields) -> Filter:
    """Return the filter of a request. Raises `BadInput` when it contradicts itself."""
    body = request.filter
    if body is None:
        return NO_FILTER
    if body.documents is not None and request.document is not None:
        raise BadInput("give document or filter.documents, not both")
    if body.created_from is not None and body.created_to is not None and body.created_from > body.created_to:
        raise BadInput("filter.created_from is after filter.created_to")
    conditions = body.model_dump(mode="json", exclude_none=True)
    return Filter(**conditions | {"documents": tuple(dict.fromkeys(body.documents or ()))})


def document_body(record: DocumentRecord) -> DocumentBody:
    """Return the response for a document's ledger row."""
    attributes = record.live_attributes or Attributes()
    fields = asdict(record) | {
        "document": record.key,
        "collection": collection_of(record.key),
        "live_version": record.live_version if record.answers else None,
        "recognised_pages": None if record.recognised_from is None else listed(record.recognised_pages),
        "media_type": attributes.media_type,
        "metadata": attributes.metadata,
        "tags": attributes.tags,
        "unreadable_pages": {reason: listed(pages) for reason, pages in by_reason(record.page_failures).items()},
    }
    return DocumentBody.model_validate(fields, extra="ignore")
