"""The speed benchmarks: options, the page of their reports, figures, and the comparison of two trees."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.pdfs import pages_of_words
from benchmarks.speed import __main__ as command
from benchmarks.speed import compare, ingest
from benchmarks.speed.options import BenchError, write_page
from infra.report import Report

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


def test_slices_have_each_pdf_once_and_about_as_many_pages(tmp_path: Path) -> None:
    for name, pages in {"a": 9, "b": 5, "c": 4, "d": 4, "e": 3, "f": 2}.items():
        (tmp_path / f"{name}.pdf").write_bytes(pages_of_words(pages, 10))
    pdfs = sorted(tmp_path.glob("*.pdf"))
    slices = ingest.slices_of(pdfs, 3)
    assert sorted(pdf for slice_ in slices for pdf in slice_.pdfs) == pdfs
    assert sorted(slice_.pages for slice_ in slices) == [8, 9, 10]


@pytest.mark.parametrize(
    ("new", "verdict", "passes"),
    [
        ([2.0, 2.1, 2.0, 2.2], "slower", False),
        ([1.05, 1.06, 1.05, 1.07], "slower", True),  # within the limit
        ([0.9, 1.3, 1.0, 1.2], "no difference seen", True),
        ([0.8, 0.7, 0.8, 0.75], "faster", True),
    ],
)
def test_a_comparison_fails_only_where_the_whole_interval_is_above_the_limit(
    new: list[float], verdict: str, passes: bool
) -> None:
    report = Report("bench-compare")
    compare.add_comparison(report, "encode, 32 texts", {"base": [1.0] * 4, "new": new}, 1.1)
    assert report.rows[0].metric.startswith(f"encode, 32 texts: {verdict} ")
    assert report.ok is passes


def _git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def test_the_base_is_the_newest_tag_before_this_commit(tmp_path: Path) -> None:
    _git(tmp_path, "init", "--quiet")
    assert compare.newest_release(tmp_path) is None
    for name in ("v1", "v2", ""):
        _git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "a change")
        if name:
            _git(tmp_path, "tag", name)
    assert compare.newest_release(tmp_path) == "v2"


@pytest.mark.parametrize(("lock", "shared"), [("numpy==2", True), ("numpy==3", False)])
def test_a_tree_shares_the_environment_only_where_its_locks_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: str, shared: bool
) -> None:
    root = tmp_path / "root"
    for folder, content in ((root, "numpy==2"), (root / "build" / "compare" / "abc", lock)):
        for name in ("local", "uv"):
            (folder / "requirements").mkdir(parents=True, exist_ok=True)
            (folder / "requirements" / f"{name}.txt").write_text(content)
    (root / ".venv").mkdir()
    commands: list[str] = []
    monkeypatch.setattr(compare, "ROOT", root)
    monkeypatch.setattr(subprocess, "check_output", lambda *_, **__: "abc\n")
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command[0]))
    folder = compare.check_out("v1")
    assert (folder / ".venv").is_symlink() is shared
    assert ("scripts/setup" in commands) is not shared
