"""Calls of the query function's handler, as API Gateway makes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import httpx2

from docwell.http import sse
from docwell.http.streaming import StreamedResponse
from docwell.identity import KEY
from functions.query.handler import handler

CONTEXT = SimpleNamespace(
    function_name="query",
    memory_limit_in_mb=1024,
    invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:query",
    aws_request_id="lambda-request",
    get_remaining_time_in_millis=lambda: 900_000,
)
KEY_OF_ALL = "all"
Events = list[tuple[str, Any]]


def event_of(
    method: str, path: str, body: Any = None, key: str | None = KEY_OF_ALL, **headers: str
) -> dict[str, Any]:
    """Return the event of a request with the API key of that id."""
    path, _, query = path.partition("?")
    parameters = dict(pair.split("=", 1) for pair in query.split("&")) if query else None
    return {
        "path": path,
        "httpMethod": method,
        "headers": {"content-type": "application/json", **headers},
        "multiValueHeaders": {"content-type": ["application/json"], **{k: [v] for k, v in headers.items()}},
        "queryStringParameters": parameters,
        "multiValueQueryStringParameters": {k: [v] for k, v in parameters.items()} if parameters else None,
        "requestContext": {
            "requestId": "gateway-request",
            "identity": {"sourceIp": "127.0.0.1"},
            "authorizer": {"principalId": f"{KEY}{key}"} if key else None,
            "stage": "v1",
        },
        "body": body if isinstance(body, str) or body is None else json.dumps(body),
        "isBase64Encoded": False,
    }


def call(
    method: str, path: str, body: Any = None, key: str | None = KEY_OF_ALL, **headers: str
) -> tuple[int, Any, dict[str, Any]]:
    """Return status, body and headers of a whole answer."""
    answer = whole_answer(handler(event_of(method, path, body, key, **headers), CONTEXT))
    return answer["statusCode"], json.loads(answer["body"]), answer["multiValueHeaders"]


def whole_answer(answer: StreamedResponse | dict[str, Any]) -> dict[str, Any]:
    """Return an answer with its whole body, as a client sees it; a stream is closed."""
    if isinstance(answer, dict):
        return answer
    headers = {name: [value] for name, value in answer.headers.items()}
    return {"statusCode": answer.status, "multiValueHeaders": headers, "body": read(answer)}


def begin(body: dict[str, Any], key: str = KEY_OF_ALL, **headers: str) -> StreamedResponse:
    """Return the answer to a question, with an unread body that the caller must close."""
    answer = handler(event_of("POST", "/v1/query", body, key, **headers), CONTEXT)
    assert isinstance(answer, StreamedResponse)
    return answer


def read(answer: StreamedResponse) -> str:
    """Return the whole body of an answer, and close it."""
    with closing(answer):
        return b"".join(answer.body).decode()


def events_of(answer: StreamedResponse | str) -> Events:
    """Return the server-sent events of a whole answer or its text."""
    return list(sse.read((answer if isinstance(answer, str) else read(answer)).split("\n")))


def masked(answer: tuple[int, Any, dict[str, Any]]) -> tuple[int, Any, dict[str, Any]]:
    """Return an answer without its request id, which differs each time."""
    status, body, headers = answer
    return status, {**body, "request_id": "REQUEST"}, headers | {"x-request-id": ["REQUEST"]}


class HandlerTransport(httpx2.BaseTransport):
    """Sends the requests of a real client to the handler. The Bearer key of a request is the id of an API key."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        assert scheme in {"Bearer", ""}
        headers = {name: value for name, value in request.headers.items() if name != "content-type"}
        event = event_of(request.method, request.url.path, request.read().decode() or None, key or None, **headers)
        answer = handler(event, CONTEXT)
        if isinstance(answer, StreamedResponse):
            return httpx2.Response(answer.status, headers=answer.headers, stream=_Pieces(answer))
        sent = {name: ", ".join(values) for name, values in answer["multiValueHeaders"].items()}
        return httpx2.Response(answer["statusCode"], headers=sent, text=answer["body"])


class _Pieces(httpx2.SyncByteStream):
    def __init__(self, answer: StreamedResponse) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        return self._answer.body

    def close(self) -> None:
        self._answer.close()
