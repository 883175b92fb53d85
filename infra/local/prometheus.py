"""The stack's metrics for Prometheus: `/metrics`, from its parts' output, and the command that runs Prometheus."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
from prometheus_client import make_asgi_app

from infra.dashboards.contents import SECTIONS
from infra.dashboards.parts import Graph, Line
from infra.dashboards.promql import labels_of
from infra.local.keys import private_folder, write_private
from infra.local.names import HOST, ROOT
from infra.local.ports import free_port
from runtime.guard import Guarded
from runtime.http_server import HttpServer
from runtime.metrics import Exporter

# The port of OpenTelemetry's exporters for Prometheus.
PORT = 9464
PROGRAM = "prometheus"
RULES = ROOT / "infra" / "prometheus" / "alerts.yaml"
SCRAPE_S = 5
# Enough disk for the metrics of some weeks.
_MAX_DISK = "512MB"


def stack_exporter(model: str) -> Exporter:
    """Return an exporter with the series of the dashboard. `model` is the stack's language model."""
    panels = (panel for section in SECTIONS for panel in section.panels if isinstance(panel, Graph))
    shown = (line for panel in panels if not panel.of_aws for line in panel.lines)
    metrics = [line.metric for line in shown if isinstance(line, Line)]
    return Exporter(
        ((metric.namespace, metric.name), {"gen_ai_request_model": model, **labels_of(metric)})
        for metric in metrics
    )


@contextmanager
def served(exporter: Exporter, token: str) -> Iterator[str]:
    """Serve the metrics during the block, and yield their address without the path."""
    app = Guarded(make_asgi_app(exporter.registry), "metrics", token)
    server = HttpServer(app, HOST, free_port(PORT))
    server.start()
    try:
        yield f"http://{HOST}:{server.port}"
    finally:
        server.stop()


def installed() -> bool:
    """Return whether Prometheus is on the PATH."""
    return shutil.which(PROGRAM) is not None


def prometheus_command(
    metrics: str, address: str, folder: Path, token: str, scrape_s: int = SCRAPE_S
) -> list[str]:
    """Write the settings into the folder, and return the command that serves at `address`.

    The token is that of the metrics, and the password of the user `docwell`.
    """
    settings = {
        "global": {"scrape_interval": f"{scrape_s}s", "evaluation_interval": "1m"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {
                "job_name": "docwell",
                "static_configs": [{"targets": [metrics.removeprefix("http://")]}],
                "authorization": {"credentials": token},
            }
        ],
    }
    path = private_folder(folder) / "prometheus.yml"
    write_private(path, json.dumps(settings, indent=1) + "\n")  # JSON is YAML, too
    users = {"docwell": bcrypt.hashpw(token.encode(), bcrypt.gensalt()).decode()}
    write_private(folder / "web.yml", json.dumps({"basic_auth_users": users}))
    return [
        PROGRAM,
        f"--config.file={path}",
        f"--web.config.file={folder / 'web.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.size={_MAX_DISK}",
        f"--web.listen-address={address.rpartition('/')[2].rpartition('@')[2]}",
        # By default, Prometheus lets pages of every origin read its answers.
        f"--web.cors.origin={address}",
        "--log.level=error",
    ]
