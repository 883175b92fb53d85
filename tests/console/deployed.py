"""A deployed console on this machine: the files of a release behind infra/console.yaml's behaviours and headers.

Another port has the bucket's part: it answers pages of the origins that its CORS rule names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from infra.local.names import BUCKET, STORAGE_PATH
from infra.local.ports import free_port
from infra.local.stack import Stack
from infra.release.console import cors_rule, release_files
from tests.console.user_pool import CLIENT, UserPool, serving
from tests.unit.infra.console_stack import headers_of

METHODS = ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"]
# Headers that CloudFront does not forward: those of one connection, or of another host.
_NOT_FORWARDED = {"host", "origin", "connection", "content-length", "transfer-encoding"}
_OF_CONNECTION = {"connection", "transfer-encoding", "content-length", "content-encoding"}


@dataclass
class Deployed:
    """The addresses of the console and of the documents bucket."""

    url: str
    bucket: str


class _Forwarder:
    """Forwards to an address of the stack's gateway."""

    def __init__(self, stack: Stack, bucket: str) -> None:
        self._stack, self._bucket = stack, bucket
        self._client = httpx.AsyncClient(timeout=60, trust_env=False)

    async def forward(self, request: Request, prefix: str = "") -> Response:
        path = request.scope["raw_path"].partition(b"?")[0]
        query = request.scope["query_string"]
        url = httpx.URL(self._stack.gateway).copy_with(
            raw_path=prefix.encode() + path + (b"?" + query if query else b"")
        )
        headers = {name: value for name, value in request.headers.items() if name not in _NOT_FORWARDED}
        sent = self._client.build_request(request.method, url, headers=headers, content=await request.body())
        answer = await self._client.send(sent, stream=True)
        fields = {name: value for name, value in answer.headers.items() if name not in _OF_CONNECTION}
        if answer.headers.get("content-type", "").startswith("application/json"):
            # Replace the gateway's storage address by the bucket's, as on AWS.
            body = await answer.aread()
            await answer.aclose()
            address = f"{self._stack.gateway}{STORAGE_PATH}"
            return Response(body.replace(address.encode(), self._bucket.encode()), answer.status_code, fields)
        return StreamingResponse(
            _pieces(answer), answer.status_code, fields, background=BackgroundTask(answer.aclose)
        )


async def _pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    async for piece in answer.aiter_bytes():
        yield piece


def _console(parameters: dict[str, str], forwarder: _Forwarder, headers: dict[str, str]) -> Starlette:
    """Serve the files, and the API below /v1."""
    files = {f"/{file.key}": file for file in release_files(parameters)}

    async def answer(request: Request) -> Response:
        path = request.url.path
        if path.startswith("/v1/"):
            response = await forwarder.forward(request)
            response.headers.update(headers)
            return response
        file = files.get("/index.html" if path == "/" else path)
        if file is None:
            return Response("<Error><Code>AccessDenied</Code></Error>", 403, headers, "application/xml")
        fields = {**headers, "content-type": file.media_type, "cache-control": file.cache}
        return Response(file.body, headers=fields)

    return Starlette(routes=[Route("/{path:path}", answer, methods=METHODS)])


def _bucket(origin: str, forwarder: _Forwarder) -> Starlette:
    """Serve the documents bucket with the CORS rule of the console's origin."""
    rule = cors_rule(origin)

    async def answer(request: Request) -> Response:
        preflight = request.method == "OPTIONS"
        method = request.headers.get("access-control-request-method", "") if preflight else request.method
        names = request.headers.get("access-control-request-headers", "").replace(" ", "").split(",")
        allowed = request.headers.get("origin") in rule["AllowedOrigins"] and method in rule["AllowedMethods"]
        if preflight:
            if not allowed or not set(filter(None, names)) <= set(rule["AllowedHeaders"]):
                return Response("<Error><Code>AccessForbidden</Code></Error>", 403)
            granted = {"access-control-allow-methods": method, "access-control-allow-headers": ", ".join(names)}
            return Response(headers={**granted, "access-control-allow-origin": origin})
        response = await forwarder.forward(request, STORAGE_PATH)
        if allowed:
            response.headers["access-control-allow-origin"] = origin
            response.headers["access-control-expose-headers"] = ", ".join(rule["ExposeHeaders"])
        return response

    return Starlette(routes=[Route("/{path:path}", answer, methods=METHODS)])


@contextmanager
def deployed_console(stack: Stack, pool: UserPool) -> Iterator[Deployed]:
    """Serve a console in front of the stack during the block. People sign in at the pool."""
    ports: set[int] = set()
    console, bucket = (f"http://127.0.0.1:{free_port(0, ports)}" for _ in range(2))
    headers = headers_of(pool.url)
    host = "https://docwell-documents-111122223333-eu-central-1.s3.eu-central-1.amazonaws.com"
    assert host in headers["content-security-policy"]
    headers["content-security-policy"] = headers["content-security-policy"].replace(host, bucket)
    parameters = {"UserPool": f"arn:pool;{CLIENT};{pool.url}"}
    with (
        serving(_console(parameters, _Forwarder(stack, bucket), headers), int(console.rpartition(":")[2])),
        serving(_bucket(console, _Forwarder(stack, bucket)), int(bucket.rpartition(":")[2])),
    ):
        pool.callback = f"{console}/"
        yield Deployed(console, f"{bucket}/{BUCKET}")
