"""A real HTTP receiver of webhooks."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

OK = 204


@dataclass
class Request:
    """A request as it arrived."""

    headers: dict[str, str]
    body: bytes
    status: int


class Receiver:
    """Answers with `statuses` in turn, then with success. With `endless`, its answer never ends."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.statuses: list[int] = []
        self.endless = False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                status = receiver.statuses.pop(0) if receiver.statuses else OK
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers["content-length"]))
                receiver.requests.append(Request(headers, body, status))
                self.send_response(200 if receiver.endless else status)
                if status == 301:
                    self.send_header("Location", receiver.url)
                self.end_headers()
                with suppress(OSError):
                    while receiver.endless:
                        self.wfile.write(b"x" * 65_536)

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The receiver's address."""
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    @property
    def got(self) -> list[tuple[str, str]]:
        """The type and the document of each received event."""
        bodies = [json.loads(request.body) for request in self.requests if request.status == OK]
        return [(body["type"], body["data"]["document"]) for body in bodies]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
