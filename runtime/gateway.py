"""HTTP to the query function: it calls the function with a REST (v1) proxy event, as API Gateway does.

It asks the authorizer of the cloud (`docwell.access`) who the caller is.

As in a REST API, `path` and `pathParameters.proxy` keep the client's percent-encoding (a document's key can hold
`/`), and query strings are decoded.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import request_response

from docwell.access.authorizer import Authorizer, Caller, context_of
from docwell.errors import Unauthenticated, Unavailable
from docwell.http.shapes import CHAT, RESPONSES, error_at
from docwell.identity import KEY_HEADER, NO_CREDENTIAL, TOKEN_HEADER
from runtime.answers import PROBLEM_JSON, MalformedAnswer, StreamedAnswer, http_answer, problem, until_gone
from runtime.emf import metric_line, print_line
from runtime.functions import FunctionBusy, FunctionError, FunctionPool, FunctionTimedOut, Stream
from runtime.http_server import HEAD_S
from runtime.log import log
from runtime.names import ACCOUNT, HOST

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

# Equal to template.yaml. Clients of OpenAI's protocol send the whole conversation; API Gateway limits it.
MAX_BODY_BYTES = 65_000
MAX_CHAT_BYTES = 10 * 1024 * 1024
# The time to receive a body, a question of some KB, and a large one. Slow clients must not hold connections.
BODY_S, LARGE_BODY_S = HEAD_S, 30.0
_AGAIN = "try again; the log has more under the request id"
# nginx's status for a client that left before the answer.
CLIENT_GONE = 499
STAGE = "live"
# Headers that the function does not get: the authorizer alone reads them.
_SECRETS = {KEY_HEADER, TOKEN_HEADER}
# As in template.yaml: these routes have no authorizer.
_RESOURCE = "/.well-known/oauth-protected-resource"
OPEN_PATHS = ("/v1/health", "/v1/openapi.json", _RESOURCE, f"{_RESOURCE}/v1/mcp")
# Seconds to keep their answers: callers without a credential must not take the places of others.
OPEN_S = 1.0


class BodyTooLarge(Exception):
    """The request's body exceeds the limit of its route."""


def _grouped(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _encoded(body: bytes) -> tuple[str | None, bool]:
    """Return the body as text for the event, and whether that is base64."""
    if not body:
        return None, False
    try:
        return body.decode("utf-8"), False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode("ascii"), True


def proxy_event(
    request: Request, body: bytes, request_id: str, caller: Caller | None, added: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the event of a REST API with a `{proxy+}` resource and a Lambda authorizer.

    `requestContext` identifies the caller; the event holds no credential. The `added` headers
    replace the client's.
    """
    path = request.scope["raw_path"].decode("ascii", "replace").partition("?")[0]
    headers = _grouped([(name.title(), value) for name, value in request.headers.items() if name not in _SECRETS])
    headers |= {name.title(): [value] for name, value in (added or {}).items()}
    query = _grouped(request.query_params.multi_items())
    text, is_base64 = _encoded(body)
    now = datetime.now(UTC)
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": request.method,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": dict(request.query_params) or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": {"proxy": path.lstrip("/")},
        "stageVariables": None,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "docwell",
            "authorizer": context_of(caller) if caller else None,
            "domainName": request.headers.get("host", HOST),
            "domainPrefix": "docwell",
            "extendedRequestId": request_id,
            "httpMethod": request.method,
            "identity": {
                "apiKey": None,
                "sourceIp": request.client.host if request.client else HOST,
                "userAgent": request.headers.get("user-agent"),
            },
            "path": f"/{STAGE}{path}",
            "protocol": f"HTTP/{request.scope.get('http_version', '1.1')}",
            "requestId": request_id,
            "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "requestTimeEpoch": int(now.timestamp() * 1000),
            "resourceId": "proxy",
            "resourcePath": "/{proxy+}",
            "stage": STAGE,
        },
        "body": text,
        "isBase64Encoded": is_base64,
    }


async def _read_body(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise BodyTooLarge
    return bytes(body)


def _announced(request: Request, limit: int) -> int:
    """Return the body's size from the headers; `limit` for a chunked body, whose headers state none."""
    if "transfer-encoding" in request.headers:
        return limit
    # Strip zeros: `int` rejects thousands of digits, and a size may begin with thousands of zeros.
    size = request.headers.get("content-length", "").lstrip("0") or "0"
    return int(size) if size.isascii() and size.isdigit() else limit


class Gateway:
    """The ASGI application over the query function's pool."""

    def __init__(
        self,
        pool: FunctionPool,
        authorizer: Authorizer | None = None,
        routes: Sequence[BaseRoute] = (),
        on_metrics: Callable[[str], None] = print_line,
    ) -> None:
        """Routes come before the API. `on_metrics` gets each line of metrics."""
        self._pool = pool
        self._authorizer = authorizer
        self._on_metrics = on_metrics
        self.app = Starlette(routes=routes)
        # Do not use a route: an S3 key in the path may hold line ends, which no pattern of Starlette matches.
        self.app.router.redirect_slashes = False
        self.app.router.default = request_response(self._handle)
        self._limiter: CapacityLimiter | None = None
        self._large = Counter[str]()  # large bodies that are being read, by caller
        self._open_calls: dict[str, tuple[float, asyncio.Future[Response]]] = {}

    async def outside_api(self, _request: Request, _request_id: str) -> Response | None:
        """Return the response to a request outside the API: none in this class."""
        return None

    def added_headers(self, _request: Request) -> Mapping[str, str]:
        """Return the headers that this gateway adds for the function: none in this class."""
        return {}

    async def _handle(self, request: Request) -> Response:
        request_id = str(uuid.uuid4())
        line = _RequestLine(request, self._on_metrics)
        response = await self.outside_api(request, request_id)
        line.of_api = response is None
        response = response or in_shape_of(request, await self._answer(request, request_id))
        if isinstance(response, StreamedAnswer):
            response.on_first_byte = line.first_byte
            response.on_end = lambda complete: line.end(response.status_code, complete=complete)
        else:
            line.end(response.status_code, complete=response.status_code != CLIENT_GONE)
        return response

    async def _answer(self, request: Request, request_id: str) -> Response:
        """Check the caller, read the body and call the function. A stranger's body is not read."""
        if request.method == "GET" and request.url.path in OPEN_PATHS:
            return await self._open_answer(request, request_id)
        limit = MAX_CHAT_BYTES if request.url.path in {CHAT, RESPONSES} else MAX_BODY_BYTES
        size = _announced(request, limit)
        if size > limit:
            return _too_large(limit, request_id)
        try:
            caller = await to_thread.run_sync(self._caller, request)
        except (Unauthenticated, Unavailable) as error:
            return _unidentified(error, request_id)
        if size <= MAX_BODY_BYTES:
            return await self._read_and_call(request, limit, request_id, caller)
        # Read as many large bodies at once as the function accepts, and half as many of one caller.
        key, most = caller.identity.id if caller else "", self._pool.capacity
        if self._large.total() >= most or self._large[key] >= max(most // 2, 1):
            return _too_many("1", request_id, connection="close")
        self._large[key] += 1
        try:
            return await self._read_and_call(request, limit, request_id, caller)
        finally:
            self._large[key] -= 1
            self._large += Counter()  # drop zeros

    async def _open_answer(self, request: Request, request_id: str) -> Response:
        """Return the answer to a request without credentials. Requests share a call: it takes one place."""
        path, now = request.url.path, time.monotonic()
        since, call = self._open_calls.get(path, (-math.inf, None))
        if call is None or (call.done() and now - since > OPEN_S):
            call = asyncio.ensure_future(to_thread.run_sync(self._call, request, b"", request_id, None))
            self._open_calls[path] = now, call
        return await asyncio.shield(call)

    async def _read_and_call(
        self, request: Request, limit: int, request_id: str, caller: Caller | None
    ) -> Response:
        longest_s = BODY_S if _announced(request, limit) <= MAX_BODY_BYTES else LARGE_BODY_S
        try:
            async with asyncio.timeout(longest_s):
                body = await _read_body(request, limit)
        except BodyTooLarge:
            return _too_large(limit, request_id)
        except TimeoutError:
            detail = f"send the whole body within {longest_s:g} s"
            return problem(
                408, "too-slow", "The request did not arrive in time", detail, request_id, connection="close"
            )
        except ClientDisconnect:
            return Response(status_code=CLIENT_GONE)
        # One more than the pool's capacity, so that the pool itself rejects the extra caller.
        self._limiter = self._limiter or CapacityLimiter(self._pool.capacity + 1)
        # A stopping gateway abandons the thread; closing the pool ends the call.
        call = asyncio.ensure_future(
            to_thread.run_sync(
                self._call, request, body, request_id, caller, limiter=self._limiter, abandon_on_cancel=True
            )
        )
        leaving = asyncio.ensure_future(until_gone(request.receive))
        await asyncio.wait({call, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if call.done():
            leaving.cancel()
            await asyncio.wait({leaving})
            return call.result()
        # As in the cloud, the function continues. If it begins a stream, close that.
        call.add_done_callback(_hang_up)
        return Response(status_code=CLIENT_GONE)

    def _call(self, request: Request, body: bytes, request_id: str, caller: Caller | None) -> Response:
        """Return the function's answer as HTTP, or a problem document."""
        event = proxy_event(request, body, request_id, caller, self.added_headers(request))
        try:
            answer = self._pool.invoke(event)
            if not isinstance(answer, Stream):
                return http_answer(answer, request_id)
            try:
                return StreamedAnswer(answer, answer.metadata(), request_id)
            except MalformedAnswer:
                answer.close()
                raise
        except FunctionBusy as busy:
            return _too_many(str(busy.retry_after), request_id)
        except FunctionTimedOut as error:
            log("WARNING", str(error))
            return problem(504, "deadline-exceeded", "The function did not answer in time", _AGAIN, request_id)
        except (FunctionError, MalformedAnswer) as error:
            log("ERROR", str(error))
            return problem(502, "function-failed", "The function failed", _AGAIN, request_id)

    def _caller(self, request: Request) -> Caller | None:
        """Return the caller, None without an authorizer. Raises `Unauthenticated`, `Unavailable`."""
        address = request.client.host if request.client else HOST
        return self._authorizer.identify(request.headers.items(), address) if self._authorizer else None


def in_shape_of(request: Request, response: Response) -> Response:
    """Return an error of the gateway itself as clients of the path read it."""
    path = request.url.path.rstrip("/")
    if response.media_type != PROBLEM_JSON or (error := error_at(path, json.loads(bytes(response.body)))) is None:
        return response
    headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
    return JSONResponse(error, response.status_code, headers)


def _too_large(limit: int, request_id: str) -> Response:
    detail = f"send at most {limit:,} bytes, such as fewer turns of a conversation"
    return problem(413, "too-large", "The request is too large", detail, request_id, connection="close")


def _too_many(retry_after: str, request_id: str, **headers: str) -> Response:
    headers["retry_after"] = retry_after
    detail = "try again after the seconds of Retry-After"
    return problem(429, "too-many-requests", "Too many requests", detail, request_id, **headers)


def _unidentified(error: Unauthenticated | Unavailable, request_id: str) -> Response:
    if isinstance(error, Unauthenticated):
        headers, detail = {"www_authenticate": "Bearer", "connection": "close"}, NO_CREDENTIAL
        return problem(error.status, error.problem, error.title, detail, request_id, **headers)
    log("WARNING", str(error))
    title, detail = "The credentials cannot be checked", "try again after the seconds of Retry-After"
    headers = {"retry_after": "1", "connection": "close"}
    return problem(503, "dependency-unavailable", title, detail, request_id, **headers)


class _RequestLine:
    """The log line of one request. It shows the path but never the body, which contains the question.

    A request `of_api` also counts in API Gateway's metrics.
    """

    def __init__(self, request: Request, on_metrics: Callable[[str], None]) -> None:
        self._on_metrics = on_metrics
        self.of_api = False
        path = request.scope["raw_path"].decode("ascii", "replace")
        self._what = f"{request.method} {path}"
        self._started = time.perf_counter()
        self._first_byte = ""

    def first_byte(self) -> None:
        """Record the time of a stream's first byte."""
        self._first_byte = f", first byte after {self._milliseconds():.0f} ms"

    def end(self, status: int, *, complete: bool) -> None:
        """Print the line."""
        left = "" if complete else ", incomplete"
        milliseconds = self._milliseconds()
        log("INFO", f"{self._what} {status} in {milliseconds:.0f} ms{self._first_byte}{left}")
        if self.of_api:
            errors = {f"{digit}XXError": int(str(status).startswith(digit)) for digit in "45"}
            values = {"Count": 1, "Latency": milliseconds, **errors}
            self._on_metrics(metric_line("AWS/ApiGateway", {"ApiName": "docwell", "Stage": STAGE}, values))

    def _milliseconds(self) -> float:
        return (time.perf_counter() - self._started) * 1000


def _hang_up(call: asyncio.Future[Response]) -> None:
    if not call.cancelled() and call.exception() is None and isinstance(response := call.result(), StreamedAnswer):
        response.hang_up()
