"""Errors as problem documents (RFC 9457)."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from pydantic import BaseModel

from docwell.errors import DocwellError, QuotaExceeded, Unavailable

PROBLEM_JSON = "application/problem+json"


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[dict[str, Any]] | None = None


def problem(error: DocwellError, request_id: str, errors: list[dict[str, Any]] | None = None) -> Response[str]:
    """The problem document of an error as a response, with `Retry-After` where trying again may help."""
    headers: dict[str, str | list[str]] = {}
    if isinstance(error, Unavailable | QuotaExceeded) and error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "ApiKey"
    body = _problem(error, request_id, errors).model_dump_json(exclude_none=True)
    return Response(error.status, PROBLEM_JSON, body, headers)


def problem_body(error: DocwellError, request_id: str) -> dict[str, Any]:
    """The problem document alone, for where a response has begun already."""
    return _problem(error, request_id).model_dump(exclude_none=True)


def _problem(error: DocwellError, request_id: str, errors: list[dict[str, Any]] | None = None) -> Problem:
    return Problem(
        type=f"urn:docwell:problem:{error.problem}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        request_id=request_id,
        errors=errors,
    )
