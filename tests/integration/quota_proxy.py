"""A proxy before a real Chroma server that refuses the same requests as the hosted one, with similar answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import httpx

TOKEN, TENANT, DATABASE = "ck-token", "docwell-tenant", "docwell-database"
_RECORDS, _METADATA, _KEYS, _TEXT, _PATTERN, _PREDICATES = 300, 4096, 32, 16_384, 130, 8
_PATHS = (f"/api/v2/tenants/{TENANT}/databases/{DATABASE}/", "/api/v2/pre-flight-checks")
# The proxy uses this name, so that a test can tell its URL from a server's.
_HOST = "localhost"


def is_hosted(url: str) -> bool:
    """Return whether the URL is a proxy's."""
    return httpx.URL(url).host == _HOST


class QuotaProxy(BaseHTTPRequestHandler):
    """Passes on one tenant's requests that have the token and keep the quotas."""

    protocol_version = "HTTP/1.1"
    server_url: ClassVar[str]
    client: ClassVar[httpx.Client]

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        message = self._over_quota(json.loads(content)) if content else ""
        if self.headers.get("x-chroma-token") != TOKEN:
            self._send(401, {"error": "AuthError", "message": "Unauthorized"})
        elif not self.path.startswith(_PATHS):
            self._send(403, {"error": "AuthError", "message": "Forbidden"})
        elif message:
            self._send(422, {"error": "ChromaError", "message": f"Quota exceeded: {message}"})
        else:
            given = self.client.request(
                self.command,
                f"{self.server_url}{self.path}",
                content=content,
                headers={"content-type": "application/json"},
            )
            self._send(given.status_code, given.content)

    def _over_quota(self, body: dict[str, Any]) -> str:
        """Return the message of the first quota that a request's body exceeds."""
        action = self.path.rpartition("/")[2].capitalize()
        for usage, used, limit in _uses(action, body):
            if used > limit:
                return (
                    f"'{usage}' exceeded quota limit for action '{action}': "
                    f"current usage of {used} exceeds limit of {limit}"
                )
        return ""

    def _send(self, status: int, body: Any) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


def _uses(action: str, body: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Yield (name of the quota, use, limit) for a request."""
    yield "Number of records", len(body.get("ids") or ()), _RECORDS
    if action == "Get":
        # The service silently caps an answer without a limit: a caller must set a limit, or name the ids.
        yield "Limit value", body["limit"] or (0 if body.get("ids") else _RECORDS + 1), _RECORDS
    yield "Number of results", body.get("n_results", 0), _RECORDS
    for fields in filter(None, body.get("metadatas") or ()):
        yield "Number of metadata dictionary keys", len(fields), _KEYS
        longest = max(len(str(value).encode()) for value in fields.values())
        yield "Size of metadata dictionary value (bytes)", longest, _METADATA
    for text in filter(None, body.get("documents") or ()):
        yield "Document size (bytes)", len(text.encode()), _TEXT
    for pattern in _values(body.get("where_document"), "$regex"):
        yield "Length of regex pattern", len(pattern.encode()), _PATTERN
    yield "Number of where clause predicates", len(list(_values(body.get("where"), None))), _PREDICATES


def _values(condition: Any, operator: str | None) -> Iterator[Any]:
    """Yield the values of a condition, all or those of one operator."""
    for name, value in (condition or {}).items():
        if name in ("$and", "$or"):
            for part in value:
                yield from _values(part, operator)
        elif operator in (None, name):
            yield value


@contextmanager
def quota_proxy(server_url: str) -> Iterator[str]:
    """Create the tenant and its database, and yield the URL of a proxy before the server."""
    for path, name in (("", TENANT), (f"/{TENANT}/databases", DATABASE)):
        made = httpx.post(f"{server_url}/api/v2/tenants{path}", json={"name": name})
        assert made.status_code in (200, 409), made.text
    with httpx.Client(timeout=60) as client, ThreadingHTTPServer((_HOST, 0), QuotaProxy) as proxy:
        QuotaProxy.server_url, QuotaProxy.client = server_url, client
        Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"http://{_HOST}:{proxy.server_address[1]}"
        proxy.shutdown()
