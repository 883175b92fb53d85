"""The API Gateway stand-in: HTTP in, a REST (v1) proxy event to the query function, its answer out.

``python -m infra.local.gateway --port 8080``

It stands in for two more parts: Lambda's own API, which calls the reconcile function by its name, and the
schedule that calls it every few minutes.

Paths: like a REST API, `path` and `pathParameters.proxy` are as the client sent them, percent-encoding
and all (a document's key can hold `/`, so `%2F` must survive); query strings are decoded.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import uvicorn
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from infra.local.function_environment import function_environment
from infra.local.functions_api import functions_route, scheduled
from infra.local.lambda_runtime import (
    FunctionBusy,
    FunctionError,
    FunctionPool,
    FunctionSpec,
    FunctionTimedOut,
)
from infra.local.names import ACCOUNT, ERROR, HOST, NOTICE, RECONCILE_FUNCTION, WARNING

if TYPE_CHECKING:
    from starlette.requests import Request

# API Gateway's limit for a payload.
MAX_BODY_BYTES = 10 * 1024 * 1024
STAGE = "local"
# As in template.yaml.
RECONCILE_TIMEOUT_S = 900.0
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]
# Answers by itself, so that the supervisor can see the gateway without waking the function.
READY_PATH = "/-/ready"


class MalformedAnswer(Exception):  # noqa: N818 - named for what the function gave
    """The function's answer is not what API Gateway takes."""


class BodyTooLarge(Exception):  # noqa: N818
    """The request's body is over `MAX_BODY_BYTES`."""


def problem(status: int, kind: str, title: str, request_id: str, **headers: str) -> Response:
    """A problem document (RFC 9457), for what goes wrong outside the function."""
    document = {"type": f"urn:docwell:{kind}", "title": title, "status": status, "request_id": request_id}
    return Response(
        json.dumps(document),
        status,
        {"x-amzn-requestid": request_id, **{name.replace("_", "-"): value for name, value in headers.items()}},
        "application/problem+json",
    )


def _grouped(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _last(grouped: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: values[-1] for name, values in grouped.items()}


def _encoded(body: bytes) -> tuple[str | None, bool]:
    """The body as an event holds it, and whether that is base64."""
    if not body:
        return None, False
    try:
        return body.decode("utf-8"), False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode("ascii"), True


def proxy_event(request: Request, body: bytes, request_id: str) -> dict[str, Any]:
    """The event that a REST API with a `{proxy+}` resource gives to its function."""
    path = request.scope["raw_path"].decode("ascii", "replace").partition("?")[0]
    headers = _grouped([(name.title(), value) for name, value in request.headers.items()])
    query = _grouped(request.query_params.multi_items())
    text, is_base64 = _encoded(body)
    now = datetime.now(UTC)
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": request.method,
        "headers": _last(headers),
        "multiValueHeaders": headers,
        "queryStringParameters": _last(query) or None,
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


def http_answer(answer: Any, request_id: str) -> Response:  # noqa: ANN401 - whatever the function gave
    """The function's answer as HTTP. Raises `MalformedAnswer`."""
    if not isinstance(answer, dict) or not isinstance(answer.get("statusCode"), int):
        raise MalformedAnswer("the answer is not an object with an integer statusCode")
    body = answer.get("body") or ""
    single = answer.get("headers") or {}
    multiple = answer.get("multiValueHeaders") or {}
    if not isinstance(body, str) or not isinstance(single, dict) or not isinstance(multiple, dict):
        raise MalformedAnswer("body is not text, or headers are no object")
    try:
        content = base64.b64decode(body, validate=True) if answer.get("isBase64Encoded") else body.encode()
    except ValueError:
        raise MalformedAnswer("isBase64Encoded is true and body is not base64") from None
    response = Response(content, answer["statusCode"])
    named = {name.lower() for name in multiple}
    for name, value in single.items():
        if name.lower() not in named:
            response.headers[name] = str(value)
    for name, values in multiple.items():
        for value in values:
            response.headers.append(name, str(value))
    if content and "content-type" not in response.headers:
        response.headers["content-type"] = "application/json"  # API Gateway's default
    response.headers["x-amzn-requestid"] = request_id
    return response


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge
    return bytes(body)


class Gateway:
    """The ASGI application over one function pool; `functions` are called by name through Lambda's API."""

    def __init__(self, pool: FunctionPool, functions: Mapping[str, FunctionPool] | None = None) -> None:
        self._pool = pool
        self.app = Starlette(
            routes=[
                Route(READY_PATH, _ready),
                functions_route(functions or {}),
                Route("/{proxy:path}", self._handle, methods=METHODS),
            ]
        )
        self._limiter: CapacityLimiter | None = None

    async def _handle(self, request: Request) -> Response:
        request_id = str(uuid.uuid4())
        started = time.perf_counter()
        response = await self._answer(request, request_id)
        milliseconds = (time.perf_counter() - started) * 1000
        mark = NOTICE if request.method == "POST" else ""
        # The path may be a document's key; the question is in the body and never shown.
        path = request.scope["raw_path"].decode("ascii", "replace")
        print(f"{mark}{request.method} {path} {response.status_code} in {milliseconds:.0f} ms", flush=True)
        return response

    async def _answer(self, request: Request, request_id: str) -> Response:
        try:
            body = await _read_body(request)
        except BodyTooLarge:
            return problem(413, "too-large", "The request is over 10 MB", request_id, connection="close")
        event = proxy_event(request, body, request_id)
        # One more than the pool takes, so that the one too many is told so by the pool.
        self._limiter = self._limiter or CapacityLimiter(self._pool.capacity + 1)
        try:
            # Abandoned when the gateway stops: closing the pool then ends the call in its thread.
            answer = await to_thread.run_sync(
                self._pool.invoke, event, limiter=self._limiter, abandon_on_cancel=True
            )
            return http_answer(answer, request_id)
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


async def _ready(_: Request) -> Response:
    return Response("ready\n")


def _warm(pool: FunctionPool) -> None:
    try:
        pool.warm()
    except FunctionError as error:
        print(f"{ERROR}{error}", flush=True)


def main() -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="HTTP to the query function.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--handler", default="functions.query.handler.handler")
    parser.add_argument("--timeout", type=float, default=130.0, help="seconds for one answer")
    parser.add_argument("--concurrency", type=int, default=2, help="environments of the function")
    parser.add_argument("--reconcile-handler", default="functions.reconcile.handler.handler")
    parser.add_argument("--reconcile-every", type=float, default=0.0, help="seconds; 0 is never")
    options = parser.parse_args()
    spec = FunctionSpec(options.handler, function_environment(), timeout_s=options.timeout)
    # Behind a model that answers one question at a time, a waiting caller may need as long as an answer.
    pool = FunctionPool(spec, options.concurrency, wait_s=options.timeout)
    threading.Thread(target=_warm, args=(pool,), daemon=True).start()
    environment = {**function_environment(), "POWERTOOLS_SERVICE_NAME": RECONCILE_FUNCTION}
    reconcile = FunctionPool(
        FunctionSpec(options.reconcile_handler, environment, timeout_s=RECONCILE_TIMEOUT_S),
        concurrency=1,
        wait_s=RECONCILE_TIMEOUT_S,
    )
    if options.reconcile_every > 0:
        threading.Thread(target=scheduled, args=(reconcile, options.reconcile_every), daemon=True).start()
    app = Gateway(pool, {RECONCILE_FUNCTION: reconcile}).app
    config = uvicorn.Config(app, HOST, options.port, log_level="warning", timeout_graceful_shutdown=1)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run()
    pool.close()
    reconcile.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
