"""Log the JSON of `docwell eval --json`, or of a report in build/reports/, as one run of MLflow.

`python docwell_mlflow.py eval.json` logs to the server of MLFLOW_TRACKING_URI.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

# MLflow's client reports its use to its makers, and retries a dead server for minutes: 7 times, 120 s each.
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_EXPERIMENT_NAME": "docwell",
}
# The limits of MLflow's REST API: the characters and the length of a name, and the figures of one request.
NOT_IN_NAMES = re.compile(r"[^\w.\- ]+")
NAME_CHARACTERS = 250
FIGURES_PER_REQUEST = 1_000


def log(path: Path) -> str:
    """Log a report and return the id of its run. Raises `MlflowException`, and `ValueError` for other JSON."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    import mlflow

    report = json.loads(path.read_text("utf-8"))
    figures = figures_of(report)
    heading = {name: value for name, value in report.items() if not isinstance(value, list | dict)}
    with mlflow.start_run(run_name=str(report.get("questions") or report.get("name") or path.stem)) as run:
        mlflow.log_params(heading | made_from(report))
        names = list(figures)
        for start in range(0, len(names), FIGURES_PER_REQUEST):
            mlflow.log_metrics({name: figures[name] for name in names[start : start + FIGURES_PER_REQUEST]})
        mlflow.log_artifact(str(path))
        return str(run.info.run_id)


def figures_of(report: dict[str, Any]) -> dict[str, float]:
    """Return the figures by name; a count of cases becomes a percentage. Raises `ValueError` without any."""
    rows = report.get("figures") or report.get("rows")
    try:
        return {
            metric_name(row.get("name") or row["metric"]): 100 * row["value"] / row["of"]
            if row.get("of")
            else row["value"]
            for row in rows or ()
        }
    except (KeyError, TypeError, AttributeError):
        raise ValueError("no report of docwell: write one with `docwell eval questions.csv --json`") from None


def made_from(report: dict[str, Any]) -> dict[str, str]:
    """Return the models and the prompt versions of the answers of `docwell eval`."""
    rows = report.get("rows") or ()
    values = {name: {str(row[name]) for row in rows if name in row} for name in ("model", "prompt_version")}
    return {name: ", ".join(sorted(found)) for name, found in values.items() if found}


def metric_name(text: str) -> str:
    """Return a name that MLflow accepts: "hit@5, 95%: page" becomes "hit 5 95 page"."""
    return " ".join(NOT_IN_NAMES.sub(" ", text).split())[:NAME_CHARACTERS]


if __name__ == "__main__":
    if len(sys.argv) != 2 or not os.environ.get("MLFLOW_TRACKING_URI"):
        sys.exit("usage: MLFLOW_TRACKING_URI=http://... python docwell_mlflow.py REPORT.json")
    print(f"MLflow: run {log(Path(sys.argv[1]))}")
