"""Forward links to documents, and upload forms, from the gateway to the local AWS server.

So the console has one origin. The AWS server checks the signature of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse

from infra.local.names import BUCKET, STORAGE_PATH
from runtime.answers import problem

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

# Without Origin, which names the gateway; the gateway's guard has checked it.
_SENT = ("range", "content-type", "content-length", "if-range")
_RETURNED = ("content-type", "content-length", "content-range", "accept-ranges", "etag", "content-disposition")
# Seconds without progress, so that an upload of any size may take its time.
_TIMEOUT = httpx.Timeout(30.0, connect=2.0)
# An upload comes from anywhere: it must not run as a page of the gateway's origin.
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
