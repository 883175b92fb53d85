"""The speed benchmarks: options, and the page of their reports."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.speed import __main__ as command
from benchmarks.speed.options import BenchError, write_page

Bench = Callable[..., int]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Run the command with arguments; no report of an earlier run is touched."""
    monkeypatch.setattr(command, "REPORTS", tmp_path / "reports")

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["speed", *arguments])
        return command.main()

    return run


def test_a_folder_without_pdfs_gives_one_line(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("ingest", "--short", "--pdfs", str(tmp_path)) == 2
    printed = capsys.readouterr().err
    assert f"no PDF in {tmp_path}" in printed
    assert "Traceback" not in printed


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    rows = [
        {"metric": "pages a second", "value": 40, "unit": "pages/s", "goal": None, "ok": True}
        | {"low": 39.0, "high": 41.0, "repeats": 3},
        {"metric": "share of the limit", "value": 2.5, "unit": "x", "goal": ">= 3", "ok": False},
    ]
    report = {"commit": "abc1234", "machine": "m", "started": "2026-03-04T05:06:07", "seconds": 90, "rows": rows}
    (tmp_path / "bench-ingest.json").write_text(json.dumps(report))
    return tmp_path


def test_the_page_has_a_table_for_each_report_and_begins_with_missed_goals(reports: Path) -> None:
    page = write_page(reports, reports / "page.md").read_text()
    assert "## ingest\n\nCommit abc1234 on m, 2026-03-04; 1.5 minutes." in page
    missed, met = (
        "| share of the limit | 2.5 |  | x | >= 3 | **missed** |",
        "| pages a second | 40 | 39 to 41, of 3 |",
    )
    assert page.index(missed) < page.index(met)


def test_the_page_refuses_reports_of_the_short_form(reports: Path) -> None:
    report = json.loads((reports / "bench-ingest.json").read_text())
    report["rows"].append({"metric": "short form", "value": 1})
    (reports / "bench-ingest.json").write_text(json.dumps(report))
    with pytest.raises(BenchError, match="short form: run `make bench-ingest`"):
        write_page(reports, reports / "page.md")
    assert not (reports / "page.md").exists()
