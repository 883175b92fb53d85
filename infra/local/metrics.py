"""The stack's `/metrics` for Prometheus, from the metrics in its parts' output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import make_asgi_app

from infra.dashboards.contents import SECTIONS
from infra.dashboards.parts import Graph, Line
from infra.dashboards.promql import labels_of
from infra.local.names import HOST
from runtime.guard import Guarded
from runtime.http_server import HttpServer
from runtime.metrics import Exporter

# The port of OpenTelemetry's exporters for Prometheus.
PORT = 9464


def stack_exporter(model: str) -> Exporter:
    """Return an exporter with the series of the dashboard. `model` is the stack's language model."""
    panels = (panel for section in SECTIONS for panel in section.panels if isinstance(panel, Graph))
    metrics = [line.metric for panel in panels for line in panel.lines if isinstance(line, Line)]
    return Exporter(
        ((one.namespace, one.name), {"gen_ai_request_model": model, **labels_of(one)}) for one in metrics
    )


@contextmanager
def served(exporter: Exporter) -> Iterator[str]:
    """Serve the metrics during the block, and yield their address without the path."""
    app = Guarded(make_asgi_app(exporter.registry), "metrics")
    try:
        server = HttpServer(app, HOST, PORT)
    except OSError:
        server = HttpServer(app, HOST, 0)
    server.start()
    try:
        yield f"http://{HOST}:{server.port}"
    finally:
        server.stop()
