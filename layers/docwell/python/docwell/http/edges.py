"""The edge of one HTTP request: its caller and charge, and its errors as problem documents (RFC 9457)."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from itertools import islice
from threading import Lock
from traceback import walk_tb
from typing import Any, Self, TypeVar

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response, content_types
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from pydantic import BaseModel, ValidationError

from docwell.answers import Cost
from docwell.audit import Action, AuditEvent
from docwell.config import SettingsError, plain
from docwell.deadline import Deadline, event_loop, run
from docwell.errors import BadInput, DeadlineExceeded, DocwellError, QuotaExceeded, Unauthenticated, Unavailable
from docwell.http.streaming import StreamedResponse
from docwell.identity import CANARY, Identity, Principal, identity_of
from docwell.observability import logger, record_alone
from docwell.ports import Principals, Reservation
from docwell.wiring import query as wiring

app = APIGatewayRestResolver(enable_validation=True)

PROBLEM_JSON = "application/problem+json"
# The most errors of a body that a response names: a body can have thousands of unknown fields.
MOST_ERRORS = 20
_Body = TypeVar("_Body", bound=BaseModel)
_NAME = re.compile(r"\w{1,40}")
# The share of a request's time for finding its principal. The charge gets the same share again.
_SHARE = 0.2
# The authorizer caches a key this long, too: a longer answer of a revoked caller ends at its next event.
_CONFIRMED_S = 10.0
# The metric of a problem.
_COUNTED = {
    "overloaded": "Overloads",
    "quota-exceeded": "QuotaRejections",
    "too-many-in-flight": "QuotaRejections",
    "unauthenticated": "Unauthenticated",
}


class RequestAdmission:
    """`docwell.query.ask.Admission` for the caller that the gateway named.

    The constructor schedules lookup and charge as tasks. Leaving an `async with` block waits for the charge: a
    question that fails is charged too, and a used-up quota is reported before any other error.
    The canary's requests are free.

    A question reserves the most `tokens` that it can use, and ends with `settle`.
    """

    def __init__(self, identity: Identity, principals: Principals, deadline: Deadline, tokens: int = 0) -> None:
        self._identity = identity
        self._principals = principals
        self._tokens = tokens
        self._reservation: Reservation | None = None
        self._given_up = False
        self._lock = Lock()
        self.deadline = deadline
        self.of_canary = identity.id == CANARY.id
        self._identified = event_loop().create_task(self._identify())
        self._admitted = event_loop().create_task(self._charge())
        self._confirmed_at = time.monotonic()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.admitted()

    async def identified(self) -> Principal:
        """Return the caller once it is known. Raises `Unauthenticated`, `Unavailable`."""
        return await asyncio.shield(self._identified)

    async def admitted(self) -> Principal:
        """Return the caller once the request is charged. Raises as `identified` does, and `QuotaExceeded`."""
        return await asyncio.shield(self._admitted)

    async def confirm(self) -> None:
        """Raise `Unauthenticated` if the rights to read of the caller, read again every 10 s, have changed."""
        if time.monotonic() - self._confirmed_at >= _CONFIRMED_S:
            self._confirmed_at = time.monotonic()
            with suppress(Unavailable):
                now = await asyncio.to_thread(find_principal, self._identity, self._principals)
                first = await self.identified()
                if (now.collections, now.rules) != (first.collections, first.rules):
                    raise Unauthenticated("the rights of this key or token have changed: ask again")

    def settle(self, tokens: int, cost: Cost | None = None) -> None:
        """Charge what the question used in place of the tokens reserved. Raises `Unavailable`."""
        if self._reservation is not None:
            self._principals.settle(self._reservation, tokens, cost)

    async def _identify(self) -> Principal:
        async with self.deadline.stage("principals", _SHARE):
            principal = await asyncio.to_thread(find_principal, self._identity, self._principals)
        logger.append_keys(principal=principal.id)
        return principal

    async def _charge(self) -> Principal:
        try:
            async with self.deadline.stage("principals", 2 * _SHARE):
                principal = await self.identified()
                if not self.of_canary:
                    charge = self._reserve if self._tokens else self._principals.charge
                    await asyncio.to_thread(charge, principal)
        except DeadlineExceeded:
            with self._lock:
                self._given_up = True
            raise
        return principal

    def _reserve(self, principal: Principal) -> None:
        """Reserve the tokens. Give them back when the request no longer waits for them."""
        reservation = self._principals.reserve(principal, self._tokens)
        with self._lock:
            if not self._given_up:
                self._reservation = reservation
                return
        self._principals.settle(reservation, 0)


def find_principal(identity: Identity, principals: Principals) -> Principal:
    """Return the caller, without a charge. Raises `Unauthenticated`, `Unavailable`."""
    if identity.id == CANARY.id:
        return CANARY
    principal = principals.find(identity.id, identity.groups)
    if principal is None:
        raise Unauthenticated("this key or token has no rights here: docwell principals add gives it some")
    return principal


def admission(model_calls: int = 0) -> RequestAdmission:
    """Return the admission of the current request. Raises `Unauthenticated` when it has no identity."""
    settings = wiring.query_settings()
    # A call of the model reads and writes at most its context.
    tokens = model_calls * settings.num_ctx
    identity = identity_of(app.current_event.raw_event)
    return RequestAdmission(identity, wiring.principals(), Deadline(settings.deadline_s), tokens)


def charge() -> Principal:
    """Charge the current request; return its caller. Raises `Unauthenticated`, `QuotaExceeded`, `Unavailable`."""
    return run(admission().admitted())


def caller() -> Principal:
    """Return the caller of the current request, without a charge. Raises `Unauthenticated`, `Unavailable`."""
    return find_principal(identity_of(app.current_event.raw_event), wiring.principals())


def to_known_caller(event: Mapping[str, Any], error: BadInput) -> DocwellError:
    """Return the error for the caller of an event, or why there is none: only callers learn names of fields."""
    try:
        find_principal(identity_of(event), wiring.principals())
    except DocwellError as unknown:
        return unknown
    return error


@cache
def data_file(name: str) -> Any:
    """Return the content of a JSON file of this folder."""
    return json.loads(files("docwell.http").joinpath(f"{name}.json").read_text("utf-8"))


def request_id() -> str:
    """Return the id of the current request, which no client can choose: receipts are stored under it."""
    return str(app.context["request_id"])


class AnswerResponse(Response[Any]):
    """An answer to a question, which carries its own stream and its follow-up work."""

    def __init__(self, content: StreamedResponse) -> None:
        super().__init__(content.status, headers=dict(content.headers))
        self.content = content

    def is_json(self) -> bool:
        """Return False, so that Powertools passes the body through as it is."""
        return False


def answer_responses(model: type[BaseModel]) -> dict[int, OpenAPIResponse]:
    """Describe an answer for the OpenAPI page."""
    content: dict[str, Any] = {content_types.APPLICATION_JSON: {"model": model}}
    return {200: {"description": "An answer with its sources", "content": content}}


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[dict[str, Any]] | None = None


def problem_response(
    error: DocwellError, request_id: str, errors: list[dict[str, Any]] | None = None
) -> Response[str]:
    """Return the problem document of an error as a response, with `Retry-After` where a retry may help."""
    headers: dict[str, str | list[str]] = {}
    if isinstance(error, Unavailable | QuotaExceeded) and error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    body = problem_of(error, request_id, errors).model_dump_json(exclude_none=True)
    return Response(error.status, PROBLEM_JSON, body, headers)


def problem_of(error: DocwellError, request_id: str, errors: list[dict[str, Any]] | None = None) -> Problem:
    """Return the problem document of an error."""
    if isinstance(error, BadInput) and error.where:
        errors = [{"where": error.where, "what": error.detail}]
    return Problem(
        type=f"urn:docwell:problem:{error.problem}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        request_id=request_id,
        errors=errors,
    )


def named_errors(errors: Iterable[Mapping[str, Any]]) -> tuple[str, list[dict[str, str]]]:
    """Return Pydantic's errors as one sentence, and each by its place and rule.

    The input, and unknown field names, may hold a question.
    """
    listed: list[dict[str, str]] = []
    for item in islice(errors, MOST_ERRORS):
        where = ".".join(str(part) if _NAME.fullmatch(str(part)) else "?" for part in item["loc"])
        listed.append({"where": where, "what": plain(item["msg"])})
    return "; ".join(f"{item['where']}: {item['what']}" for item in listed), listed


def validated(model: type[_Body], fields: Mapping[str, Any]) -> _Body:
    """Return a body of these fields. Raises `BadInput` that names the wrong ones."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        detail, (first, *_) = named_errors(error.errors())
        raise BadInput(detail, first["where"]) from None


def record_error(error: Exception, event: Mapping[str, Any] | None = None) -> DocwellError:
    """Log and count an error, by default of the current event; return the error for the client."""
    if not isinstance(error, DocwellError):
        # Log the type and the place, not the message: it may hold text of a document or a user.
        *_, (frame, line) = walk_tb(error.__traceback__)
        place = f"{frame.f_code.co_filename}:{line}"
        detail = str(error) if isinstance(error, SettingsError) else None  # it names variables and nothing else
        logger.error("bug", extra={"exception": type(error).__name__, "where": place, "detail": detail})
        record_alone("Problems", 1)
        return DocwellError("an error in docwell itself; its log has the request id")
    failed = error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    log = logger.warning if failed else logger.info
    log("problem", extra={"problem": error.problem, "detail": error.detail})
    if failed:
        record_alone("Problems", 1)
    if error.problem in _COUNTED:
        record_alone(_COUNTED[error.problem], 1)
    if error.status in {401, 403, 429} and (trail := wiring.audit_trail()):
        context = (event or app.current_event.raw_event)["requestContext"]
        address = (context.get("identity") or {}).get("sourceIp")
        actor = (context.get("authorizer") or {}).get("principalId") or f"address:{address}"
        with suppress(DocwellError):
            trail.append(AuditEvent(actor, Action.REFUSED, subject=error.problem))
    return error
