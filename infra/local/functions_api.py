"""Lambda's API for synchronous calls, and the schedule of the reconcile function."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from anyio import to_thread
from starlette.responses import Response
from starlette.routing import Route

from infra.local.names import ERROR
from infra.local.signatures import BadSignature, SignedRequest, signed_service
from runtime.emf import print_line
from runtime.functions import FunctionBusy, FunctionError, FunctionPool, FunctionRaised

if TYPE_CHECKING:
    from starlette.requests import Request

PATH = "/2015-03-31/functions/{name}/invocations"


def functions_route(functions: Mapping[str, FunctionPool], keys: tuple[str, str] | None) -> Route:
    """Return the route that calls a function by its name, with a request that is signed with `keys`."""

    async def invoke(request: Request) -> Response:
        headers = {"x-amzn-requestid": str(uuid.uuid4())}
        name = request.path_params["name"]
        body = await request.body()
        if keys and not _is_signed(request, body, keys):
            return _refused(
                403, "AccessDeniedException", "The request is not signed with the stack's keys", headers
            )
        if name not in functions:
            return _refused(404, "ResourceNotFoundException", f"Function not found: {name}", headers)
        try:
            event = json.loads(body or b"{}")
        except ValueError:
            return _refused(400, "InvalidRequestContentException", "The event is not JSON", headers)
        try:
            answer = await to_thread.run_sync(functions[name].invoke, event, abandon_on_cancel=True)
        except FunctionBusy as busy:
            return _refused(429, "TooManyRequestsException", str(busy), headers)
        except FunctionError as error:
            return _failed(error, headers)
        return Response(json.dumps(answer), 200, headers, "application/json")

    return Route(PATH, invoke, methods=["POST"])


def _is_signed(request: Request, body: bytes, keys: tuple[str, str]) -> bool:
    path = request.scope["raw_path"].decode("ascii", "replace").partition("?")[0]
    signed = SignedRequest(request.method, path, request.url.query, request.headers, lambda: body)
    try:
        return signed_service(signed, *keys) == "lambda"
    except BadSignature:
        return False


def scheduled(pool: FunctionPool, every_s: float) -> None:
    """Call the function every `every_s` seconds, as EventBridge would. Run it in a daemon thread."""
    while True:
        time.sleep(every_s)
        try:
            pool.invoke({"action": "reconcile"})
        except FunctionBusy:
            continue  # a user's call is running
        except FunctionError as error:
            print_line(f"{ERROR}reconcile: {error}")


def _refused(status: int, kind: str, message: str, headers: Mapping[str, str]) -> Response:
    body = json.dumps({"Type": "User", "Message": message})
    return Response(body, status, {**headers, "x-amzn-errortype": kind}, "application/json")


def _failed(error: FunctionError, headers: Mapping[str, str]) -> Response:
    """Return the error as Lambda does: status 200 with a header that marks it."""
    kind = error.type if isinstance(error, FunctionRaised) else type(error).__name__
    message = str(error).removeprefix(f"{kind}: ")
    body = json.dumps({"errorType": kind, "errorMessage": message})
    return Response(body, 200, {**headers, "x-amz-function-error": "Unhandled"}, "application/json")
