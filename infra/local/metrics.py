"""The stack's `/metrics` for Prometheus, from the metrics in its parts' output (EMF).

Only metrics and labels of `infra.dashboards.exported` appear there: no document, no question, no principal.
"""

from __future__ import annotations

import json
import math
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import uvicorn
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Summary,
    disable_created_metrics,
    make_asgi_app,
)

from infra.dashboards.contents import SECTIONS
from infra.dashboards.exported import EXPORTED, Exported, Kind
from infra.dashboards.parts import DOCWELL, Graph, Line
from infra.dashboards.promql import labels_of
from infra.local.guard import Guarded
from infra.local.names import HOST

# The port of OpenTelemetry's exporters for Prometheus.
PORT = 9464
# The most combinations of labels of one metric. A stack has one for each function, queue and model.
MAX_SERIES = 50
_STOP_S = 3.0

Collector = Counter | Gauge | Histogram | Summary


class Exporter:
    """The stack's metrics. `read` is safe for threads and never raises for a line."""

    def __init__(self, model: str) -> None:
        """Start the counters of the dashboard at 0, so that Prometheus sees the first increase of each."""
        # A series of each counter's start would double their number.
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library types it not
        self.registry = CollectorRegistry()
        self._metrics = {key: _collector(one, self.registry) for key, one in EXPORTED.items()}
        self._series: dict[tuple[str, str], set[tuple[str, ...]]] = {key: set() for key in EXPORTED}
        self._lock = threading.Lock()
        self._damaged = Counter(
            "docwell_metric_lines_damaged", "Lines with metrics that could not be read", registry=self.registry
        )
        self._dropped = Counter(
            "docwell_metric_values_dropped",
            "Values of unknown metrics or of too many series",
            registry=self.registry,
        )
        lines = (
            line
            for section in SECTIONS
            for panel in section.panels
            if isinstance(panel, Graph)
            for line in panel.lines
        )
        for metric in (one.metric for one in lines if isinstance(one, Line)):
            key = metric.namespace, metric.name
            labels = {"gen_ai_request_model": model, **labels_of(metric)}
            if EXPORTED[key].kind is not Kind.GAUGE:
                self._child(key, tuple(labels[label] for _, label in EXPORTED[key].labels))

    def read(self, line: str) -> None:
        """Take the metrics of one line of output, if it has any."""
        if not (line.startswith("{") and '"_aws"' in line):
            return
        try:
            values = list(_values(json.loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError):
            self._damaged.inc()
            return
        for key, dimensions, value in values:
            self._take(key, dimensions, value)

    def _take(self, key: tuple[str, str], dimensions: Mapping[str, str], value: float) -> None:
        exported = EXPORTED.get(key)
        chosen = tuple(dimensions.get(name, "") for name, _ in exported.labels) if exported else ()
        child = self._child(key, chosen) if exported and all(chosen) else None
        if exported is None or child is None or (exported.kind is Kind.COUNTER and value < 0):
            self._dropped.inc()
        elif isinstance(child, Gauge):
            child.set(value * exported.scale)
        elif isinstance(child, Counter):
            child.inc(value * exported.scale)
        else:
            child.observe(value * exported.scale)

    def _child(self, key: tuple[str, str], chosen: tuple[str, ...]) -> Collector | None:
        """Return the series with these labels, or None where the metric has too many."""
        with self._lock:
            series = self._series[key]
            if chosen not in series and len(series) == MAX_SERIES:
                return None
            series.add(chosen)
            collector = self._metrics[key]
            return collector.labels(*chosen) if chosen else collector


def _collector(one: Exported, registry: CollectorRegistry) -> Collector:
    labels = [label for _, label in one.labels]
    if one.kind is Kind.HISTOGRAM:
        return Histogram(one.name, one.source, labels, registry=registry, buckets=one.buckets)
    kinds: dict[Kind, type[Counter | Gauge | Summary]] = {
        Kind.COUNTER: Counter,
        Kind.GAUGE: Gauge,
        Kind.SUMMARY: Summary,
    }
    return kinds[one.kind](one.name, one.source, labels, registry=registry)


def _values(record: Any) -> Iterator[tuple[tuple[str, str], dict[str, str], float]]:
    """Yield (namespace, name), dimensions and value. Raises `ValueError` or the like for a damaged record."""
    for directive in record["_aws"]["CloudWatchMetrics"]:
        # Each stack has a namespace of docwell's: Docwell/NAME.
        namespace = re.sub(r"^Docwell(/.*)?$", DOCWELL.replace("\\", r"\\"), directive["Namespace"])
        # Several sets of dimensions are several views of the same value: the longest has all labels.
        names: list[str] = max(directive["Dimensions"], key=len, default=[])
        dimensions = {name: _text(record[name]) for name in names}
        for metric in directive["Metrics"]:
            found = record[metric["Name"]]
            for value in found if isinstance(found, list) else [found]:
                yield (namespace, metric["Name"]), dimensions, _number(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a dimension is a text, not {type(value).__name__}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError("a metric is a finite number")
    return float(value)


@contextmanager
def served(exporter: Exporter) -> Iterator[str]:
    """Serve the metrics during the block, and yield their address without the path."""
    try:
        listener = socket.create_server((HOST, PORT))
    except OSError:
        listener = socket.create_server((HOST, 0))
    app = Guarded(make_asgi_app(exporter.registry), "metrics")
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(_STOP_S)
        listener.close()
