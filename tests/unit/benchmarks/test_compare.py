"""The verdicts of bench-compare, its base and its environments, without a stack."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks import compare, trees
from infra.report import Report

LIMIT = 1.1


def _git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("new", "said", "passes"),
    [
        ([2.0, 2.1, 2.0, 2.2], "slower", False),
        ([1.05, 1.06, 1.05, 1.07], "slower", True),  # within the limit
        ([0.9, 1.3, 1.0, 1.2], "no difference seen", True),
        ([0.8, 0.7, 0.8, 0.75], "faster", True),
    ],
)
def test_a_comparison_fails_only_where_the_whole_interval_is_above_the_limit(
    new: list[float], said: str, passes: bool
) -> None:
    report = Report("bench-compare")
    compare.add_comparison(report, "encode, 32 texts", {"base": [1.0] * 4, "new": new}, LIMIT)
    assert report.rows[0].metric.startswith(f"encode, 32 texts: {said} ")
    assert report.ok is passes


def test_the_base_is_the_newest_tag_before_this_commit(tmp_path: Path) -> None:
    _git(tmp_path, "init", "--quiet")
    assert trees.newest_release(tmp_path) is None
    for name in ("v1", "v2", ""):
        _git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "a change")
        if name:
            _git(tmp_path, "tag", name)
    assert trees.newest_release(tmp_path) == "v2"


def test_without_a_tag_the_comparison_is_skipped_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare, "newest_release", lambda: None)
    monkeypatch.setattr("sys.argv", ["compare", "--short"])
    assert compare.main() == 0
    assert "skipped, as this repository has no tag yet" in capsys.readouterr().out


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
    monkeypatch.setattr(trees, "ROOT", root)
    monkeypatch.setattr(subprocess, "check_output", lambda *_, **__: "abc\n")
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command[0]))
    folder = trees.check_out("v1")
    assert (folder / ".venv").is_symlink() is shared
    assert ("scripts/setup" in commands) is not shared
