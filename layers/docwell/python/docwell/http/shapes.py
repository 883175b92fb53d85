"""Problem documents as errors of other protocols, for the function and for the gateways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from docwell.errors import BadInput, NotFound, QuotaExceeded, TooManyInFlight, Unauthenticated

MCP = "/v1/mcp"
RETRIEVAL = "/v1/retrieval"
CHAT, RESPONSES, MODELS = "/v1/chat/completions", "/v1/responses", "/v1/models"
# Errors below these paths have OpenAI's shape, because some clients show no other. docwell serves the first three.
PATHS = (CHAT, RESPONSES, MODELS, "/v1/completions", "/v1/embeddings", "/v1/files", "/v1/images", "/v1/audio")
NO_MODEL = "the model does not exist, or you may not use it: GET /v1/models lists yours"
NO_ROUTE = "no such route: see /v1/openapi.json"
NOT_JSON = "the body is not JSON, or is too deep"
# By problem type or detail.
_OPENAI_CODES = {
    Unauthenticated.problem: "invalid_api_key",
    QuotaExceeded.problem: "insufficient_quota",
    TooManyInFlight.problem: "rate_limit_exceeded",
    "too-many-requests": "rate_limit_exceeded",
    NO_MODEL: "model_not_found",
    NO_ROUTE: "unknown_url",
}
# https://docs.dify.ai/en/guides/knowledge-base/api-documentation/external-knowledge-api-documentation
_DIFY_CODES = {Unauthenticated.problem: 1002, NotFound.problem: 2001}
_TOO_MANY, _SERVER_ERRORS, _PARSE, _INVALID, _SERVER = 429, 500, -32700, -32600, -32000


def error_at(path: str, problem: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a problem document as the error that clients of the path read; None where they read problems."""
    if path.startswith(PATHS):
        return openai_error(problem)
    if path == RETRIEVAL:
        kind = problem["type"].rpartition(":")[2]
        return {"error_code": _DIFY_CODES.get(kind, problem["status"]), "error_msg": problem["detail"]}
    if path != MCP:
        return None
    code = _SERVER
    if problem["type"].endswith(f":{BadInput.problem}"):
        code = _PARSE if problem["detail"] == NOT_JSON else _INVALID
    error = {"code": code, "message": problem["detail"], "data": {**problem}}
    return {"jsonrpc": "2.0", "id": None, "error": error}  # the request is unread, and its id unknown


def openai_error(problem: Mapping[str, Any]) -> dict[str, Any]:
    """Return a problem document as an error of OpenAI's API."""
    kind = problem["type"].rpartition(":")[2]
    code = _OPENAI_CODES.get(problem["detail"]) or _OPENAI_CODES.get(kind, kind)
    type_ = "server_error" if problem["status"] >= _SERVER_ERRORS else "invalid_request_error"
    where = problem["errors"][0]["where"] if problem.get("errors") else None
    type_ = code if problem["status"] == _TOO_MANY else type_
    param = where and where.removeprefix("body.")
    return {"error": {"message": problem["detail"], "type": type_, "param": param, "code": code}}
