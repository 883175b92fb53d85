"""Refuse requests to a port of this machine from web pages (a foreign Host or Origin), and without its token."""

from __future__ import annotations

import hmac
import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from docwell.errors import DocwellError, Forbidden, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

_LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}
# Every part answers here with its stack's id, because another stack's part may listen on the same port.
READY_PATH = "/-/ready"


def refused(headers: Headers, path: str, token: str) -> Response | None:
    """Return the answer to a request that is refused, or None. Without a `token`, the port asks for none."""
    if reason := _foreign(headers.getlist("host"), headers.getlist("origin")):
        return _problem(reason, Forbidden)
    authorization = headers.get("authorization", "").encode()
    if token and path != READY_PATH and not hmac.compare_digest(authorization, f"Bearer {token}".encode()):
        return _problem("Send the token of this stack as a Bearer token", Unauthenticated)
    return None


def _foreign(hosts: Sequence[str], origins: Sequence[str]) -> str | None:
    host = hosts[0].lower() if len(hosts) == 1 else ""
    # After DNS rebinding a page sends its own name as Host. Ignore the port: it may be a proxy's.
    if re.sub(r":\d+$", "", host) not in _LOOPBACK:
        return "The Host header must be 127.0.0.1, localhost or [::1]"
    if any(origin.lower() != f"http://{host}" for origin in origins):
        return "Pages of other origins have no access: open a page of this address"
    return None


def _problem(detail: str, error: type[DocwellError]) -> Response:
    kind = {"type": f"urn:docwell:problem:{error.problem}", "title": error.title, "status": error.status}
    return Response(json.dumps({**kind, "detail": detail}), error.status, media_type="application/problem+json")


class Guarded:
    """An ASGI application behind `refused`. It also answers `READY_PATH` with the id of the stack."""

    def __init__(self, app: ASGIApp, stack: str, token: str = "") -> None:
        self._app = app
        self._stack = stack
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        app = self._app
        if scope["type"] == "http":
            if answer := refused(Headers(scope=scope), scope["path"], self._token):
                app = answer
            elif scope["path"] == READY_PATH:
                app = Response(self._stack)
        with suppress(ClientDisconnect):  # a client that leaves is no error, and writes no traceback to the log
            await app(scope, receive, send)
