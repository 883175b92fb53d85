"""Every error that docwell raises on purpose.

Each class statement names its HTTP status, its problem type and the title of that type (RFC 9457).
A class without one of these has that of its parent.
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

    def __init_subclass__(
        cls, *, status: int | None = None, problem: str | None = None, title: str | None = None
    ) -> None:
        cls.status, cls.problem, cls.title = status or cls.status, problem or cls.problem, title or cls.title

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class BadInput(DocwellError, status=400, problem="bad-input", title="The request is invalid"):
    """The request is malformed or over a limit. `where` names the field, such as `messages.0.content`."""

    def __init__(self, detail: str, where: str | None = None) -> None:
        super().__init__(detail)
        self.where = where


class Unauthenticated(
    DocwellError, status=401, problem="unauthenticated", title="The request is not authenticated"
):
    """The request names no known principal."""


class Forbidden(DocwellError, status=403, problem="forbidden", title="Not allowed"):
    """The caller may see it, or name it, and not change it."""


class NotFound(DocwellError, status=404, problem="not-found", title="Not found"):
    """There is no such document, collection or route, or the caller may not see it."""


class NotAllowed(DocwellError, status=405, problem="method-not-allowed", title="The route has no such method"):
    """The route has other methods: the header `Allow` lists them."""


class Refused(DocwellError, status=422, problem="document-refused", title="The document is refused"):
    """docwell does not index the document. `reason` is one of `docwell.models.Reason`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class QuotaExceeded(DocwellError, status=429, problem="quota-exceeded", title="Today's quota is used up"):
    """The principal has used up today's requests or tokens; the next day begins in `retry_after` seconds."""

    def __init__(self, detail: str, retry_after: float) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class TooManyInFlight(QuotaExceeded, problem="too-many-in-flight", title="Too many questions at once"):
    """The caller's questions in flight hold all slots, or the rest of the tokens."""


class Unavailable(
    DocwellError, status=503, problem="dependency-unavailable", title="A dependency of docwell is unavailable"
):
    """A dependency is down or slow. `retry_after` is in seconds; None means that a retry does not help."""

    def __init__(self, dependency: str, detail: str, retry_after: float | None = 5.0) -> None:
        super().__init__(detail)
        self.dependency = dependency
        self.retry_after = retry_after

    @property
    def reason(self) -> str:
        """The `fallback_reason` of an answer that this failure left without the model."""
        return self.problem


class StillIndexing(Unavailable, status=409, problem="still-indexing", title="Documents are still being indexed"):
    """No document to search is indexed yet, and at least one will be."""


class Overloaded(Unavailable, problem="overloaded", title="The language model is overloaded"):
    """The model host has failed several times in a row and rests."""


class DeadlineExceeded(
    Unavailable, status=504, problem="deadline-exceeded", title="No answer within the time allowed"
):
    """The time for this request is used up."""


class ModelMissing(
    Unavailable, problem="model-missing", title="The language model is not installed on the model host"
):
    """The model host does not have the model: an operator must pull it."""

    def __init__(self, dependency: str, detail: str) -> None:
        super().__init__(dependency, detail, retry_after=None)


class PromptTooLong(Unavailable, problem="prompt-too-long", title="The prompt is longer than the model reads"):
    """The host refuses the prompt: its tokenizer makes more tokens of the text than docwell assumes."""


class NoAnswer(Unavailable, problem="model-no-answer", title="The language model wrote no answer"):
    """The model wrote no text, or only thought. It has `read` and `written` so many tokens, which are charged."""

    def __init__(self, dependency: str, detail: str, read: int, written: int) -> None:
        super().__init__(dependency, detail, retry_after=None)
        self.read, self.written = read, written


class ModelWaking(Unavailable, problem="model_waking", title="The model host is waking up"):
    """No model host runs: all sleep, or one is starting. Starting takes minutes."""

    def __init__(self, dependency: str, detail: str, retry_after: float = 60.0) -> None:
        super().__init__(dependency, detail, retry_after)


class ModelAsleep(ModelWaking, problem="model_asleep", title="The model hosts are stopped by schedule"):
    """A schedule has stopped all model hosts. It starts them again at `until`, a time in UTC."""

    def __init__(self, dependency: str, until: datetime, retry_after: float) -> None:
        super().__init__(dependency, f"no model host runs until {until:{_MINUTE}}", retry_after)
        self.until = until

    @property
    def reason(self) -> str:
        """The reason, with the time at which hosts start again."""
        return f"{self.problem}_until {self.until:{_MINUTE}}"


class LeaseLost(Unavailable, problem="lease-lost"):
    """Another worker has taken over the document: this one changes nothing more."""

    def __init__(self, key: str) -> None:
        super().__init__("ledger", f"another worker has taken over {key!r}")


class ObjectDenied(Unavailable, problem="object-denied"):
    """The bucket refuses to show this object, and shows others."""


class Corrupt(DocwellError, problem="corrupt", title="Stored data is damaged"):
    """Stored data is invalid, such as a wrong checksum: an operator must check it."""


class ModelDamaged(
    Corrupt, status=503, problem="model-damaged", title="A model file of docwell is missing or damaged"
):
    """A file that `make model` writes is missing or wrong. No question is answered without it."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(f"{path}: {detail}; `make model` writes it, with RERANKER=... for a reranker")
