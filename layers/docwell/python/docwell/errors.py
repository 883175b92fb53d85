"""Every error that docwell raises on purpose.

::

    DocwellError
    ├── BadInput             400  the request is malformed or over a limit
    ├── Unauthenticated      401  the request names no known principal
    ├── Forbidden            403  the caller may see it, or name it, and not change it
    ├── NotFound             404  no such document, collection or route, or the caller may not see it
    ├── Refused              422  docwell does not index the document: REJECTED(reason)
    ├── QuotaExceeded        429  the caller has used up today's quota
    │   └── TooManyInFlight  429  the caller's questions in flight hold all slots, or the rest of the tokens
    ├── Unavailable          503  a dependency is down or slow: try again
    │   ├── Overloaded       503  the model host has failed several times in a row and rests
    │   ├── DeadlineExceeded 504  the time for this request is used up
    │   ├── ModelWaking      503  no model host runs yet: this question has one started
    │   │   └── ModelAsleep  503  a schedule has stopped all model hosts: no question starts one
    │   ├── ModelMissing     503  the model host does not have the model: an operator must pull it
    │   ├── LeaseLost        503  another worker has taken over the document: this one changes nothing more
    │   └── ObjectDenied     503  the bucket refuses to show this object, and shows others
    └── Corrupt              500  stored data is invalid, such as a wrong checksum: an operator must check it
        └── ModelDamaged     503  a model file beside the code is missing or wrong: an operator must make it again

Each class has its HTTP status, its problem type and that type's title (RFC 9457).
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import ClassVar

# The format of times in UTC.
_MINUTE = "%Y-%m-%dT%H:%MZ"


class DocwellError(Exception):
    """The root of the tree. `detail` may be shown to a client: it holds no document text and no question."""

    status: ClassVar[int] = 500
    problem: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "docwell failed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class BadInput(DocwellError):
    """The request is malformed or over a limit. `where` names the field, such as `messages.0.content`."""

    status = 400
    problem = "bad-input"
    title = "The request is invalid"

    def __init__(self, detail: str, where: str | None = None) -> None:
        super().__init__(detail)
        self.where = where


class Unauthenticated(DocwellError):
    status = 401
    problem = "unauthenticated"
    title = "The request is not authenticated"


class Forbidden(DocwellError):
    status = 403
    problem = "forbidden"
    title = "Not allowed"


class NotFound(DocwellError):
    status = 404
    problem = "not-found"
    title = "Not found"


class Refused(DocwellError):
    """docwell does not index the document. `reason` is one of `docwell.models.Reason`."""

    status = 422
    problem = "document-refused"
    title = "The document is refused"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class QuotaExceeded(DocwellError):
    """The principal has used up today's requests or tokens; the next day begins in `retry_after` seconds."""

    status = 429
    problem = "quota-exceeded"
    title = "Today's quota is used up"

    def __init__(self, detail: str, retry_after: float) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class TooManyInFlight(QuotaExceeded):
    problem = "too-many-in-flight"
    title = "Too many questions at once"


class Unavailable(DocwellError):
    """A dependency is down or slow. `retry_after` is in seconds; None means that a retry does not help."""

    status = 503
    problem = "dependency-unavailable"
    title = "A dependency of docwell is unavailable"

    def __init__(self, dependency: str, detail: str, retry_after: float | None = 5.0) -> None:
        super().__init__(detail)
        self.dependency = dependency
        self.retry_after = retry_after

    @property
    def reason(self) -> str:
        """The `fallback_reason` of an answer that this failure left without the model."""
        return self.problem


class Overloaded(Unavailable):
    problem = "overloaded"
    title = "The language model is overloaded"


class DeadlineExceeded(Unavailable):
    status = 504
    problem = "deadline-exceeded"
    title = "No answer within the time allowed"


class ModelMissing(Unavailable):
    problem = "model-missing"
    title = "The language model is not installed on the model host"

    def __init__(self, dependency: str, detail: str) -> None:
        super().__init__(dependency, detail, retry_after=None)


class ModelWaking(Unavailable):
    """No model host runs: all sleep, or one is starting. Starting takes minutes."""

    problem = "model_waking"
    title = "The model host is waking up"

    def __init__(self, dependency: str, detail: str) -> None:
        super().__init__(dependency, detail, retry_after=60.0)


class ModelAsleep(ModelWaking):
    """A schedule has stopped all model hosts. It starts them again at `until`, a time in UTC."""

    problem = "model_asleep"
    title = "The model hosts are stopped by schedule"

    def __init__(self, dependency: str, until: datetime, retry_after: float) -> None:
        super().__init__(dependency, f"no model host runs until {until:{_MINUTE}}")
        self.until = until
        self.retry_after = retry_after

    @property
    def reason(self) -> str:
        """The reason, with the time at which hosts start again."""
        return f"{self.problem}_until {self.until:{_MINUTE}}"


class LeaseLost(Unavailable):
    problem = "lease-lost"

    def __init__(self, key: str) -> None:
        super().__init__("ledger", f"another worker has taken over {key!r}")


class ObjectDenied(Unavailable):
    problem = "object-denied"


class Corrupt(DocwellError):
    problem = "corrupt"
    title = "Stored data is damaged"


class ModelDamaged(Corrupt):
    """A file that `make model` writes is missing or wrong. No question is answered without it."""

    status = 503
    problem = "model-damaged"
    title = "A model file of docwell is missing or damaged"

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(f"{path}: {detail}; `make model` writes it, with RERANKER=... for a reranker")
