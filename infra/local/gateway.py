"""A local API Gateway: it calls the query function with a REST (v1) proxy event and returns the answer over HTTP.

``python -m infra.local.gateway --port 8080``

It puts the id of the API key in `x-api-key` or `Authorization: Bearer` into the event. It also serves the console,
forwards documents and uploads to the local AWS server, and serves the part of Lambda's API that calls the
reconcile function by its name, and runs that function's schedule.

As in a REST API, `path` and `pathParameters.proxy` keep the client's percent-encoding (a document's key can hold
`/`), and query strings are decoded.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import os
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import uvicorn
from anyio import CapacityLimiter, to_thread
from botocore.config import Config
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import request_response

from infra.local.answers import MalformedAnswer, StreamedAnswer, http_answer, problem
from infra.local.api_keys import ApiKeys, KeysUnavailable, key_in
from infra.local.console_files import console_file
from infra.local.disconnect import until_gone
from infra.local.emf import print_line, print_metrics
from infra.local.functions_api import functions_route, scheduled
from infra.local.guard import Guarded, end_with_any_thread
from infra.local.lambda_runtime import (
    FunctionBusy,
    FunctionError,
    FunctionPool,
    FunctionSpec,
    FunctionTimedOut,
    Stream,
    function_environment,
)
from infra.local.names import ACCOUNT, ERROR, HOST, NOTICE, RECONCILE_FUNCTION, WARNING
from infra.local.storage import Storage, is_storage

if TYPE_CHECKING:
    from starlette.requests import Request

# API Gateway's payload limit.
MAX_BODY_BYTES = 10 * 1024 * 1024
# nginx's status for a client that left before the answer.
CLIENT_GONE = 499
STAGE = "local"
# As in template.yaml. The cost of an answer grows with the memory.
QUERY_MEMORY_MB = 1769
RECONCILE_TIMEOUT_S = 900.0


class BodyTooLarge(Exception):
    """The request's body exceeds `MAX_BODY_BYTES`."""


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


def proxy_event(request: Request, body: bytes, request_id: str, api_key_id: str | None) -> dict[str, Any]:
    """Return the event of a REST API with a `{proxy+}` resource and no authorizer.

    `requestContext` identifies the caller, so it takes nothing from the client but a known API key.
    """
    path = request.scope["raw_path"].decode("ascii", "replace").partition("?")[0]
    headers = _grouped([(name.title(), value) for name, value in request.headers.items()])
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
            "apiId": "docwell-local",
            "domainName": request.headers.get("host", HOST),
            "domainPrefix": "docwell-local",
            "extendedRequestId": request_id,
            "httpMethod": request.method,
            "identity": {
                "apiKey": key_in(request.headers) if api_key_id else None,
                "apiKeyId": api_key_id,
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


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge
    return bytes(body)


class Gateway:
    """The ASGI application over the query function's pool. Lambda's API calls `functions` by name."""

    def __init__(
        self,
        pool: FunctionPool,
        functions: Mapping[str, FunctionPool] | None = None,
        api_keys: ApiKeys | None = None,
        keys: tuple[str, str] | None = None,
        storage: Storage | None = None,
    ) -> None:
        """Calls of Lambda's API need a signature with `keys`: access key, secret key. None accepts every call."""
        self._pool = pool
        self._storage = storage
        self._api_keys = api_keys
        self.app = Starlette(routes=[functions_route(functions or {}, keys)])
        # Not a route: an S3 key in the path may hold line ends, which no pattern of Starlette matches.
        self.app.router.redirect_slashes = False
        self.app.router.default = request_response(self._handle)
        self._limiter: CapacityLimiter | None = None

    async def _handle(self, request: Request) -> Response:
        request_id = str(uuid.uuid4())
        line = _RequestLine(request)
        response = console_file(request)
        if response is None and self._storage and is_storage(request):
            response = await self._storage.forward(request, request_id)
        line.of_api = response is None
        response = response or await self._answer(request, request_id)
        if isinstance(response, StreamedAnswer):
            response.on_first_byte = line.first_byte
            response.on_end = lambda complete: line.end(response.status_code, complete=complete)
        else:
            line.end(response.status_code, complete=response.status_code != CLIENT_GONE)
        return response

    async def _answer(self, request: Request, request_id: str) -> Response:
        try:
            body = await _read_body(request)
        except BodyTooLarge:
            return problem(413, "too-large", "The request is over 10 MB", request_id, connection="close")
        # One more than the pool's capacity, so that the pool itself rejects the extra caller.
        self._limiter = self._limiter or CapacityLimiter(self._pool.capacity + 1)
        # When the gateway stops it abandons the thread; closing the pool ends the call.
        call = asyncio.ensure_future(
            to_thread.run_sync(
                self._call, request, body, request_id, limiter=self._limiter, abandon_on_cancel=True
            )
        )
        leaving = asyncio.ensure_future(until_gone(request.receive))
        await asyncio.wait({call, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if call.done():
            leaving.cancel()
            await asyncio.wait({leaving})
            return call.result()
        # As in the cloud, the function continues. A streamed answer is closed when it begins.
        call.add_done_callback(_hang_up)
        return Response(status_code=CLIENT_GONE)

    def _call(self, request: Request, body: bytes, request_id: str) -> Response:
        """Return the function's answer as HTTP, or a problem document."""
        try:
            key_id = self._api_keys.id_of(key_in(request.headers)) if self._api_keys else None
        except KeysUnavailable:
            title = "The API keys cannot be read"
            return problem(503, "dependency-unavailable", title, request_id, retry_after="1")
        event = proxy_event(request, body, request_id, key_id)
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
            return problem(
                429, "too-many-requests", "Too many requests", request_id, retry_after=str(busy.retry_after)
            )
        except FunctionTimedOut as error:
            print(f"{WARNING}{error}", flush=True)
            return problem(504, "deadline-exceeded", "The function did not answer in time", request_id)
        except (FunctionError, MalformedAnswer) as error:
            print(f"{ERROR}{error}", flush=True)
            return problem(502, "function-failed", "The function failed", request_id)


class _RequestLine:
    """The log line of one request. It shows the path and never the body, which holds the question.

    A request `of_api`, unlike one for the console or the storage, also counts in API Gateway's metrics.
    """

    def __init__(self, request: Request) -> None:
        mark = NOTICE if request.method == "POST" else ""
        self.of_api = False
        path = request.scope["raw_path"].decode("ascii", "replace")
        self._what = f"{mark}{request.method} {path}"
        self._started = time.perf_counter()
        self._first_byte = ""

    def first_byte(self) -> None:
        """Record the time of a stream's first byte."""
        self._first_byte = f", first byte after {self._milliseconds():.0f} ms"

    def end(self, status: int, *, complete: bool) -> None:
        """Print the line."""
        left = "" if complete else ", incomplete"
        milliseconds = self._milliseconds()
        print_line(f"{self._what} {status} in {milliseconds:.0f} ms{self._first_byte}{left}")
        if self.of_api:
            errors = {f"{digit}XXError": int(str(status).startswith(digit)) for digit in "45"}
            values = {"Count": 1, "Latency": milliseconds, **errors}
            print_metrics("AWS/ApiGateway", {"ApiName": "docwell", "Stage": STAGE}, values)

    def _milliseconds(self) -> float:
        return (time.perf_counter() - self._started) * 1000


def _hang_up(call: asyncio.Future[Response]) -> None:
    if not call.cancelled() and call.exception() is None and isinstance(response := call.result(), StreamedAnswer):
        response.hang_up()


def main() -> int:
    """Serve until SIGTERM."""
    threading.excepthook = end_with_any_thread
    parser = argparse.ArgumentParser(description="HTTP to the query function.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--stack", default="")
    parser.add_argument("--handler", default="functions.query.handler.handler")
    parser.add_argument("--timeout", type=float, default=130.0, help="seconds for one answer")
    parser.add_argument("--waiting", type=int, default=16, help="callers that may wait")
    parser.add_argument("--reconcile-handler", default="functions.reconcile.handler.handler")
    parser.add_argument("--reconcile-every", type=float, default=0.0, help="seconds; 0 is never")
    options = parser.parse_args()
    spec = FunctionSpec(
        options.handler,
        function_environment(),
        timeout_s=options.timeout,
        memory_mb=QUERY_MEMORY_MB,
        # As the template's wrapper does, because Lambda's own runtime cannot stream.
        runtime="docwell.http.streaming_runtime",
    )
    # The model answers one question at a time, so a caller may wait as long as an answer takes.
    pool = FunctionPool(spec, max_waiting=options.waiting, wait_s=options.timeout, publishes=True)
    threading.Thread(target=pool.warm, daemon=True).start()
    environment = {**function_environment(), "POWERTOOLS_SERVICE_NAME": "reconcile"}
    reconcile = FunctionPool(
        FunctionSpec(options.reconcile_handler, environment, timeout_s=RECONCILE_TIMEOUT_S),
        concurrency=1,
        wait_s=RECONCILE_TIMEOUT_S,
        publishes=True,
    )
    if options.reconcile_every > 0:
        threading.Thread(target=scheduled, args=(reconcile, options.reconcile_every), daemon=True).start()
    # Short limits, so that the gateway never hangs with the local AWS server.
    limits = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
    api_keys = ApiKeys(boto3.client("apigateway", config=limits))
    keys = (os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    storage = Storage(os.environ["AWS_ENDPOINT_URL"])
    app = Gateway(pool, {RECONCILE_FUNCTION: reconcile}, api_keys, keys, storage).app
    config = uvicorn.Config(
        Guarded(app, options.stack), HOST, options.port, log_level="warning", timeout_graceful_shutdown=1
    )
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run()
    pool.close()
    reconcile.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
