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
