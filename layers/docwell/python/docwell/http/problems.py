"""Errors as problem documents (RFC 9457), with their log lines and metrics."""

from __future__ import annotations

import math
from http import HTTPStatus
from traceback import walk_tb
from typing import Any

from aws_lambda_powertools.event_handler import Response
from pydantic import BaseModel

from docwell.config import SettingsError
from docwell.errors import (
    BadInput,
    DocwellError,
    Overloaded,
    QuotaExceeded,
    TooManyInFlight,
    Unauthenticated,
    Unavailable,
)
from docwell.observability import logger, record_alone

PROBLEM_JSON = "application/problem+json"
# The errors of a body that an answer names. A body can have thousands of unknown fields.
MOST_ERRORS = 20
_COUNTED: dict[type[DocwellError], str] = {
    Overloaded: "Overloads",
    QuotaExceeded: "QuotaRejections",
    TooManyInFlight: "QuotaRejections",
    Unauthenticated: "Unauthenticated",
}


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[dict[str, Any]] | None = None


def problem(error: DocwellError, request_id: str, errors: list[dict[str, Any]] | None = None) -> Response[str]:
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


def recorded(error: Exception) -> DocwellError:
    """Log and count an error; return the error for the client."""
    if not isinstance(error, DocwellError):
        return _recorded_bug(error)
    failed = error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    (logger.warning if failed else logger.info)(
        "problem", extra={"problem": error.problem, "detail": error.detail}
    )
    if failed:
        record_alone("Problems", 1)
    if type(error) in _COUNTED:
        record_alone(_COUNTED[type(error)], 1)
    return error


def _recorded_bug(error: Exception) -> DocwellError:
    """Log the type and the place, not the message: it may hold text of a document or a user."""
    *_, (frame, line) = walk_tb(error.__traceback__)
    where = f"{frame.f_code.co_filename}:{line}"
    detail = str(error) if isinstance(error, SettingsError) else None  # it names variables and nothing else
    logger.error("bug", extra={"exception": type(error).__name__, "where": where, "detail": detail})
    record_alone("Problems", 1)
    return DocwellError("an error in docwell itself; its log has the request id")
