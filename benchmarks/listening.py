"""An HTTP server on the loopback interface for stand-ins that misbehave on purpose."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from infra.local.names import HOST

Handle = Callable[[BaseHTTPRequestHandler], None]


def listen(port: int, handle: Handle) -> ThreadingHTTPServer:
    """Serve in threads until it is shut down: each request goes to `handle`. Port 0 is any free one."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            handle(self)

        do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - the base class's names

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = _Server((HOST, port), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


class _Server(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """A broken connection is what this server is for."""
