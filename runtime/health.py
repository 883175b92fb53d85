"""The health port: ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from runtime.metrics import Exporter

if TYPE_CHECKING:
    from starlette.requests import Request


def health_app(exporter: Exporter, ready: Callable[[], bool]) -> Starlette:
    """Return the application of the health port.

    `/healthz` answers while the process runs: a thread that fails ends it. `/readyz` answers 503 until the process
    can work, and again from SIGTERM on.
    """

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        return PlainTextResponse("ready\n") if ready() else PlainTextResponse("not ready\n", 503)

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(exporter.registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)])
