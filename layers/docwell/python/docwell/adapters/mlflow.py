"""Logs a measurement to MLflow (https://mlflow.org), where its package is installed. No function uses it."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from docwell.errors import Unavailable

TRACKING_URI = "MLFLOW_TRACKING_URI"
_EXPERIMENT = "docwell"
# MLflow's client reports its use to its makers, sends traces from a thread, and retries a dead server for minutes:
# 7 times, 120 s each.
_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
# The limits of MLflow's REST API: the characters and the length of a name, and the figures of one request.
_NOT_IN_NAMES = re.compile(r"[^\w.\- ]+")
_NAME_CHARACTERS = 250
_FIGURES_PER_REQUEST = 1_000
# MLflow shows the artifacts that this tag lists as tables. Its own `log_table` writes the same, and needs pandas.
_TABLES_TAG = "mlflow.loggedArtifacts"


@dataclass(frozen=True, slots=True)
class Trace:
    """One answered question. `stages_ms` has the milliseconds of its stages, in their order.

    The attributes have OpenTelemetry's names for generative AI.
    """

    name: str
    question: str
    answer: Mapping[str, Any]
    attributes: Mapping[str, Any]
    stages_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Measurement:
    """The content of one run in MLflow. Figures without a value are left out.

    `tables` has the rows of each, `documents` any JSON, and `files` are copied; `tags` and `parameters` are texts.
    Each of `traces` becomes a trace of the run's experiment, with the tag `run`.
    """

    name: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    figures: Mapping[str, float | None] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    documents: Mapping[str, Any] = field(default_factory=dict)
    files: Iterable[Path] = ()
    traces: Sequence[Trace] = ()


def log(measurement: Measurement) -> str:
    """Log one run to the server that MLFLOW_TRACKING_URI names; return the run's id.

    The experiment is that of MLFLOW_EXPERIMENT_NAME, else `docwell`.

    Raises:
        Unavailable: MLflow is not installed, no server is named, or it fails.
    """
    if not os.environ.get(TRACKING_URI):
        raise Unavailable("mlflow", f"set {TRACKING_URI} to the address of an MLflow server", None)
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise Unavailable("mlflow", "MLflow is not installed: add the package mlflow-skinny", None) from None
    try:
        return _log(MlflowClient(), measurement)
    except (MlflowException, OSError) as error:
        raise Unavailable("mlflow", f"cannot log to MLflow: {error}") from None


def _log(client: Any, measurement: Measurement) -> str:
    from mlflow.entities import Metric, Param

    experiment = _experiment(client)
    run = client.create_run(experiment, run_name=measurement.name, tags=dict(measurement.tags)).info
    status = "FAILED"
    try:
        parameters = [Param(_name(name), str(value)) for name, value in measurement.parameters.items()]
        client.log_batch(run.run_id, params=parameters)
        now = int(time.time() * 1000)
        figures = (
            Metric(_name(name), one, now, 0) for name, one in measurement.figures.items() if one is not None
        )
        while batch := list(islice(figures, _FIGURES_PER_REQUEST)):
            client.log_batch(run.run_id, metrics=batch)
        for name, rows in measurement.tables.items():
            columns = list(dict.fromkeys(column for row in rows for column in row))
            data = [[row.get(column) for column in columns] for row in rows]
            client.log_dict(run.run_id, {"columns": columns, "data": data}, f"{name}.json")
        for name, document in measurement.documents.items():
            client.log_dict(run.run_id, document, f"{name}.json")
        for path in measurement.files:
            client.log_artifact(run.run_id, str(path))
        for trace in measurement.traces:
            _log_trace(client, trace, experiment, {**measurement.tags, "run": run.run_id})
        listed = [{"path": f"{name}.json", "type": "table"} for name in measurement.tables]
        client.set_tag(run.run_id, _TABLES_TAG, json.dumps(listed))
        status = "FINISHED"
    finally:
        client.set_terminated(run.run_id, status)
    return str(run.run_id)


def _log_trace(client: Any, trace: Trace, experiment: str, tags: Mapping[str, str]) -> None:
    """Log a trace that ends now, with a span for each stage."""
    ends_ns = time.time_ns()
    at_ns = ends_ns - int(sum(trace.stages_ms.values()) * 1_000_000)
    root = client.start_trace(
        trace.name,
        inputs={"question": trace.question},
        attributes=dict(trace.attributes),
        tags=dict(tags),
        experiment_id=experiment,
        start_time_ns=at_ns,
    )
    for name, milliseconds in trace.stages_ms.items():
        stage = client.start_span(name, trace_id=root.trace_id, parent_id=root.span_id, start_time_ns=at_ns)
        at_ns += int(milliseconds * 1_000_000)
        client.end_span(root.trace_id, stage.span_id, end_time_ns=at_ns)
    client.end_trace(root.trace_id, outputs=dict(trace.answer), end_time_ns=ends_ns)


def _experiment(client: Any) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _EXPERIMENT
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


def _name(text: str) -> str:
    """Return a name that MLflow takes.

    >>> _name("hit@5, 95%: page")
    'hit 5 95 page'
    """
    return " ".join(_NOT_IN_NAMES.sub(" ", text).split())[:_NAME_CHARACTERS]
