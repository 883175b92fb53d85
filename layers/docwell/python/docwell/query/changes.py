"""Use case: let a principal add, replace and delete documents of the collections that it may write to."""

from __future__ import annotations

from docwell.audit import Action, AuditEvent
from docwell.bucket_ports import DocumentWriter, UploadForm
from docwell.errors import BadInput, Forbidden, NotFound
from docwell.identity import Principal
from docwell.models import DocumentRecord, collection_of
from docwell.ports import AuditTrail
from docwell.query import rights
from docwell.query.retrieval.scope import NO_DOCUMENT

# S3 replaces this in the key of a form by the name of the file, so the key would not be fixed.
_FILE_NAME = "${filename}"
# A browser resolves these folders in an address, so a link to the document would never open it.
_RELATIVE = frozenset({".", ".."})


def upload_form(
    writer: DocumentWriter,
    trail: AuditTrail | None,
    principal: Principal,
    document: str,
    size: int,
    content_type: str,
) -> UploadForm:
    """Return a form that uploads one file of `size` bytes to the key `document`.

    Raises:
        BadInput: the key names a folder, is a template, or has a folder `.` or `..`.
        Forbidden: the principal may not write to the key's collection, whether it exists or not.
    """
    if document.endswith("/") or _FILE_NAME in document:
        raise BadInput(f"a document's key does not end with / and does not contain {_FILE_NAME}")
    if _RELATIVE & set(document.split("/")):
        raise BadInput("a document's key has no folder . or ..")
    _check_write(principal, document)
    form = writer.form(document, size, content_type)
    if trail:
        trail.append(AuditEvent(principal.id, Action.UPLOADED, frozenset({document})))
    return form


def delete_document(
    writer: DocumentWriter, trail: AuditTrail | None, principal: Principal, record: DocumentRecord
) -> None:
    """Delete a document from the bucket.

    Raises:
        NotFound: the principal cannot see the document.
        Forbidden: it can see it, and may not write to its collection.
    """
    if not rights.may_see_record(principal, record):
        raise NotFound(NO_DOCUMENT)
    _check_write(principal, record.key)
    if trail:  # first, so that no deletion is without an event
        trail.append(AuditEvent(principal.id, Action.DELETED, frozenset({record.key})))
    writer.delete(record.key)


def _check_write(principal: Principal, document: str) -> None:
    if not principal.may_write(collection_of(document)):
        raise Forbidden(
            "this principal may not change documents of this collection: docwell principals add --write"
        )
