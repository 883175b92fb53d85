"""`docwell prompts`."""

from __future__ import annotations

import json
from pathlib import Path

from docwell.query.prompting import load_prompt, prompt_names, read_prompt
from tests.unit.cli.conftest import Run


def test_the_list_has_name_version_purpose_and_tokens(run: Run) -> None:
    shown = run("prompts", "list")
    listed = json.loads(run("prompts", "list", "--json").stdout)["prompts"]
    assert [one["name"] for one in listed] == prompt_names()
    for one, prompt in zip(listed, map(load_prompt, prompt_names()), strict=True):
        assert (one["version"], one["purpose"], one["tokens"]) == (prompt.version, prompt.purpose, prompt.tokens)
        assert all(str(one[name]) in shown.stdout for name in ("name", "version", "purpose", "tokens"))


def test_a_prompt_is_shown_byte_for_byte(run: Run) -> None:
    assert run("prompts", "show", "answer").stdout == read_prompt("answer").decode()


def test_the_difference_of_two_prompts_names_their_versions(run: Run) -> None:
    lines = run("prompts", "diff", "answer", "answer-short").stdout.splitlines()
    assert lines[:2] == [
        f"--- answer {load_prompt('answer').version}", f"+++ answer-short {load_prompt('answer-short').version}"
    ]  # fmt: skip
    assert "-name: answer" in lines
    assert "+name: answer-short" in lines


def test_a_prompt_is_compared_with_a_file(run: Run, tmp_path: Path) -> None:
    draft = tmp_path / "draft.md"
    draft.write_bytes(read_prompt("answer"))
    assert run("prompts", "diff", "answer", str(draft)).stdout == ""
    draft.write_bytes(read_prompt("answer") + b"\nBe kind \xff")
    changed = run("prompts", "diff", "answer", str(draft))
    assert changed.exit_code == 0
    assert changed.stdout.endswith("+Be kind \\xff\n\\ No newline at end of file\n")


def test_an_unknown_prompt_is_wrong_usage_and_an_unreadable_file_an_error(run: Run) -> None:
    unknown = run("prompts", "show", "nothing")
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert (
        "there is no prompt 'nothing'; there are: answer, answer-short, compare, overview, rewrite"
        in unknown.stderr
    )
    missing = run("prompts", "diff", "answer", "./nothing.md")
    assert missing.exit_code == 2
    assert "cannot read './nothing.md': No such file or directory" in missing.stderr
