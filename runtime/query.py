"""``python -m runtime query``: HTTP to the query function."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from docwell.config import QuerySettings
from docwell.identity import ORIGIN_HEADER
from docwell.wiring import small_functions
from runtime.console_page import console_file
from runtime.functions import FunctionPool
from runtime.gateway import Gateway
from runtime.http_server import HttpServer
from runtime.log import log
from runtime.service import Service, function_spec, guarded
from runtime.settings import ServerSettings

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

# The function answers within its deadline; the rest is for charging and logging the answer.
_MARGIN_S = 10.0
# A load balancer still sends requests for some seconds after readiness is false. At most half of the grace period.
LAG_S = 5.0


class ConsoleGateway(Gateway):
    """The gateway with the console at `/`, if its pages have hosts to connect to."""

    connect: str | None = None

    async def outside_api(self, request: Request, _request_id: str) -> Response | None:
        """Return a file of the console."""
        return console_file(request, self.connect) if self.connect else None

    def added_headers(self, request: Request) -> dict[str, str]:
        """Return the header with the console's address, to which answers in other programs link."""
        scheme = request.headers.get("x-forwarded-proto", request.url.scheme)
        return {ORIGIN_HEADER: f"{scheme}://{request.url.netloc}" if self.connect else ""}


def run(handler: str) -> int:
    """Run until SIGTERM. Raises `SettingsError`, `OSError`."""
    settings, limits = ServerSettings.read(), QuerySettings.read()
    timeout_s = limits.deadline_s + limits.wake_s + _MARGIN_S
    labels = {"service": "query", "function": "docwell-query", "gen_ai_request_model": limits.model}
    service, started = Service(settings, labels), threading.Event()
    spec = function_spec("query", handler, timeout_s, settings.processes, service.on_line)
    pool = FunctionPool(
        spec, concurrency=settings.processes, max_waiting=settings.waiting, wait_s=timeout_s, publishes=True
    )
    gateway = ConsoleGateway(pool, small_functions.authorizer(), on_metrics=service.on_line)
    gateway.connect = settings.console_connect
    api = HttpServer(guarded(gateway.app, settings.host), settings.host, settings.port)

    def begin() -> None:
        started.set()
        log("INFO", f"answering on port {api.port}")

    def stop(deadline: float) -> None:
        time.sleep(min(LAG_S, settings.grace_s / 2))
        api.stop(deadline - time.monotonic())
        pool.close()

    api.start()
    service.start(pool, begin)
    return service.run(started.is_set, stop)
