"""A search over HTTP: the passages for a question, without the language model."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Literal

from pydantic import BaseModel, Field

from docwell.answers import Citation, Mode
from docwell.audit import Action
from docwell.citation_units import CitationUnit
from docwell.deadline import run
from docwell.http import bodies
from docwell.http.admission import RequestAdmission
from docwell.http.answering import audit, searched_question
from docwell.models import Passage
from docwell.observability import logger
from docwell.query.ask import Ask
from docwell.query.checking.cleaning import clean_answer
from docwell.query.reports import Hits
from docwell.text.visible import strip_invisible
from docwell.wiring import query as wiring


class SearchRequest(bodies.SearchFields):
    """A question to find passages for, without an answer."""

    group_by: Literal["document"] | None = Field(
        default=None, description="`document` returns the passages by document, in `documents`."
    )


class HitBody(BaseModel):
    """A passage. `quote` is the part of it that is nearest to the question, and stands on `page` of `document`."""

    document: str
    version: str
    page: int = Field(description="1-based position in the file.")
    page_label: str | None
    unit: CitationUnit
    heading: str = Field(description="The path of its section, or empty.")
    text: str
    quote: str = Field(description="Verbatim, but for white space and invisible characters. May contain markup.")
    display_quote: str = Field(description="The quote without markup. Show this one.")
    start: int = Field(description="First character of the quote in the page's text.")
    end: int = Field(description="One past its last character.")
    score: float = Field(description="Cosine similarity of the question and the passage, or its nearest part.")
    suspicious: bool = Field(description="The passage gives its reader orders: it may be an attack.")
    link: str | None = Field(description="Opens the document for a short time, a PDF at that page.")
    ocr_confidence: float | None = Field(
        description="The page is a picture: the confidence of its recognised text, 0 to 1."
    )


class DocumentHits(BaseModel):
    """A document and its passages, best first."""

    document: str
    passages: list[HitBody]


class SearchTimings(BaseModel):
    """Milliseconds."""

    embed: float
    retrieve: float
    total: float


class SearchResponse(BaseModel):
    """The passages for a question, best first: all in `passages`, or by document in `documents`."""

    passages: list[HitBody] | None
    documents: list[DocumentHits] | None = Field(description="By the best passage of each, if asked for.")
    fit: float | None = Field(description="How well the best passages fit the question; null without a passage.")
    min_fit: float | None = Field(description="With less fit, a question is refused; null where none is.")
    partial: bool = Field(description="Always false: kept for clients.")
    timings_ms: SearchTimings
    request_id: str


def search(body: SearchRequest, admission: RequestAdmission, request_id: str) -> SearchResponse:
    """Search for a question; the request is charged. Raises as `docwell.query.query.Query.ask`, and `BadInput`."""
    hits = run(_hits(body, admission, request_id))
    shown = frozenset(one.document for one in hits.passages)
    audit(admission, Action.SEARCHED, shown, request_id)
    timings = SearchTimings.model_validate(hits.timings_ms, from_attributes=True)
    logger.info("searched", extra={"passages": len(hits.passages), "timings_ms": timings.model_dump()})
    found = [_hit_body(*one) for one in zip(hits.passages, hits.citations, strict=True)]
    grouped = body.group_by == "document"
    return SearchResponse(
        passages=None if grouped else found,
        documents=_by_document(found) if grouped else None,
        fit=hits.fit,
        min_fit=hits.min_fit,
        partial=False,
        timings_ms=timings,
        request_id=request_id,
    )


async def _hits(body: SearchRequest, admission: RequestAdmission, request_id: str) -> Hits:
    async with admission:
        deadline = admission.deadline
        # The prompt is that of the same question, and is not used.
        question = replace(searched_question(body), mode=Mode.PASSAGES)
        async with deadline.stage("ledger"):
            query = await wiring.query()
        return await query.search(Ask(question, wiring.prompts().choose(request_id), admission, deadline))


def _by_document(found: list[HitBody]) -> list[DocumentHits]:
    grouped: dict[str, list[HitBody]] = {}
    for one in found:
        grouped.setdefault(one.document, []).append(one)
    return [DocumentHits(document=document, passages=passages) for document, passages in grouped.items()]


def _hit_body(passage: Passage, citation: Citation) -> HitBody:
    heading = clean_answer(passage.chunk.heading, ())[0]
    fields = asdict(citation) | {"heading": heading, "text": strip_invisible(passage.chunk.text)}
    return HitBody.model_validate(fields)
