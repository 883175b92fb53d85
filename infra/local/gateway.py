"""The local stack's HTTP side: the runtime's gateway, and the AWS services around it.

``python -m infra.local.gateway --port 8080``

It also serves the console, forwards documents and uploads to the local AWS server, serves the part of Lambda's API
that calls the reconcile function by its name, and runs that function's schedule.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from secrets import token_urlsafe
from tempfile import gettempdir
from typing import TYPE_CHECKING

import httpx
import uvicorn
from anyio import to_thread
from cachetools import TTLCache
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from docwell.access.authorizer import Authorizer
from docwell.deadline import run
from docwell.errors import DocwellError, ModelWaking, Unauthenticated, Unavailable
from docwell.identity import KEY_HEADER, ORIGIN_HEADER
from docwell.wiring import query as wiring
from docwell.wiring import small_functions
from infra.local.aws_access import AccessKey, BadSignature, signed_service
from infra.local.names import BUCKET, ERROR, HOST, NOTICE, RECONCILE_FUNCTION, STORAGE_PATH, WARNING
from infra.local.stack import MEASURE_S, WAKE_S
from runtime import gateway
from runtime.answers import problem
from runtime.console_page import console_file
from runtime.emf import print_line
from runtime.functions import (
    FunctionBusy,
    FunctionError,
    FunctionPool,
    FunctionRaised,
    FunctionSpec,
    function_environment,
)
from runtime.guard import Guarded
from runtime.http_server import config_of
from runtime.process import end_with_any_thread

if TYPE_CHECKING:
    from starlette.requests import Request

# As in template.yaml. The cost of an answer grows with the memory.
QUERY_MEMORY_MB = 1769
RECONCILE_TIMEOUT_S = 900.0


class Gateway(gateway.Gateway):
    """The runtime's gateway with the console, the storage, and the functions that Lambda's API calls by name."""

    def __init__(
        self,
        pool: FunctionPool,
        functions: Mapping[str, FunctionPool] | None = None,
        authorizer: Authorizer | None = None,
        key: AccessKey | None = None,
        storage: Storage | None = None,
    ) -> None:
        """Calls of Lambda's API need a signature with `key`. None accepts every call."""
        super().__init__(pool, authorizer, [functions_route(functions or {}, key)])
        self._storage = storage
        self._codes: TTLCache[str, str] = TTLCache(maxsize=100, ttl=60.0)  # of `docwell open`

    async def outside_api(self, request: Request, request_id: str) -> Response | None:
        """Return a file of the console, or the storage's answer."""
        if request.url.path == "/-/code" and request.method == "POST":
            return await self._exchange(request, request_id)
        response = console_file(request)
        if response is None and self._storage and is_storage(request):
            return await self._storage.forward(request, request_id)
        return response

    async def _exchange(self, request: Request, request_id: str) -> Response:
        """Return the key for a code, which is valid once; without one, a code for the key of the request."""
        if code := request.headers.get("x-docwell-code"):
            if key := self._codes.pop(code, None):
                return JSONResponse({"key": key})
            return problem(404, "not-found", "The code is used or too old", "run `docwell open` again", request_id)
        try:
            await to_thread.run_sync(self._caller, request)
        except (Unauthenticated, Unavailable) as error:
            return problem(error.status, error.problem, error.title, error.detail, request_id)
        code = token_urlsafe(24)
        self._codes[code] = request.headers.get(KEY_HEADER, "")
        return JSONResponse({"code": code})

    def added_headers(self, request: Request) -> dict[str, str]:
        """Return the header with the console's address, to which answers in other programs link."""
        return {ORIGIN_HEADER: f"{request.url.scheme}://{request.url.netloc}"}


def functions_route(functions: Mapping[str, FunctionPool], key: AccessKey | None) -> Route:
    """Return the route of Lambda's API that calls a function by its name."""

    async def invoke(request: Request) -> Response:
        name = request.path_params["name"]
        body = await request.body()
        if key and not _is_signed(request, body, key):
            return _refused(403, "AccessDeniedException", "The request is not signed with the stack's keys")
        if name not in functions:
            return _refused(404, "ResourceNotFoundException", f"Function not found: {name}")
        try:
            event = json.loads(body or b"{}")
        except ValueError:
            return _refused(400, "InvalidRequestContentException", "The event is not JSON")
        try:
            answer = await to_thread.run_sync(functions[name].invoke, event, abandon_on_cancel=True)
        except FunctionBusy as busy:
            return _refused(429, "TooManyRequestsException", str(busy))
        except FunctionError as error:
            return _failed(error)
        return _of_lambda(200, answer)

    return Route("/2015-03-31/functions/{name}/invocations", invoke, methods=["POST"])


def _is_signed(request: Request, body: bytes, key: AccessKey) -> bool:
    try:
        return signed_service(request, body, key) == "lambda"
    except BadSignature:
        return False


def _of_lambda(status: int, body: object, **headers: str) -> Response:
    marks = {name.replace("_", "-"): value for name, value in headers.items()}
    request_id = {"x-amzn-requestid": str(uuid.uuid4())}
    return Response(json.dumps(body), status, {**request_id, **marks}, "application/json")


def _refused(status: int, kind: str, message: str) -> Response:
    return _of_lambda(status, {"Type": "User", "Message": message}, x_amzn_errortype=kind)


def _failed(error: FunctionError) -> Response:
    """Return the error as Lambda does: status 200 with a header that marks it."""
    kind = error.type if isinstance(error, FunctionRaised) else type(error).__name__
    message = str(error).removeprefix(f"{kind}: ")
    return _of_lambda(200, {"errorType": kind, "errorMessage": message}, x_amz_function_error="Unhandled")


def scheduled(pool: FunctionPool, every_s: float) -> None:
    """Call the reconcile function every `every_s` seconds, as EventBridge would. Run it in a daemon thread."""
    while True:
        time.sleep(every_s)
        try:
            pool.invoke({"action": "reconcile"})
        except FunctionBusy:
            continue  # skip: a user's call is running
        except FunctionError as error:
            print_line(f"{ERROR}reconcile: {error}")


# Do not forward Origin: it names the gateway, whose guard has already checked it.
_SENT = ("range", "content-type", "content-length", "if-range")
_RETURNED = ("content-type", "content-length", "content-range", "accept-ranges", "etag", "content-disposition")
# Seconds without progress, not in all: an upload may be of any size.
_TIMEOUT = httpx.Timeout(30.0, connect=2.0)
# An upload may come from anyone: it must not run as a page of the gateway's origin.
_HEADERS = {"x-content-type-options": "nosniff", "content-security-policy": "sandbox; default-src 'none'"}


def is_storage(request: Request) -> bool:
    """Return whether the request is for the local AWS server: a read of a document, or a form for the bucket."""
    path: str = request.scope["raw_path"].decode("ascii", "replace").partition("?")[0]
    if request.method == "POST":
        return path == f"{STORAGE_PATH}/{BUCKET}"
    return request.method in {"GET", "HEAD"} and path.startswith(f"{STORAGE_PATH}/{BUCKET}/")


class Storage:
    """Forwards to the AWS server at `endpoint`."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = httpx.URL(endpoint)
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False)

    async def forward(self, request: Request, request_id: str) -> Response:
        """Return the AWS server's answer, or a 503 problem if there is none."""
        path = request.scope["raw_path"].partition(b"?")[0].removeprefix(STORAGE_PATH.encode())
        query = request.scope["query_string"]
        target = self._endpoint.copy_with(raw_path=path + (b"?" + query if query else b""))
        headers = {name: value for name in _SENT if (value := request.headers.get(name))}
        content = request.stream() if request.method == "POST" else None
        try:
            sent = self._client.build_request(request.method, target, headers=headers, content=content)
            answer = await self._client.send(sent, stream=True)
        except httpx.HTTPError:
            detail = "try again, or restart the stack with `make up`"
            return problem(503, "dependency-unavailable", "The storage does not answer", detail, request_id)
        returned = {name: value for name in _RETURNED if (value := answer.headers.get(name))}
        return StreamingResponse(
            answer.aiter_raw(),
            answer.status_code,
            {**returned, **_HEADERS},
            background=BackgroundTask(answer.aclose),
        )


def set_passage_tokens(first_token_s: float, stored: Path) -> None:
    """Set DOCWELL_PASSAGE_TOKENS to what the model reads in so many seconds, unless it reads all passages.

    The file `stored` has the value for a gateway that starts again.
    """
    settings, turns, ends = wiring.query_settings(), wiring.prompt().turns, time.monotonic() + WAKE_S
    while not stored.exists():
        try:
            speed, room = run(wiring.model().measure(turns, first_token_s, settings.top_k, MEASURE_S))
        except DocwellError as error:
            if isinstance(error, ModelWaking) and time.monotonic() < ends:  # `up --sleep`
                time.sleep(1)
                continue
            print_line(f"{WARNING}{settings.model} gets all passages, its speed cannot be measured: {error}")
            return
        stored.write_text(str(room or ""))
        print_line(
            f"{NOTICE}{settings.model} reads {speed:,.0f} tokens/s; tokens of passages in prompts: {room or 'all'}"
            f" (DOCWELL_FIRST_TOKEN_S={first_token_s:g})"
        )
    os.environ["DOCWELL_PASSAGE_TOKENS"] = stored.read_text()


def main() -> int:
    """Serve until SIGTERM."""
    threading.excepthook = end_with_any_thread
    parser = argparse.ArgumentParser(description="HTTP to the query function.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--stack", default="")
    parser.add_argument("--handler", default="functions.query.handler.handler")
    parser.add_argument("--timeout", type=float, default=130.0, help="seconds for one answer")
    parser.add_argument("--waiting", type=int, default=16, help="callers that may wait")
    parser.add_argument("--first-token", type=float, default=0.0, help="seconds to read a prompt; 0: any")
    parser.add_argument("--reconcile-handler", default="functions.reconcile.handler.handler")
    parser.add_argument("--reconcile-every", type=float, default=0.0, help="seconds; 0 is never")
    options = parser.parse_args()
    if options.first_token and not os.environ.get("DOCWELL_PASSAGE_TOKENS"):
        # The parts of a stack share a temporary folder, which ends with it.
        set_passage_tokens(options.first_token, Path(gettempdir(), f"passages-{options.stack}"))
    environment = function_environment()
    spec = FunctionSpec(options.handler, environment, timeout_s=options.timeout, memory_mb=QUERY_MEMORY_MB)
    # The model answers one question at a time, so a caller may wait as long as an answer takes.
    pool = FunctionPool(spec, max_waiting=options.waiting, wait_s=options.timeout, publishes=True)
    threading.Thread(target=pool.warm, daemon=True).start()
    environment = {**environment, "POWERTOOLS_SERVICE_NAME": "reconcile"}
    reconcile = FunctionPool(
        FunctionSpec(options.reconcile_handler, environment, timeout_s=RECONCILE_TIMEOUT_S),
        concurrency=1,
        wait_s=RECONCILE_TIMEOUT_S,
        publishes=True,
    )
    if options.reconcile_every > 0:
        threading.Thread(target=scheduled, args=(reconcile, options.reconcile_every), daemon=True).start()
    key = AccessKey(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    storage = Storage(os.environ["AWS_ENDPOINT_URL"])
    api = Gateway(pool, {RECONCILE_FUNCTION: reconcile}, small_functions.authorizer(), key, storage)
    guarded = Guarded(api.app, options.stack)
    config = config_of(guarded, host=HOST, port=options.port, log_level="warning", timeout_graceful_shutdown=1)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run()
    pool.close()
    reconcile.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
