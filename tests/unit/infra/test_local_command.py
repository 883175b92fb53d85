"""`python -m infra.local`: the check of settings, and the hints once the stack is up."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from infra.local import __main__ as command
from infra.local.stack import Stack, StackOptions, plan, wrong_settings


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DOCWELL_")]:
        monkeypatch.delenv(name)


def stack(tmp_path: Path) -> Stack:
    return plan(StackOptions(tmp_path, port=0), "http://ollama", Path)[0]


@pytest.mark.parametrize("arguments", [["up"], ["up", "--no-follow"], ["demo"]])
def test_a_wrong_setting_is_named_before_anything_is_started(
    tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCWELL_MAX_TOP_K", "many")
    monkeypatch.setattr(sys, "argv", ["local", *arguments, "--data", str(tmp_path / "data")])
    assert command.main() == 2
    assert "DOCWELL_MAX_TOP_K: Input should be a valid integer" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_settings_of_every_function_are_looked_at_and_each_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("DOCWELL_CHUNK_TOKENS", "DOCWELL_MAX_RECEIVES", "DOCWELL_MIN_SCORE", "DOCWELL_BEGIN_BELOW")
    for name in names:
        monkeypatch.setenv(name, "-7")
    assert sorted(problem.partition(":")[0] for problem in wrong_settings(StackOptions(tmp_path))) == sorted(names)


def test_what_the_stack_sets_itself_may_be_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DOCWELL_CHROMA_URL", "DOCWELL_OLLAMA_URL", "DOCWELL_DEADLINE_S"):
        monkeypatch.setenv(name, "nonsense")
    monkeypatch.setenv("DOCWELL_TOP_K", "7")
    assert wrong_settings(StackOptions(tmp_path)) == []


@pytest.mark.parametrize("on_path", [False, True])
def test_the_activation_is_shown_when_docwell_is_not_on_the_path(
    tmp_path: Path,
    on_path: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "docwell").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", str(programs) if on_path else "")
    monkeypatch.chdir(tmp_path)
    command._addresses(stack(tmp_path))
    said = capsys.readouterr().out
    assert said.count("\n  source .venv/bin/activate\n") == (0 if on_path else 1)
    assert "\n  docwell put FILE.pdf\n" in said
    assert "\n  docwell ask " in said
