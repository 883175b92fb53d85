"""`python -m benchmarks.speed`: wrong usage, too little text, and the page of reports."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed import __main__ as command
from benchmarks.speed import encode, query
from benchmarks.speed.options import BenchError, Options, read, write_page
from infra.report import Report
from tests.unit.fakes import FakeEmbedder

Bench = Callable[..., int]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Runs the command with arguments; no report of an earlier run is touched."""
    monkeypatch.setattr(command, "REPORTS", tmp_path / "reports")
    monkeypatch.setattr(Report, "finish", lambda self: 0 if self.ok else 1)

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["speed", *arguments])
        return command.main()

    return run


def test_a_folder_that_is_not_there_is_wrong_usage(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        bench("encode", "--pdfs", str(tmp_path / "nowhere"))
    assert ended.value.code == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_folder_with_too_little_is_told_in_a_line(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("ingest", "--short", "--pdfs", str(tmp_path)) == 2
    said = capsys.readouterr().err
    assert f"no PDF in {tmp_path}" in said
    assert "Traceback" not in said


def test_chunks_that_are_wanted_from_a_folder_without_any_are_missed(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=str(tmp_path)):
        encode._texts(FakeEmbedder(), Options(pdfs=(tmp_path,)))  # type: ignore[arg-type] # it has no text to embed


def test_too_few_questions_are_not_measured() -> None:
    class Refusing:
        def in_a_row(self, questions: list[str], _: str) -> list[object]:
            return [
                type("Asked", (), {"answered": number < 3, "seconds": 0.1}) for number, _ in enumerate(questions)
            ]

    class Collection:
        name = "bench"
        size = 1_000

    collections: Any = {1_000: Collection()}
    stack: Any = Refusing()
    asking = query.Questions(Report("x"), Options(), stack, collections, ["why?"] * 20)
    with pytest.raises(BenchError, match="only 3 of 20"):
        asking.measure()


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    rows = [
        {"metric": "docwell: pages a second", "value": 40, "unit": "pages/s", "goal": None, "ok": True}
        | {"low": 39.0, "high": 41.0, "repeats": 3},
        {"metric": "over the faster peer", "value": 2.5, "unit": "x", "goal": ">= 3", "ok": False},
    ]
    document = {
        "commit": "abc1234",
        "machine": "one",
        "started": "2026-03-04T05:06:07",
        "seconds": 90,
        "rows": rows,
        "notes": ["Peers of 2026-03-04: torch 2"],
    }
    (tmp_path / "bench-ingest.json").write_text(json.dumps(document))
    return tmp_path


def test_the_page_has_a_table_for_each_report(reports: Path) -> None:
    page = write_page(reports, reports / "page.md").read_text()
    assert "## ingest\n\nCommit abc1234 on one, 2026-03-04; 1.5 minutes." in page
    assert "| docwell: pages a second | 40 | 39 to 41, of 3 | pages/s |  |  |" in page
    assert "| over the faster peer | 2.5 |  | x | >= 3 | **missed** |" in page


def test_the_page_names_the_peers_and_begins_with_the_missed_goals(reports: Path) -> None:
    lines = write_page(reports, reports / "page.md").read_text().splitlines()
    assert "Peers of 2026-03-04: torch 2." in lines
    first = lines.index("| --- | ---: | --- | --- | --- | --- |") + 1
    assert lines[first].startswith("| over the faster peer")


def test_the_page_refuses_reports_of_the_short_form(reports: Path) -> None:
    document = json.loads((reports / "bench-ingest.json").read_text())
    document["rows"].append({"metric": "short form", "value": 1})
    (reports / "bench-ingest.json").write_text(json.dumps(document))
    with pytest.raises(BenchError, match="short form: run `make bench-ingest`"):
        write_page(reports, reports / "page.md")
    assert not (reports / "page.md").exists()


@pytest.mark.parametrize("content", [None, "", "{"])
def test_a_report_that_cannot_be_read_is_named_with_what_to_run(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "bench-size.json").write_text(content)
    with pytest.raises(BenchError, match=r"no report of bench-size .*: run `make bench-size`"):
        read("size", tmp_path)
