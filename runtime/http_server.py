"""An HTTP server in a thread, so that the main thread waits for signals."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# The time for closing sockets after the grace period.
_END_S = 2.0
# Longer than proxies keep an idle connection (60 s in ingress-nginx and ALB). They may send a question just as it
# closes, and do not retry.
_KEEP_ALIVE_S = 75


class HttpServer:
    """Serves an ASGI application from `start` until `stop`."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        """Listen on the port; 0 means any free one. An empty host means all IPv4 addresses. Raises `OSError`."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._listener = socket.create_server(
                (host, port), family=family, dualstack_ipv6=family is socket.AF_INET6
            )
        except OSError as error:
            raise OSError(f"cannot listen on port {port} of {host or 'any address'}: {error}") from error
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_keep_alive=_KEEP_ALIVE_S)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],), daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._listener.getsockname()[1])

    def start(self) -> None:
        """Start to answer."""
        self._thread.start()

    def stop(self, grace_s: float = 1.0) -> None:
        """Stop accepting. Wait up to `grace_s` seconds for answers in progress, then cut them off."""
        self._server.config.timeout_graceful_shutdown = max(1, round(grace_s))
        self._server.should_exit = True
        self._thread.join(grace_s + _END_S)
        self._listener.close()
