"""Refuse requests of web pages to a port of this machine: a foreign Host (DNS rebinding) or Origin."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import Response

from docwell.errors import DocwellError, Forbidden

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

_LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}
# Every part answers here with its stack's id, because another stack's part may listen on the same port.
READY_PATH = "/-/ready"
STATUS = Forbidden.status


def refusal(hosts: Sequence[str], origins: Sequence[str]) -> str | None:
    """Return the reason to refuse a request with these Host and Origin headers, or None."""
    host = hosts[0].lower() if len(hosts) == 1 else ""
    # After DNS rebinding a page sends its own name as Host. Ignore the port: it may be a proxy's.
    if re.sub(r":\d+$", "", host) not in _LOOPBACK:
        return "The Host header must be 127.0.0.1, localhost or [::1]"
    if any(origin.lower() != f"http://{host}" for origin in origins):
        return "Pages of other origins have no access: open a page of this address"
    return None


def problem_body(detail: str, error: type[DocwellError] = Forbidden) -> bytes:
    """Return the problem document (RFC 9457) of a refused request."""
    kind = {"type": f"urn:docwell:problem:{error.problem}", "title": error.title, "status": error.status}
    return json.dumps({**kind, "detail": detail}).encode()


class Guarded:
    """An ASGI application behind `refusal`. It also answers `READY_PATH` with the id of the stack."""

    def __init__(self, app: ASGIApp, stack: str) -> None:
        self._app = app
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        app = self._app
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            reason = refusal(headers.getlist("host"), headers.getlist("origin"))
            if reason:
                app = Response(problem_body(reason), STATUS, media_type="application/problem+json")
            elif scope["path"] == READY_PATH:
                app = Response(self._stack)
        await app(scope, receive, send)
