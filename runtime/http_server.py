"""HTTP servers with limits for connections; and one in a thread, so that the main thread waits for signals."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# The time for closing sockets after the grace period.
_END_S = 2.0
# Longer than proxies keep an idle connection (60 s in ingress-nginx and ALB). They may send a question just as it
# closes, and do not retry.
_KEEP_ALIVE_S = 75
# The time to send a request's head, of h11's 64 KB at most: slow clients must not hold connections and memory.
HEAD_S = 10.0
# The time between two pieces of a body. Longer than a gateway takes for a whole body, which it ends with a 408.
PAUSE_S = 35.0
# Enough for a load balancer, which connects for all of its clients.
MAX_BY_ADDRESS = 256
_open = Counter[str]()  # connections by the client's network
_NETWORK_BITS = 64  # of an IPv6 address: a client can have any number of the rest


class _Connection(H11Protocol):
    """A connection that ends if it is the client's `MAX_BY_ADDRESS` + 1st, or its request is late."""

    late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        super().connection_made(transport)
        self.network = network_of(self.client[0]) if self.client else ""
        _open[self.network] += 1
        if _open[self.network] > MAX_BY_ADDRESS:
            transport.abort()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        _open[self.network] -= 1
        if not _open[self.network]:
            _open.pop(self.network)
        self._watch(waits=False)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch(waits=self.conn.their_state is h11.IDLE)
        if self.conn.their_state is h11.SEND_BODY:
            self._watch_body()

    def _watch_body(self, *, late: bool = False) -> None:
        # The application may not have read a body yet, or not have asked for it.
        if late and not (self.flow.read_paused or self.conn.they_are_waiting_for_100_continue):
            self.transport.close()
        else:
            self.late = self.loop.call_later(PAUSE_S, lambda: self._watch_body(late=True))

    def _watch(self, *, waits: bool = True) -> None:
        if waits and self.late is None:
            self.late = self.loop.call_later(HEAD_S, self.transport.close)
        elif not waits and self.late is not None:
            self.late.cancel()
            self.late = None

    def _should_upgrade(self) -> bool:
        return False  # a request for a WebSocket is a plain request


def network_of(address: str) -> str:
    """Return the network that one client has: an IPv4 address, or the first 64 bits of an IPv6 address."""
    if ":" not in address:
        return address
    number = IPv6Address(address.partition("%")[0])
    return str(number.ipv4_mapped or IPv6Address(int(number) >> _NETWORK_BITS << _NETWORK_BITS))


def config_of(app: ASGIApp, **settings: Any) -> uvicorn.Config:
    """Return uvicorn's configuration of a server with these limits, and no log of requests."""
    return uvicorn.Config(app, http=_Connection, ws="none", access_log=False, **settings)


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
        config = config_of(app, log_level="warning", timeout_keep_alive=_KEEP_ALIVE_S)
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
