"""Everything that docwell raises on purpose.

::

    DocwellError
    ├── BadInput            400  the request cannot be understood or is over a limit
    ├── Unauthenticated     401  the request says nobody's name, or one that nobody has
    ├── NotFound            404  no such document, collection or route, or not this caller's to see
    ├── Refused             422  the document is understood and declined: REJECTED(reason)
    ├── QuotaExceeded       429  the caller has used up what it may use today
    ├── Unavailable         503  something that docwell depends on is down or slow: try again
    │   ├── Overloaded      503  the model host has failed several times in a row and is resting
    │   ├── DeadlineExceeded 504 the time for this request is used up
    │   ├── ModelMissing    503  the model host answers but has no such model: trying again is no use
    │   └── LeaseLost       503  another worker has taken the document over: this one changes nothing more
    └── Corrupt             500  stored data is not what it must be (checksum, manifest, wrong space)

Each class knows the HTTP status and the problem type (RFC 9457) that it becomes.
"""

from __future__ import annotations

from typing import ClassVar


class DocwellError(Exception):
    """Root of the tree. `detail` is fit for a client: it holds no document text and no question."""

    status: ClassVar[int] = 500
    problem: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "docwell failed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class BadInput(DocwellError):
    """The caller can mend this by sending something else."""

    status = 400
    problem = "bad-input"
    title = "The request cannot be used"


class Unauthenticated(DocwellError):
    """The request has no identity, or one that no principal has."""

    status = 401
    problem = "unauthenticated"
    title = "The request does not say who asks"


class NotFound(DocwellError):
    """What was asked for does not exist, or is not this caller's to see."""

    status = 404
    problem = "not-found"
    title = "No such thing"


class Refused(DocwellError):
    """A document that docwell will not index. `reason` is one of `docwell.models.Reason`."""

    status = 422
    problem = "document-refused"
    title = "The document is refused"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class QuotaExceeded(DocwellError):
    """The principal's requests or tokens of today are used up; more come in `retry_after` seconds."""

    status = 429
    problem = "quota-exceeded"
    title = "The quota of today is used up"

    def __init__(self, detail: str, retry_after: float) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Unavailable(DocwellError):
    """A dependency is down or slow. `retry_after` is in seconds; None means that retrying is no use."""

    status = 503
    problem = "dependency-unavailable"
    title = "Something that docwell depends on is not available"

    def __init__(self, dependency: str, detail: str, retry_after: float | None = 5.0) -> None:
        super().__init__(detail)
        self.dependency = dependency
        self.retry_after = retry_after


class Overloaded(Unavailable):
    """The dependency has just failed too often, and rests."""

    problem = "overloaded"
    title = "The language model has more to do than it can"


class DeadlineExceeded(Unavailable):
    """The time given to this request is used up."""

    status = 504
    problem = "deadline-exceeded"
    title = "No answer within the time allowed"


class ModelMissing(Unavailable):
    """The model host has no such model: an operator must pull it."""

    problem = "model-missing"
    title = "The language model is not installed on the model host"

    def __init__(self, dependency: str, detail: str) -> None:
        super().__init__(dependency, detail, retry_after=None)


class LeaseLost(Unavailable):
    """The document's lease has passed to another worker; this one must change nothing more."""

    problem = "lease-lost"

    def __init__(self, key: str) -> None:
        super().__init__("ledger", f"another worker has taken over {key!r}")


class Corrupt(DocwellError):
    """Stored data is not what it must be. Nothing was changed; an operator must look."""

    problem = "corrupt"
    title = "Stored data is damaged"
