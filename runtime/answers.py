"""Turn the function's answer into an HTTP response, buffered or streamed."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from anyio import CancelScope, CapacityLimiter, create_task_group, to_thread
from starlette.responses import Response, StreamingResponse

from runtime.functions import FunctionError
from runtime.log import log

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from runtime.functions import Stream


PROBLEM_JSON = "application/problem+json"


class MalformedAnswer(Exception):
    """An answer of the function that API Gateway would reject."""


def problem(status: int, kind: str, title: str, detail: str, request_id: str, **headers: str) -> Response:
    """Return a problem document (RFC 9457) for an error outside the function, with docwell's fields.

    `detail` says what to do next.
    """
    document = {
        "type": f"urn:docwell:problem:{kind}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }
    return Response(
        json.dumps(document),
        status,
        {"x-amzn-requestid": request_id, **{name.replace("_", "-"): value for name, value in headers.items()}},
        PROBLEM_JSON,
    )


def http_answer(answer: Any, request_id: str) -> Response:
    """Return a buffered answer as HTTP. Raises `MalformedAnswer`."""
    status = _status(answer)
    body = answer.get("body") or ""
    if not isinstance(body, str):
        raise MalformedAnswer("body is not text")
    try:
        content = base64.b64decode(body, validate=True) if answer.get("isBase64Encoded") else body.encode()
    except ValueError:
        raise MalformedAnswer("isBase64Encoded is true and body is not base64") from None
    response = Response(content, status)
    _set_headers(response, answer, request_id, has_body=bool(content))
    return response


def _status(answer: Any) -> int:
    if not isinstance(answer, dict) or not isinstance(answer.get("statusCode"), int):
        raise MalformedAnswer("the answer is not an object with an integer statusCode")
    return int(answer["statusCode"])


def _set_headers(response: Response, answer: dict[str, Any], request_id: str, *, has_body: bool) -> None:
    single = answer.get("headers") or {}
    multiple = answer.get("multiValueHeaders") or {}
    if not isinstance(single, dict) or not isinstance(multiple, dict):
        raise MalformedAnswer("headers are not an object")
    named = {name.lower() for name in multiple}
    for name, value in single.items():
        if name.lower() not in named:
            response.headers[name] = str(value)
    for name, values in multiple.items():
        for value in values:
            response.headers.append(name, str(value))
    if has_body and "content-type" not in response.headers:
        response.headers["content-type"] = "application/json"  # API Gateway's default
    response.headers["x-amzn-requestid"] = request_id


class StreamedAnswer(StreamingResponse):
    """A function's stream. A client that disconnects ends the function's work."""

    def __init__(self, stream: Stream, metadata: dict[str, Any], request_id: str) -> None:
        """`metadata` is the stream's. Raises `MalformedAnswer`."""
        super().__init__((), _status(metadata))
        _set_headers(self, metadata, request_id, has_body=True)
        self._stream = stream
        self._complete = False
        # Callbacks: one at the first byte, one at the end with whether the client got the whole answer.
        self.on_first_byte: Callable[[], None] = lambda: None
        self.on_end: Callable[[bool], None] = lambda _: None

    def hang_up(self) -> None:
        """End the stream of a client that left before the first byte."""
        self._stream.close()

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream until its end, or until the client disconnects."""
        try:
            await run_until_gone(receive, self._pass_on(send))
        finally:
            if not self._complete:
                self._stream.close()
            self.on_end(self._complete)

    async def _pass_on(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        limiter = CapacityLimiter(math.inf)  # each stream blocks one thread
        first = True
        while True:
            try:
                piece = await to_thread.run_sync(self._stream.next, limiter=limiter, abandon_on_cancel=True)
            except FunctionError as error:
                # Break the connection, so that the client sees that the answer is incomplete.
                log("ERROR", str(error))
                return
            if piece is None:
                break
            if first:
                first = False
                self.on_first_byte()
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        self._complete = True
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def until_gone(receive: Receive) -> None:
    """Return when the client has closed the connection. The request's body must be read before."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def run_until_gone(receive: Receive, work: Awaitable[None]) -> None:
    """Run the work; cancel it when the client closes the connection."""
    async with create_task_group() as tasks:
        tasks.start_soon(_cancel_when_gone, receive, tasks.cancel_scope)
        await work
        tasks.cancel_scope.cancel()


async def _cancel_when_gone(receive: Receive, scope: CancelScope) -> None:
    await until_gone(receive)
    scope.cancel()
