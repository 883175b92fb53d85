"""The report of `docwell erase`."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from docwell.cli import erase
from docwell.cli.app import app
from docwell.cli.erase import Erased, remaining_copies
from docwell.cli.settings import Settings
from infra.container.sam import ROOT
from tests.unit.cli.conftest import Run
from tests.unit.infra.templates import content

ERASED = Erased("2026-11-26T12:00:00+00:00", ["a.pdf"], dry_run=True)


class FakeErasure:
    """Erases one document; notes it, after which `broken` can no longer be written."""

    erased = False
    broken: Path | None = None

    def __init__(self, *_: object) -> None:
        type(self).erased = False

    def survey(self) -> Erased:
        return replace(ERASED)

    def run(self, report: Erased) -> None:
        type(self).erased, report.ledger_rows = True, 1
        if self.broken:
            self.broken.unlink()
            self.broken.mkdir()


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erase, "Erasure", FakeErasure)


@pytest.mark.parametrize("report", ["missing/r.json", "."])
def test_a_report_that_cannot_be_written_stops_the_erasure(run: Run, report: str) -> None:
    result = run("erase", "a.pdf", "--yes", "--report", report)
    assert (result.exit_code, FakeErasure.erased) == (1, False)
    assert "nothing is erased: give another --report" in result.stderr


def test_a_report_that_breaks_after_the_erasure_is_printed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeErasure, "broken", Path("r.json"))
    result = run("erase", "a.pdf", "--yes", "--report", "r.json", "--json")
    assert (result.exit_code, FakeErasure.erased) == (1, True)
    assert json.loads(result.stdout)["ledger_rows"] == 1
    assert "the documents are erased" in result.stderr


def test_the_report_is_complete_and_a_dry_run_writes_none(run: Run) -> None:
    assert run("erase", "a.pdf", "--dry-run", "--report", "r.json").exit_code == 0
    assert (Path("r.json").exists(), FakeErasure.erased) == (False, False)
    assert run("erase", "a.pdf", "--yes", "--report", "r.json").exit_code == 0
    report = json.loads(Path("r.json").read_text())
    assert (report["ledger_rows"], report["dry_run"]) == (1, False)


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["for people", "json"])
def test_the_question_and_its_documents_are_no_part_of_the_output(run: Run, flags: tuple[str, ...]) -> None:
    arguments = ["erase", "a.pdf", "--report", "r.json", *flags]
    confirmed = CliRunner().invoke(app, arguments, input="a.pdf\n")
    assert (confirmed.exit_code, FakeErasure.erased) == (0, True)
    assert "a.pdf\n1 documents, 0 versions" in confirmed.stderr
    assert "Type a.pdf to erase" in confirmed.stderr
    assert (
        confirmed.stdout.removeprefix(" a.pdf\n") == run(*arguments, "--yes").stdout
    )  # the runner shows the input


def test_the_remaining_copies_are_those_of_the_templates_and_of_chromas_file() -> None:
    left = replace(ERASED, left=["a.pdf"])
    places = [
        [place for place, _ in remaining_copies(Settings(), replace(left, chroma_file=state))]
        for state in ("unchanged", "log emptied", "log emptied, file rewritten")
    ]
    assert ["text in free pages of Chroma's file" in copies for copies in places] == [True, True, False]
    until = dict(remaining_copies(Settings(), left))
    days = [
        (date.fromisoformat(until[place]) - datetime.now(UTC).date()).days
        for place in ("daily snapshots of the Chroma volume", "the key, without text, in queues")
    ]
    snapshots = content(ROOT / "infra/snapshots.yaml")["Resources"]["Snapshots"]["Properties"]["PolicyDetails"]
    count = snapshots["Schedules"][0]["RetainRule"]["Count"]
    resources = content(ROOT / "infra/data.yaml")["Resources"].values()
    queues = [resource["Properties"] for resource in resources if resource["Type"] == "AWS::SQS::Queue"]
    assert days == [count + 1, max(int(queue["MessageRetentionPeriod"]) for queue in queues) / 86_400]
    # The page and the report agree.
    assert f"expire within {count + 1} days" in (ROOT / "docs/retention.md").read_text()
