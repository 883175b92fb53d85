"""A report ends with the missed goals, because people see the end of a long CI log."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.report import Report


def printed(report: Report, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    status = report.finish(folder)
    return status, capsys.readouterr().out.splitlines()


def test_the_last_lines_name_every_goal_that_was_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report("faults")
    for number in range(50):
        report.add(f"row {number}: lost", int(number in (3, 40)), "chunks", "== 0")
    report.add("reader: [questions]", 0, "", ">= 1")
    status, lines = printed(report, tmp_path, capsys)
    assert status == 1
    assert lines[-3:] == [
        "missed: row 3: lost: 1 chunks, goal == 0",
        "missed: row 40: lost: 1 chunks, goal == 0",
        "missed: reader: [questions]: 0, goal >= 1",
    ]


def test_a_report_whose_goals_hold_ends_with_its_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("faults")
    report.add("row: lost", 0, "chunks", "== 0")
    report.add("row: how hard it was", 7, "kills")
    status, lines = printed(report, tmp_path, capsys)
    assert (status, lines[-1]) == (0, str(tmp_path / "faults.json"))
    assert not any("missed" in line for line in lines)


def test_a_report_without_figures_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = printed(Report("faults"), tmp_path, capsys)
    assert (status, lines[-1]) == (1, "missed: nothing was measured")
