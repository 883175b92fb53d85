"""The console's files and their headers, as the gateways and CloudFront send them."""

from __future__ import annotations

import mimetypes
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

FOLDER = Path(__file__).resolve().parents[1] / "console"
# No inline script and no eval. Fonts and pictures of a PDF are data: and blob: URLs of the page itself. On AWS,
# infra/console.yaml adds the hosts that the page connects to.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; worker-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; font-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # the address contains the request id
    "cross-origin-opener-policy": "same-origin",
}
# A browser checks for a new version each time, so that an update is visible at once.
ASK_AGAIN = "no-cache"


def media_type(path: Path) -> str:
    """Return the media type of a file, in UTF-8 if it is text.

    >>> media_type(Path("vendor/pdf.min.mjs"))
    'text/javascript; charset=utf-8'
    """
    is_script = path.suffix in {".js", ".mjs"}  # missing in some systems' tables
    kind = "text/javascript" if is_script else mimetypes.guess_type(path.name)[0] or "text/plain"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


@cache
def files() -> dict[str, Path]:
    """Return the console's files by their path below the page, without a slash at its start."""
    return {path.relative_to(FOLDER).as_posix(): path for path in sorted(FOLDER.rglob("*")) if path.is_file()}


def console_file(request: Request, connect: str = "") -> Response | None:
    """Return the console's file that the request names, or None. Its pages may also connect to the given hosts."""
    from starlette.responses import Response  # a deployment publishes the files with SAM's packages alone

    name = "index.html" if request.url.path == "/" else request.url.path.removeprefix("/")
    path = files().get(name)
    if request.method not in {"GET", "HEAD"} or path is None:
        return None
    policy = POLICY.replace("connect-src 'self'", f"connect-src 'self' {connect}".rstrip())
    headers = {"cache-control": ASK_AGAIN, "content-type": media_type(path), "content-security-policy": policy}
    return Response(path.read_bytes(), headers=HEADERS | headers)
