"""Serve the console's files, with headers that forbid every script and address but its own."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from starlette.responses import Response

from infra.console_page import ASK_AGAIN, HEADERS, files, media_type

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request


@cache
def _files() -> dict[str, Path]:
    """Return each file by the path of its request. Other paths are not served."""
    return {f"/{name}": path for name, path in files().items()}


def console_file(request: Request) -> Response | None:
    """Return the file that the request names, None where the console has none."""
    path = _files().get("/index.html" if request.url.path == "/" else request.url.path)
    if request.method not in {"GET", "HEAD"} or path is None:
        return None
    headers = {**HEADERS, "cache-control": ASK_AGAIN, "content-type": media_type(path)}
    return Response(path.read_bytes(), headers=headers)
