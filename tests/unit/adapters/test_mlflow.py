"""Measurements in MLflow: with the real package and its file store where it is installed, else what is refused."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from docwell.adapters import mlflow as adapter
from docwell.adapters.mlflow import Measurement, log
from docwell.cli.evaluation.run import Run
from docwell.cli.tracking import log_eval, log_replay
from docwell.errors import Unavailable
from docwell.query.prompting import load_prompt
from infra.report import Report, asked_with
from tests.unit.cli.fake_api import ANSWER


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a client of a new file store, to which everything is logged."""
    mlflow = pytest.importorskip(
        "mlflow", reason="mlflow-skinny is in an environment of its own: make mlflow-test"
    )
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv(adapter.TRACKING_URI, tmp_path.joinpath("runs").as_uri())
    return mlflow.MlflowClient()


def only_run(store: Any, experiment: str = "docwell") -> Any:
    (run,) = store.search_runs([store.get_experiment_by_name(experiment).experiment_id])
    return run


def artifact(store: Any, run: Any, name: str, folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    return Path(store.download_artifacts(run.info.run_id, name, str(folder))).read_text("utf-8")


def test_a_measurement_becomes_a_finished_run(store: Any, tmp_path: Path) -> None:
    (tmp_path / "cases.jsonl").write_text("{}\n")
    figures = {"hit@5, 95%: page": 62.5, "not measured": None} | {
        f"row {number}": number for number in range(1_500)
    }
    log(
        Measurement(
            "eval",
            parameters={"model": "small", "long": "x" * 9_000},
            figures=figures,
            tables={"rows": [{"a": 1}, {"a": 2, "b": "é"}]},
            files=[tmp_path / "cases.jsonl"],
        )
    )
    run = only_run(store)
    assert (run.info.run_name, run.info.status) == ("eval", "FINISHED")
    assert run.data.params["model"] == "small"
    assert run.data.metrics["hit 5 95 page"] == 62.5
    assert len(run.data.metrics) == 1_501
    rows = json.loads(artifact(store, run, "rows.json", tmp_path / "got"))
    assert rows == {"columns": ["a", "b"], "data": [[1, None], [2, "é"]]}
    assert artifact(store, run, "cases.jsonl", tmp_path / "got") == "{}\n"


def test_a_run_that_breaks_off_is_marked_as_failed(store: Any, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot log to MLflow"):
        log(Measurement("eval", files=[tmp_path / "gone.jsonl"]))
    assert only_run(store).info.status == "FAILED"


def test_a_replay_is_logged_without_links(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "replays")
    cited = ANSWER["citations"][0] | {"link": "https://bucket.example/secret"}
    now = ANSWER | {"citations": [cited], "request_id": "request-8"}
    change = {"what": "model", "then": "a", "now": "b"}
    asked = {"request_id": "request-7", "question": "When to roll back?"}
    log_replay({**asked, "then": ANSWER, "now": now, "changes": [change], "fit": None})
    run = only_run(store, "replays")
    assert run.data.params["prompt_version"] == "abc"
    assert run.data.tags["request_id"] == "request-7"
    assert run.data.metrics["changes"] == 1
    assert run.data.metrics["now prompt tokens"] == 1200
    assert "fit" not in run.data.metrics
    assert json.loads(artifact(store, run, "changes.json", tmp_path / "got"))["data"] == [["model", "a", "b"]]
    logged = artifact(store, run, "now.json", tmp_path / "got")
    assert "five minutes" in logged
    assert "secret" not in logged
    traces = {one.data.spans[0].name: one for one in store.search_traces(locations=[run.info.experiment_id])}
    assert set(traces) == {"then", "now"}
    root, *stages = traces["now"].data.spans
    assert root.inputs == {"question": "When to roll back?"}
    assert root.outputs["answer"] == ANSWER["answer"]
    assert "secret" not in json.dumps(root.outputs)
    assert (root.attributes["gen_ai.request.model"], root.attributes["gen_ai.usage.input_tokens"]) == (
        "small-model",
        1200,
    )
    assert [one.name for one in stages] == ["embed", "retrieve", "generate"]
    assert (stages[-1].end_time_ns - stages[-1].start_time_ns) == 900_000_000
    assert traces["now"].info.tags["run"] == run.info.run_id


def test_a_run_of_eval_is_logged_with_its_report(store: Any, tmp_path: Path) -> None:
    row = {"line": 2, "question": "a?", "document": "a.pdf", "page": "3", "document_rank": 1, "page_rank": None}
    (tmp_path / "report.html").write_text("<p>")
    head = {"questions": "q.csv", "sha256": "1", "count": 1, "started": "now"}
    log_eval(Run(head, (row | {"error": None, "unanswerable": False},)), tmp_path)
    run = only_run(store)
    assert (run.data.metrics["hit 1 document"], run.data.metrics["hit 5 page"]) == (100, 0)
    assert run.data.params["questions"] == "q.csv"
    assert artifact(store, run, "report.html", tmp_path / "got") == "<p>"


def test_a_report_is_logged_with_options_and_prompts(store: Any, tmp_path: Path) -> None:
    report = Report("eval-answers", parameters=asked_with(Namespace(seed=7)))
    report.add("questions that failed", 0, "questions", "== 0")
    assert report.finish(tmp_path) == 0
    run = only_run(store)
    assert run.data.params["seed"] == "7"
    assert run.data.params["prompt answer"] == load_prompt("answer").version
    assert run.data.metrics == {"questions that failed": 0}
    assert (
        json.loads(artifact(store, run, "figures.json", tmp_path / "got"))["data"][0][0] == "questions that failed"
    )


def test_a_server_that_is_not_named_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(adapter.TRACKING_URI, raising=False)
    with pytest.raises(Unavailable, match="set MLFLOW_TRACKING_URI"):
        log(Measurement("eval"))


def test_without_the_package_a_report_says_so_and_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(adapter.TRACKING_URI, "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    report = Report("faults")
    report.add("lost", 0, "chunks", "== 0")
    assert report.finish(tmp_path) == 0
    assert "MLflow is not installed: add the package mlflow-skinny" in capsys.readouterr().out
