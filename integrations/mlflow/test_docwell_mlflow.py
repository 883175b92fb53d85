"""Reports in MLflow, with the real package and its file store: `make mlflow-test`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import mlflow
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from docwell_mlflow import figures_of, log

EVAL: dict[str, Any] = {
    "questions": "q.csv",
    "count": 8,
    "started": "2026-11-26T12:00:00+00:00",
    "figures": [{"name": "hit@5: page", "value": 5, "unit": "", "of": 8}],
    "rows": [{"line": 2, "question": "é?", "model": "small", "prompt_version": "abc"}, {"line": 3}],
}


@pytest.fixture(autouse=True)
def _file_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tmp_path.joinpath("runs").as_uri())


def logged(report: dict[str, Any], folder: Path) -> Any:
    path = folder / "eval.json"
    path.write_text(json.dumps(report))
    return mlflow.MlflowClient().get_run(log(path))


def test_an_evaluation_becomes_a_finished_run(tmp_path: Path) -> None:
    run = logged(EVAL, tmp_path)
    assert (run.info.run_name, run.info.status) == ("q.csv", "FINISHED")
    assert run.data.metrics == {"hit 5 page": 62.5}
    assert run.data.params == {
        "questions": "q.csv",
        "count": "8",
        "started": EVAL["started"],
        "model": "small",
        "prompt_version": "abc",
    }
    copy = mlflow.MlflowClient().download_artifacts(run.info.run_id, "eval.json", str(tmp_path))
    assert json.loads(Path(copy).read_text()) == EVAL


def test_a_report_with_more_figures_than_a_request_takes_is_logged_whole(tmp_path: Path) -> None:
    rows = [{"metric": f"row {number}", "value": number, "unit": "", "goal": None} for number in range(1_500)]
    run = logged({"name": "eval-retrieval", "commit": "abc", "rows": rows}, tmp_path)
    assert len(run.data.metrics) == 1_500
    assert run.data.params["commit"] == "abc"


def test_a_file_without_figures_is_refused() -> None:
    with pytest.raises(ValueError, match="no report of docwell"):
        figures_of({"rows": [1]})
