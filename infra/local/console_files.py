"""Serve the console's files, with headers that forbid every script and address but its own."""

from __future__ import annotations

import mimetypes
from functools import cache
from typing import TYPE_CHECKING

from starlette.responses import Response

from infra.local.names import ROOT

if TYPE_CHECKING:
    from starlette.requests import Request

FOLDER = ROOT / "console"
# No inline script and no eval. Fonts and pictures of a PDF are data: and blob: of the page itself.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; worker-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; font-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # the address holds the request's id
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",  # a browser asks again, and an update is seen at once
}


@cache
def _paths() -> dict[str, str]:
    """Return the media type of each file by its path. Other paths are not served."""
    files = (file for file in FOLDER.rglob("*") if file.is_file())
    types = {f"/{file.relative_to(FOLDER).as_posix()}": mimetypes.guess_type(file.name)[0] for file in files}
    found = {path: type_ or "text/plain" for path, type_ in types.items()}
    scripts = dict.fromkeys((path for path in found if path.endswith((".js", ".mjs"))), "text/javascript")
    return found | scripts


def console_file(request: Request) -> Response | None:
    """Return the file that the request names, None where the console has none."""
    path = "/index.html" if request.url.path == "/" else request.url.path
    if request.method not in {"GET", "HEAD"} or path not in _paths():
        return None
    return Response((FOLDER / path[1:]).read_bytes(), headers=HEADERS, media_type=_paths()[path])
