"""Use cases on documents: list and read those that a principal may see; add and delete where it may write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from docwell.audit import Action, AuditEvent
from docwell.errors import BadInput, Forbidden, NotFound
from docwell.identity import Principal
from docwell.models import Attributes, DocumentRecord, Passage, Status, collection_of
from docwell.ports import AuditTrail, Catalogue, DocumentWriter, UploadForm
from docwell.query.retrieval.scope import (
    MOST_ROWS,
    NO_COLLECTION,
    NO_DOCUMENT,
    Scope,
    exists,
    longer_prefix,
    may_see,
    may_see_record,
    reachable,
    reaches,
    shared_prefix,
)
from docwell.text.visible import strip_invisible

# S3 replaces this in a form's key by the name of the file, so the key would not be fixed.
_FILE_NAME = "${filename}"
# A browser resolves these folders in an address, so a link to such a document would never open it.
_RELATIVE = frozenset({".", ".."})
# A file to upload: its key, size in bytes and content type, and the tags and metadata that it gets.
File = tuple[str, int, str, Attributes]


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a listing: of one collection or of all, of keys with a prefix, after a cursor."""

    collection: str | None
    prefix: str
    status: Status | None
    cursor: str | None
    limit: int


def list_documents(
    catalogue: Catalogue, principal: Principal, listing: Listing
) -> tuple[list[DocumentRecord], str | None]:
    """Return the documents of a page, and the cursor of the next one.

    Raises:
        NotFound: the collection has no document, or none that the principal may see.
        BadInput: the cursor is of another request, or too many other documents come before the next one.
    """
    visible = partial(may_see_record, principal) if principal.rules else None
    reach = reachable(principal)
    readable = None if reach is None else sorted(reach)
    if listing.collection is not None:
        # A collection that the caller may not read looks empty, so that existence does not leak.
        readable = [listing.collection] if reaches(principal, listing.collection) else []
    within = readable
    if "/" in listing.prefix:  # the prefix names one collection
        home = collection_of(listing.prefix)
        within = [home] if listing.collection in (None, home) and reaches(principal, home) else []
    shared = shared_prefix(principal, within[0] if within and len(within) == 1 else None)
    prefix = longer_prefix(listing.prefix, shared)
    records, following = catalogue.page(
        within if prefix is not None else [], listing.status, listing.cursor, listing.limit, prefix or "", visible
    )
    may_lack = listing.collection is not None and not records and following is None
    if may_lack and catalogue.page(readable, None, None, 1, shared, visible) == ([], None):
        raise NotFound(NO_COLLECTION)
    return records, following


def list_collections(catalogue: Catalogue, principal: Principal) -> list[str]:
    """Return the names of the collections that the principal may read, in alphabetical order.

    A caller whose grant names no collections gets those of the first `MOST_ROWS` documents of the ledger.
    """
    reach = reachable(principal)
    if reach is not None:
        return sorted(name for name in reach if principal.may_read(name) or exists(catalogue, principal, name))
    live, _ = Scope(principal).documents(catalogue, MOST_ROWS)
    return sorted({*map(collection_of, live), *(principal.collections or ())})


class PageIndex(Protocol):
    """The chunks of the index, by page."""

    def on_page(self, document: str, generation: str, page: int) -> Sequence[Passage]:
        """Return the chunks of a page in no order. Raises `BadInput` for a document with too many chunks."""


def read_page(catalogue: Catalogue, index: PageIndex, principal: Principal, document: str, page: int) -> str:
    """Return the text of a page (1-based) of the live version, joined from its chunks.

    Raises:
        NotFound: no such document or page, no text on it, or the principal may not see it.
        BadInput: the document is too long to read by page.
    """
    record = catalogue.get(document)
    if record is None or not record.answers or not may_see_record(principal, record):
        raise NotFound(NO_DOCUMENT)
    text, end = "", 0
    passages = index.on_page(document, record.live_generation or "", page)
    for chunk in sorted((passage.chunk for passage in passages), key=lambda chunk: chunk.start):
        # Chunks may overlap, and omit the blanks between them.
        text += ("\n" if text and chunk.start > end else "") + chunk.text[max(end - chunk.start, 0) :]
        end = max(end, chunk.end)
    if not text:
        raise NotFound("this page does not exist, or has no text")
    return strip_invisible(text)


def upload_forms(
    writer: DocumentWriter, trail: AuditTrail | None, principal: Principal, files: Sequence[File]
) -> list[UploadForm]:
    """Return a form for each file. One event records all.

    Raises:
        BadInput: a key names a folder, is a template, or has a folder `.` or `..`.
        Forbidden: the principal may not write there, or could not see what it writes without tags.
    """
    for document, *_ in files:
        if document.endswith("/") or _FILE_NAME in document:
            raise BadInput(f"a document's key does not end with / and does not contain {_FILE_NAME}")
        if _RELATIVE & set(document.split("/")):
            raise BadInput("a document's key has no folder . or ..")
        _check_write(principal, document)
        if not may_see(principal, document, {}):
            raise Forbidden(
                "this principal could not see the document: an upload needs a grant to read its key, any tags"
            )
    forms = [writer.form(*file, principal.as_uploader) for file in files]
    if trail:
        trail.append(AuditEvent(principal.id, Action.UPLOADED, frozenset(document for document, *_ in files)))
    return forms


def delete_document(
    writer: DocumentWriter, trail: AuditTrail | None, principal: Principal, record: DocumentRecord
) -> None:
    """Delete a document from the bucket.

    Raises:
        NotFound: the principal cannot see the document, or it was replaced meanwhile.
        Forbidden: it can see it, and may not write to its collection.
    """
    # A new tag may have taken the document away from the caller, and the ledger does not know it yet.
    etag, tags = (None, {}) if may_see(principal, record.key, {}) else writer.current(record.key)
    if not may_see(principal, record.key, tags) or not may_see_record(principal, record):
        raise NotFound(NO_DOCUMENT)
    _check_write(principal, record.key)
    if trail:  # before the deletion, so that each has an event
        trail.append(AuditEvent(principal.id, Action.DELETED, frozenset({record.key})))
    writer.delete(record.key, etag)


def _check_write(principal: Principal, document: str) -> None:
    if not principal.may_write(collection_of(document)):
        raise Forbidden("this principal may not change this collection: docwell principals add --write")
