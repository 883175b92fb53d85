"""Results to MLflow where it is installed (`pip install mlflow-skinny`); without it nothing happens."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from infra.report import ROOT, Report

STORE = ROOT / "build" / "mlruns"
_NOT_IN_A_NAME = re.compile(r"[^\w./ -]+")


def track(report: Report, parameters: Mapping[str, object], files: list[Path]) -> str | None:
    """One run in the local file store: parameters, figures, files. Gives its id; None without MLflow."""
    if find_spec("mlflow") is None:
        return None
    # Newer versions want a database and keep folders of files for those who say so.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = import_module("mlflow")
    mlflow.set_tracking_uri(STORE.as_uri())
    mlflow.set_experiment(report.name)
    with mlflow.start_run() as run:
        mlflow.log_params(dict(parameters))
        mlflow.log_metrics({_NOT_IN_A_NAME.sub("", row.metric): row.value for row in report.rows})
        mlflow.set_tag("ok", str(report.ok))
        for path in files:
            mlflow.log_artifact(str(path))
        return str(run.info.run_id)
