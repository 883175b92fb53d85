"""The events of the audit trail: who asked, searched and read, who changed a document or a grant, who erased."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256


class Action(StrEnum):
    """The action of an event.

    `UPLOADED` records a form for an upload, `STORED` each version sent with it, `REDRIVEN` a redrive, whatever it
    moved, `REFUSED` a request without rights or over a quota, once a minute for an actor and its `subject`.
    """

    ASKED = "asked"
    SEARCHED = "searched"
    READ = "read"
    UPLOADED = "uploaded"
    STORED = "stored"
    DELETED = "deleted"
    GRANTED = "granted"
    ROTATED = "rotated"
    REVOKED = "revoked"
    REDRIVEN = "redriven"
    ERASED = "erased"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One event. It holds no question, no answer and no text of a document.

    `actor` is a principal (`key:ID`, `sub:ID`), an operator (`aws:ARN`, locally `os:USER`), or `address:IP`.
    `documents` are the keys that an answer cites, that text was shown of or a link given to, that were uploaded
    or deleted, or the pseudonyms of erased ones. `subject` is the principal of a grant or the version
    of an upload, and `request_id` that of an answer. `at` is in seconds since the epoch.
    """

    actor: str
    action: Action
    documents: frozenset[str] = frozenset()
    subject: str | None = None
    request_id: str | None = None
    at: float = field(default_factory=time.time)


def pseudonym(document: str) -> str:
    """Return the name of an erased document, which matches its key without showing it.

    >>> pseudonym("handbooks/a.pdf")
    'erased:3160d90de3848ff1'
    """
    return f"erased:{sha256(document.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
