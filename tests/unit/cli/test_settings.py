"""The sources of the settings and their order; wrong input; the prompts, the help and its dependencies."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from docwell import version as version_module
from docwell.cli.app import app
from docwell.cli.settings import Failure, find_settings, stack_pointers
from docwell.version import VERSION
from tests.unit.cases import rows
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import FakeApi

ROOT = Path(__file__).parents[3]


def stack_file(folder: Path, pid: int, **more: str) -> None:
    stack: dict[str, Any] = {
        "pid": pid,
        "gateway": "http://127.0.0.1:1",
        "aws_endpoint": "http://127.0.0.1:2",
        "bucket": "local-bucket",
        "region": "eu-west-1",
        "access_key": "local",
        "secret_key": "local-secret",
    }
    (folder / ".docwell").mkdir(exist_ok=True)
    (folder / ".docwell" / "stack.json").write_text(json.dumps(stack | more))


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    run: Run, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key_sent(*arguments: str) -> str | None:
        assert run("ask", "why?", "--endpoint", api.endpoint, *arguments).exit_code == 0
        return api.requests[-1][3]

    # With the byte order mark of some editors.
    Path("docwell.toml").write_text('api_key = "file"', "utf-8-sig")
    assert key_sent() == "file"
    monkeypatch.setenv("DOCWELL_API_KEY", "environment")
    assert key_sent() == "environment"
    assert key_sent("--api-key", "flag") == "flag"


def test_the_file_of_the_folder_hides_the_one_of_the_home(tmp_path: Path) -> None:
    for folder, name in ((tmp_path / ".config" / "docwell", "config"), (Path(), "docwell")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.toml").write_text(f'bucket = "of-{name}"\nendpoint = "http://{name}"')
        assert find_settings().bucket == f"of-{name}"


def test_a_stack_is_found_from_anywhere_one_of_this_folder_first_and_of_several_it_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_up(name: str, clone: Path, at: int) -> Path:
        (folder := tmp_path / "data" / name).mkdir(parents=True)
        stack_file(folder, os.getpid(), bucket=name)
        stack_pointers().mkdir(parents=True, exist_ok=True)
        (pointer := stack_pointers() / name).write_text(f"{folder / '.docwell'}\n{clone}")
        os.utime(pointer, (at, at))
        return folder

    mine = make_up("mine", tmp_path, 1)
    assert (find_settings().bucket, find_settings().chosen_stack) == ("mine", None)
    newest = make_up("é", tmp_path / "elsewhere", 2)
    assert (find_settings().bucket, find_settings().chosen_stack) == ("mine", str(mine / ".docwell"))
    assert f"{mine / '.docwell'} (DOCWELL_DATA)" in run("ask", "why?").stderr.replace("\n", "")
    monkeypatch.chdir("/")
    assert (find_settings().bucket, find_settings().chosen_stack) == ("é", str(newest / ".docwell"))
    stack_file(newest, 2**31 - 2, bucket="dead")  # no system has process ids as high as this
    assert (find_settings().bucket, find_settings().chosen_stack) == ("mine", None)
    stack_file(mine, 2**31 - 2)
    monkeypatch.chdir(tmp_path)
    assert "no longer runs: start it with `make up`" in run("ask", "why?").stderr
    for folder in (mine, newest):
        (folder / ".docwell" / "stack.json").unlink()
    assert run("ask", "why?").exit_code == 2


def test_the_package_the_command_and_the_chart_have_the_same_version(run: Run) -> None:
    assert run("--version").stdout == f"docwell {VERSION}\n"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert ROOT / project["tool"]["hatch"]["version"]["path"] == Path(str(version_module.__file__))
    assert f'appVersion: "{VERSION}"' in (ROOT / "infra/kubernetes/docwell/Chart.yaml").read_text()


def test_a_local_stack_above_the_folder_lends_nothing_to_a_named_endpoint_or_to_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack_file(tmp_path, os.getpid(), principals_table="t")
    settings = find_settings()
    assert (settings.endpoint, settings.principals_table) == ("http://127.0.0.1:1", "t")
    assert (settings.access_key, settings.api_key, settings.local) == ("local", None, True)
    named = find_settings(endpoint="https://deployed")
    assert {named.bucket, named.aws_endpoint, named.access_key, named.local or None} == {None}
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    assert find_settings().bucket is None


@pytest.mark.parametrize("content", ["endpoint = 3", "endpont = 'x'", "not toml"])
def test_a_wrong_settings_file_is_named(content: str) -> None:
    Path("docwell.toml").write_text(content)
    with pytest.raises(Failure, match=r"docwell\.toml"):
        find_settings()


@pytest.mark.parametrize(("line", "environment", "hint"), rows(__file__, "wrong_settings"))
def test_wrong_settings_end_with_2_and_name_the_missing_value(
    run: Run, monkeypatch: pytest.MonkeyPatch, line: str, environment: dict[str, str], hint: str
) -> None:
    Path("a.pdf").write_bytes(b"%PDF-1.7")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = run(*line.split(" "))
    assert (result.exit_code, result.stdout, hint in result.stderr) == (2, "", True), result.output
    assert len(result.stderr.strip().splitlines()) == 1 or result.stderr.startswith("Usage: ")


@pytest.mark.parametrize("key", ["secret\r", "secret\n", "sec ret", "secr\u00e9t"])
@pytest.mark.parametrize("arguments", [("ask", "why?"), ("status",), ("put", "a.pdf")], ids=" ".join)
def test_a_key_that_no_header_can_have_is_refused_and_not_shown(
    run: Run, api: FakeApi, credentials: None, arguments: tuple[str, ...], key: str
) -> None:
    Path("a.pdf").write_bytes(b"%PDF-1.7")
    Path("docwell.toml").write_text(f"api_key = {json.dumps(key)}" if key.isascii() else "")
    flags = () if key.isascii() else ("--api-key", key)
    result = run(*arguments, *flags, api=api)
    assert (result.exit_code, api.requests) == (2, []), result.output
    assert "DOCWELL_API_KEY" in result.stderr
    assert "sec" not in result.stderr


# --- the program ---

# Imports each module as if these packages were not installed.
PROGRAM = """
import importlib, json, sys
absent, modules = map(json.loads, sys.argv[1:])
sys.modules |= dict.fromkeys(absent)
for name in modules:
    importlib.import_module(name)
"""


def installed_by(requirements: list[str]) -> set[str]:
    """Return the names of the packages, and of all that they need."""
    names: set[str] = set()
    left = [Requirement(text) for text in requirements]
    while left:
        requirement = left.pop()
        name = canonicalize_name(requirement.name)
        if name not in names and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            names.add(name)
            left += map(Requirement, metadata.requires(requirement.name) or ())
    return names


def test_no_command_imports_a_package_that_the_project_does_not_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = installed_by(project["dependencies"])
    owners = metadata.packages_distributions()
    absent = [
        name
        for name, of in owners.items()
        if name != "docwell" and not installed & set(map(canonicalize_name, of))
    ]
    modules = {
        node.module
        for path in (ROOT / "layers/docwell/python/docwell/cli").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("docwell.")
    }
    assert "chromadb" in absent
    command = [sys.executable, "-c", PROGRAM, json.dumps(absent), json.dumps(sorted(modules))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


ROOT_COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
NESTED = [f"{name} {word}" for name, group in ROOT_COMMANDS.items() for word in getattr(group, "commands", ())]


@pytest.mark.parametrize("name", ["", *ROOT_COMMANDS, *NESTED])
def test_every_help_fits_80_columns_without_cut_summaries_and_types(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = run(*name.split(), "--help")
    assert (result.exit_code, max(map(len, result.stdout.splitlines())) <= 80) == (0, True)
    assert re.search(r"[a-z]\.\.\.$|<\w+( range)?>|<\w+\[|\[\[|\]\]|\{", result.stdout, re.MULTILINE) is None
    if re.search(r"^Usage: .* \[OPTIONS\] [^[]", result.stdout):  # a needed argument or command
        assert (run(*name.split()).exit_code, result.stdout) == (2, run(*name.split()).output)
    if not name:
        panels = re.findall(r"^(\w+):$", result.stdout, re.MULTILINE)
        assert panels == ["Options", "Ask", "Documents", "Quality", "Operate"]


def test_completion_offers_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"_DOCWELL_COMPLETE": "complete_bash", "COMP_WORDS": "docwell s", "COMP_CWORD": "1"}
    command = [sys.executable, "-c", "from docwell.cli.app import app; app(prog_name='docwell')"]
    done = subprocess.run(command, env=os.environ | words, capture_output=True, text=True, check=True)
    assert {"search", "status"} <= set(done.stdout.split())


def test_the_program_imports_neither_boto3_nor_httpx_at_its_start() -> None:
    code = "import sys; from docwell.cli import app; assert not {'boto3', 'httpx', 'pydantic'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
