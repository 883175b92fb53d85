"""``python -m runtime reconcile``: one run of the reconcile function's schedule."""

from __future__ import annotations

import json

from runtime.emf import print_line
from runtime.functions import FunctionError, FunctionPool
from runtime.http_server import HttpServer
from runtime.log import log
from runtime.metrics import Exporter, first_series
from runtime.service import function_spec, guarded, health_app
from runtime.settings import ScrapedSettings

# As in Lambda. A run stops before it, and the next run continues.
TIMEOUT_S = 900.0


def run(handler: str) -> int:
    """Run once and print the report. Return 1 when the run failed. Raises `OSError` for a port that is taken."""
    settings = ScrapedSettings.read()
    exporter = Exporter(first_series({"service": "reconcile", "function": "docwell-reconcile"}))

    def on_line(line: str) -> None:
        print_line(line)
        exporter.read(line)

    app = guarded(health_app(exporter, lambda: True), settings.host)
    health = HttpServer(app, settings.host, settings.health_port) if settings.scrape_s else None
    spec = function_spec("reconcile", handler, TIMEOUT_S, on_line=on_line)
    pool = FunctionPool(spec, concurrency=1, publishes=True)
    try:
        if health:
            health.start()
        exporter.scraped.wait(settings.scrape_s)
        print_line(json.dumps(pool.invoke({"action": "reconcile"})))
    except FunctionError as error:
        log("ERROR", f"reconcile: {error}")
        return 1
    finally:
        pool.close()
        exporter.scraped.wait(settings.scrape_s)
    return 0
