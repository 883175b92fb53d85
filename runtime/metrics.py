"""Metrics for Prometheus, from the lines that functions print (EMF).

Only metrics and labels of `runtime.exported` appear: no document, no question, no principal.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, disable_created_metrics

from runtime.exported import DOCWELL, EXPORTED, Exported, Kind

# The most label combinations of one metric. A stack has one for each function, queue and model.
MAX_SERIES = 50

Collector = Counter | Gauge | Histogram | Summary


class Exporter:
    """The metrics of a process or of a stack. `read` is safe for threads and never raises for a line."""

    def __init__(self, started: Iterable[tuple[tuple[str, str], Mapping[str, str]]] = ()) -> None:
        """Start some series at 0, so that Prometheus sees their first increase: (namespace, name) and labels."""
        # Series with each counter's start time would double the number.
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library has no type for it
        self.registry = CollectorRegistry()
        self._metrics = {key: _collector(exported, self.registry) for key, exported in EXPORTED.items()}
        self._series: dict[tuple[str, str], set[tuple[str, ...]]] = {key: set() for key in EXPORTED}
        self._lock = threading.Lock()
        # Whether Prometheus has all values: a scrape sets it.
        self.scraped = threading.Event()
        self._damaged = Counter(
            "docwell_metric_lines_damaged", "Lines with metrics that could not be read", registry=self.registry
        )
        self._dropped = Counter(
            "docwell_metric_values_dropped",
            "Values of unknown metrics or of too many series",
            registry=self.registry,
        )
        for key, labels in started:
            if EXPORTED[key].kind is not Kind.GAUGE:
                self._child(key, tuple(labels[label] for _, label in EXPORTED[key].labels))

    def read(self, line: str) -> None:
        """Read the metrics of one line of output, if it has any."""
        if not (line.startswith("{") and '"_aws"' in line):
            return
        try:
            values = list(_values(json.loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError):
            self._damaged.inc()
            return
        for key, dimensions, value in values:
            self._take(key, dimensions, value)
        self.scraped.clear()

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
        """Return the series with these labels; None if the metric has too many."""
        with self._lock:
            series = self._series[key]
            if chosen not in series and len(series) == MAX_SERIES:
                return None
            series.add(chosen)
            collector = self._metrics[key]
            return collector.labels(*chosen) if chosen else collector


def first_series(labels: Mapping[str, str]) -> Iterator[tuple[tuple[str, str], Mapping[str, str]]]:
    """Yield the metrics whose labels are all among these, as `Exporter` starts them."""
    for key, exported in EXPORTED.items():
        names = [label for _, label in exported.labels]
        if names and all(name in labels for name in names):
            yield key, labels


def _collector(exported: Exported, registry: CollectorRegistry) -> Collector:
    labels = [label for _, label in exported.labels]
    if exported.kind is Kind.HISTOGRAM:
        return Histogram(exported.name, exported.source, labels, registry=registry, buckets=exported.buckets)
    kinds: dict[Kind, type[Counter | Gauge | Summary]] = {
        Kind.COUNTER: Counter,
        Kind.GAUGE: Gauge,
        Kind.SUMMARY: Summary,
    }
    return kinds[exported.kind](exported.name, exported.source, labels, registry=registry)


def _values(record: Any) -> Iterator[tuple[tuple[str, str], dict[str, str], float]]:
    """Yield (namespace, name), dimensions and value. Raises `ValueError` or the like for a damaged record."""
    for directive in record["_aws"]["CloudWatchMetrics"]:
        # docwell's namespace differs by stack: Docwell/NAME.
        namespace = directive["Namespace"]
        namespace = DOCWELL if namespace.partition("/")[0] == "Docwell" else namespace
        # Several sets of dimensions describe the same value: the longest has all labels.
        names: list[str] = max(directive["Dimensions"], key=len, default=[])
        dimensions = {name: _text(record[name]) for name in names}
        for metric in directive["Metrics"]:
            values = record[metric["Name"]]
            for value in values if isinstance(values, list) else [values]:
                yield (namespace, metric["Name"]), dimensions, _number(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a dimension is a text, not {type(value).__name__}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError("a metric is a finite number")
    return float(value)
