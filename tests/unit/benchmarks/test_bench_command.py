"""`python -m benchmarks.speed`: what needs a quiet machine, and what is said of PDFs that will not do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed import __main__ as command
from benchmarks.speed import cost, encode, query, size
from benchmarks.speed.options import Options, TooFewPdfsError
from benchmarks.speed.quiet import TooNoisyError
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


@pytest.mark.parametrize(("name", "status"), [("size", 0), ("cost", 0), ("query", 3)])
def test_only_what_is_timed_waits_for_a_quiet_machine(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, status: int
) -> None:
    def never_quiet() -> None:
        raise TooNoisyError("other work")

    def measure(report: Report, _: Options) -> None:
        report.add("figure", 1, "MB")

    monkeypatch.setattr(command, "Watch", never_quiet)
    for module in (size, cost, query):
        monkeypatch.setattr(module, "measure", measure)
    assert bench(name) == status


def test_what_was_refused_for_noise_is_tried_once_more_before_what_is_worked_out_of_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def quiet_later() -> Any:
        if "refused" not in ran:
            ran.append("refused")
            raise TooNoisyError("other work")
        return type("Watch", (), {"note": lambda *_: None})()

    monkeypatch.setattr(command, "Watch", quiet_later)

    def measure(name: str, report: Report) -> None:
        report.add("figure", 1, "MB")
        ran.append(name)

    for name, module in (("size", size), ("encode", encode), ("query", query), ("cost", cost)):
        monkeypatch.setattr(module, "measure", lambda report, _, name=name: measure(name, report))
    assert bench("size", "encode", "query", "cost") == 0
    assert ran == ["size", "refused", "query", "encode", "cost"]


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
    with pytest.raises(TooFewPdfsError, match=str(tmp_path)):
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
    asking = query._Questions(Report("x"), Options(), stack, collections, ["why?"] * 20)
    with pytest.raises(TooFewPdfsError, match="only 3 of 20"):
        asking.measure()
