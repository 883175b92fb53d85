"""A small HTTP server that answers like docwell."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.unit.cases import rows

BUCKET = "documents"
ANSWER, HIT = rows(__file__, "api_answers")


class FakeApi:
    """Answers like docwell. Each request takes the next of `documents[key]`; the last one stays."""

    def __init__(self) -> None:
        self.documents: dict[str, list[dict[str, Any]]] = {}
        self.pages: list[dict[str, Any]] = []
        self.refusals: list[tuple[int, dict[str, str]]] = []  # status and headers; each answers one request
        self.answer: tuple[int, dict[str, Any]] = (200, ANSWER)
        self.receipts: tuple[int, dict[str, Any]] = (200, {})
        # Pieces of server-sent events, for questions that ask for a stream.
        self.stream: Iterable[bytes] | None = None
        self.requests: list[tuple[str, str, Any, str | None]] = []
        self.others: dict[str, dict[str, Any] | str] = {}  # JSON or HTML by path
        self.endpoint = ""
        self.on_document: Callable[[str], None] = lambda _: None

    def respond(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        parts = urlsplit(path)
        if parts.path == "/v1/health":
            return 200, {"status": "ok"}
        if method == "POST" and parts.path in {"/v1/query", "/v1/search"}:
            return self.answer
        if method == "POST" and (parts.path.startswith("/v1/receipts/") or parts.path == "/v1/feedback"):
            return self.receipts
        if parts.path == "/v1/documents":
            return 200, self._page({name: values[0] for name, values in parse_qs(parts.query).items()})
        if parts.path.startswith("/v1/documents/") and "/" not in parts.path.removeprefix("/v1/documents/"):
            key = unquote(parts.path.removeprefix("/v1/documents/"))
            self.on_document(key)
            records = self.documents.get(key)
            if records:
                return 200, records.pop(0) if len(records) > 1 else records[0]
        problem = {"type": "not-found", "title": "Not found", "status": 404, "detail": "unknown"}
        return 404, problem

    def _page(self, params: dict[str, str]) -> dict[str, Any]:
        if self.pages:
            return self.pages[int(params.get("cursor", "0"))]
        records = [records[-1] for records in self.documents.values()]
        return {"documents": [record for record in records if params.get("status") in {None, record["status"]}]}


@contextmanager
def serving(api: FakeApi) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            api.requests.append((self.command, self.path, body, self.headers.get("x-api-key")))
            if api.stream is not None and body and body.get("stream"):
                self._stream(api.stream)
                return
            fixed = api.others.get(self.path)
            status, content = (200, fixed) if fixed else api.respond(self.command, self.path)
            headers: dict[str, str] = {}
            if api.refusals and self.path.startswith("/v1/documents"):
                (status, headers), content = api.refusals.pop(0), {"message": "Too Many Requests"}
            payload = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-type", "text/html" if isinstance(content, str) else "application/json")
            self.send_header("content-length", str(len(payload)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        def _stream(self, pieces: Iterable[bytes]) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            with suppress(OSError):  # the client may disconnect
                for piece in pieces:
                    self.wfile.write(piece)

        do_GET = do_POST = _answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    api.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
