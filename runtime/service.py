"""One process of the runtime: it runs its function's processes and its health port, and stops both."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from runtime.emf import print_line
from runtime.functions import FunctionPool, FunctionSpec
from runtime.guard import Guarded
from runtime.http_server import HttpServer
from runtime.log import log
from runtime.metrics import Exporter, first_series
from runtime.names import LOOPBACK
from runtime.settings import ServiceSettings, processors

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

# The pause before the next start of a function that cannot start.
_START_AGAIN_S = 5.0
# The time after the grace period for returning messages and closing ports.
END_S = 5.0


def function_spec(
    service: str, handler: str, timeout_s: float, processes: int = 1, on_line: Callable[[str], None] = print_line
) -> FunctionSpec:
    """Return the function that a command runs, with all variables of this process.

    The processes share the processors: more threads than processors only wait for each other.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # the spec adds to it
    defaults = {
        "POWERTOOLS_SERVICE_NAME": service,
        "POWERTOOLS_METRICS_NAMESPACE": "Docwell",
        "POWERTOOLS_TRACE_DISABLED": "true",  # no X-Ray daemon
        "DOCWELL_EMBED_THREADS": str(max(1, int(processors() / processes))),
    }
    # Treat an empty variable as unset, as `docwell.config` does.
    environment = inherited | {name: value for name, value in defaults.items() if not inherited.get(name)}
    return FunctionSpec(handler, environment, timeout_s=timeout_s, memory_mb=None, on_line=on_line)


def health_app(exporter: Exporter, ready: Callable[[], bool]) -> Starlette:
    """Return the application of the health port.

    `/healthz` answers while the process runs, which a failed thread ends. `/readyz` answers 503 until the process
    can work, and again after SIGTERM.
    """

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        return PlainTextResponse("ready\n") if ready() else PlainTextResponse("not ready\n", 503)

    async def metrics(_request: Request) -> Response:
        exporter.scraped.set()
        return Response(generate_latest(exporter.registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)])


def guarded(app: ASGIApp, host: str) -> ASGIApp:
    """Return the application; on a port that only this machine reaches, behind the guard against web pages."""
    return Guarded(app, "") if host in LOOPBACK else app


@dataclass
class Service:
    """A command that runs until SIGTERM. `labels` are those of the metrics that it exports from its start."""

    settings: ServiceSettings
    labels: dict[str, str]
    stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.exporter = Exporter(first_series(self.labels))

    def on_line(self, line: str) -> None:
        """Print a line of output, and count its metrics."""
        print_line(line)
        self.exporter.read(line)

    def start(self, pool: FunctionPool, begin: Callable[[], None]) -> None:
        """Start one process of the function in the background, again until it is ready, then call `begin`."""

        def start() -> None:
            while not self.stopping.is_set():
                if pool.warm():
                    begin()
                    return
                self.stopping.wait(_START_AGAIN_S)

        threading.Thread(target=start, daemon=True).start()

    def run(self, ready: Callable[[], bool], stop: Callable[[float], None]) -> int:
        """Serve the health port, if any, until SIGTERM or SIGINT, then call `stop` with its deadline.

        The deadline is on the monotonic clock.

        Return the exit status. Raises `OSError` for a port that is taken.
        """
        app = guarded(
            health_app(self.exporter, lambda: ready() and not self.stopping.is_set()), self.settings.host
        )
        port = self.settings.health_port
        health = HttpServer(app, self.settings.host, port) if port else None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopping.set())
        if health:
            health.start()
        self.stopping.wait()
        log("INFO", "stopping")
        stop(time.monotonic() + self.settings.grace_s)
        if health:
            health.stop()
        return 0
