"""The bodies of documents."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from docwell.attributes import Attributes
from docwell.models import DocumentRecord, Reason, Status, collection_of
from docwell.text.page_lists import by_reason, listed

# The documents of a page of the list.
PAGE_SIZE = 100
# It packs a key and its collection, of 1,024 bytes each, in base64: under 3,000 characters.
Cursor = Annotated[str, StringConstraints(max_length=4096, pattern="^[A-Za-z0-9_=-]*$")]


class DocumentBody(BaseModel):
    """The state of one document."""

    document: str
    collection: str
    status: Status
    reason: str | None
    detail: str | None
    version: str | None = Field(description="The S3 version that the status is about.")
    live_version: str | None = Field(description="The S3 version that answers come from.")
    size: int | None
    pages: int | None
    pages_done: int
    unreadable_pages: dict[Reason, str] = Field(
        description="Pages that are not searched, or only in part, such as 3,7-9, by reason."
    )
    chunks: int
    title: str | None
    author: str | None
    created: str | None = Field(description="The PDF's own creation day.")
    media_type: str | None = Field(description="The kind of file of the live version, from its content.")
    metadata: dict[str, str] = Field(description="S3 user metadata of the live version.")
    tags: dict[str, str] = Field(description="S3 object tags of the live version.")
    updated_at: float = Field(description="Seconds since the epoch.")
    link: str | None = Field(
        default=None, description="Opens the live version, for a short time. Only with `link=true`."
    )


class DocumentsResponse(BaseModel):
    """One page of documents; `cursor` fetches the next page and is null on the last."""

    documents: list[DocumentBody]
    cursor: str | None


def document_body(record: DocumentRecord) -> DocumentBody:
    """Return the response for a document's ledger row."""
    attributes = record.live_attributes or Attributes()
    fields = asdict(record) | {
        "document": record.key,
        "collection": collection_of(record.key),
        "live_version": record.live_version if record.answers else None,
        "media_type": attributes.media_type,
        "metadata": attributes.metadata,
        "tags": attributes.tags,
        "unreadable_pages": {reason: listed(pages) for reason, pages in by_reason(record.page_failures).items()},
    }
    return DocumentBody.model_validate(fields, extra="ignore")


def documents_body(records: Iterable[DocumentRecord], cursor: str | None) -> DocumentsResponse:
    """Return the response for one page of ledger rows."""
    return DocumentsResponse(documents=[document_body(record) for record in records], cursor=cursor)
