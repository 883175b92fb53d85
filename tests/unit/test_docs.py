"""The documentation names only links, commands, paths, settings and resources that exist."""

from __future__ import annotations

import importlib
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from awscli.clidriver import create_clidriver  # type: ignore[import-untyped] # ships no types

from docwell import config
from docwell.cli.settings import OPERATOR
from runtime import settings

ROOT = Path(__file__).parents[2]
ALL_PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in ALL_PAGES if "generated" not in page.parts]
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
AWS_SCRIPTS = sorted([*ROOT.glob("infra/*.yaml"), *ROOT.glob(".github/workflows/*.yml")])
MOST_WORDS, MOST_WORDS_OF_USE, MOST_PAGES_OF_USE = 20_000, 5_300, 9
USE = sorted((ROOT / "docs" / "use").glob("*.md"))
# These read variables that no settings class has.
TOOLS = (
    "scripts/install-for-lambda",
    "layers/embedder/download/fetch.py",
    "infra/local/stack.py",
    "infra/report.py",
    "layers/docwell/python/docwell/cli/settings.py",
)
FOLDERS = r"docwell|benchmarks|docs|examples|functions|infra|layers|requirements|runtime|scripts|tests|\.github"
NOT_COMMITTED = ("layers/embedder/model",)
SOURCES = ("template.yaml", "infra/*.yaml", "infra/**/*.py", "layers/docwell/**/*.py", "benchmarks/**/*.py")


def code_of(page: Path) -> str:
    """Return the code spans, and the lines of fenced blocks without their comments."""
    text = page.read_text()
    blocks = "".join(re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL))
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*re.findall(r"`([^`]+)`", prose), re.sub(r"(?m)(^|\s)#.*$", "", blocks)])


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", "\n".join(re.findall(r"^#+ (.+)$", text, re.MULTILINE)))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings.lower().split("\n")}


def commands(group: Any, name: str) -> Iterator[tuple[str, list[Any]]]:
    """Yield each command and group by its full name, with its parameters."""
    yield name, group.get_params(typer.Context(group))
    for word, command in getattr(group, "commands", {}).items():
        yield from commands(command, f"{name} {word}")


@cache
def program() -> Any:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, name = project["scripts"]["docwell"].split(":")
    return typer.main.get_command(getattr(importlib.import_module(module), name))


@cache
def docwell() -> dict[str, list[Any]]:
    return dict(commands(program(), "docwell"))


def make_targets() -> set[str]:
    """Return the targets of the Makefile, and its variables as `$(NAME)`."""
    makefile = (ROOT / "Makefile").read_text()
    names = " ".join(re.findall(r"^(?:\.PHONY:|BENCHES :=) (.+)$", makefile, re.MULTILINE)).split()
    return {*names, *re.findall(r"\$\([A-Z_]+\)", makefile)}


@cache
def words_of_sources() -> set[str]:
    return set(
        re.findall(r"\w+", " ".join(path.read_text() for pattern in SOURCES for path in ROOT.glob(pattern)))
    )


@EACH_PAGE
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert "://" in target or file.exists(), target
        assert "://" in target or not anchor or anchor in anchors_of(file), target


@EACH_PAGE
def test_every_make_target_and_variable_exists(page: Path) -> None:
    code = code_of(page)
    variables = re.findall(r"\bmake [a-z-]+ (?:ARGS=\S+ )?([A-Z_]+)=", code)
    targets = re.findall(r"\bmake ([a-z][a-z-]*[a-z])(?![a-z…-])", code)
    assert {*targets, *(f"$({name})" for name in variables)} <= make_targets()


@EACH_PAGE
def test_every_command_and_its_options_exist(page: Path) -> None:
    known = docwell()
    for line in re.findall(r"^(?:\$ )?(docwell [a-z].*)$", code_of(page), re.MULTILINE):
        words = line.split()
        group = f"{words[0]} {words[1]} "
        name = " ".join(words[: 3 if any(command.startswith(group) for command in known) else 2])
        assert name in known, line
        options = {flag for option in known[name] for flag in (*option.opts, *option.secondary_opts)}
        assert {word for word in words if re.fullmatch(r"--[a-z-]+", word)} <= options | {"--help"}, line


def test_every_command_that_a_message_names_exists() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "layers/docwell/python/docwell").rglob("*.py"))
    assert set() < set(re.findall(r"`(docwell [a-z]+)", sources)) <= set(docwell())


def test_every_page_that_a_source_names_exists() -> None:
    command = ["git", "grep", "-hoP", r"(?<![\w/])docs/[a-z0-9/-]+\.md", "--", ":!docs"]
    names = set(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())
    assert [name for name in names if not (ROOT / name).exists()] == []


@cache
def aws_options(*words: str) -> set[str]:
    """The options of `aws`, or of `aws SERVICE OPERATION`. Raises `KeyError` for a command that does not exist."""
    command = create_clidriver().create_help_command()
    for word in words:
        command = command.command_table[word].create_help_command()
    return set(command.arg_table)


@pytest.mark.parametrize("path", [*PAGES, *AWS_SCRIPTS], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_of_aws_and_its_options_exist(path: Path) -> None:
    text = re.sub(r"\\\n\s*", "", code_of(path) if path.suffix == ".md" else path.read_text())
    for line in re.findall(r"\baws (?=[a-z0-9-]+ [a-z-]+)([^\n|;&)]+)", text.replace("$(", "\n")):
        options = set(re.findall(r"(?<=--)[a-z-]+\b", line))
        assert options <= aws_options(*line.split()[:2]) | aws_options(), line


@EACH_PAGE
def test_every_path_in_code_exists(page: Path) -> None:
    for name in re.findall(rf"(?<![\w./~-])((?:{FOLDERS})/[\w./-]*\w/?)", code_of(page)):
        path = ROOT / (f"layers/docwell/python/{name}" if name.startswith("docwell/") else name)
        assert path.exists() or name.startswith(NOT_COMMITTED), name


@EACH_PAGE
def test_every_variable_is_a_setting(page: Path) -> None:
    models = (*vars(config).values(), *vars(settings).values())
    classes = [kind for kind in models if hasattr(kind, "model_fields")]
    names = {*OPERATOR, *(field for kind in classes for field in kind.model_fields)}
    fields = {f"DOCWELL_{name.upper()}" for name in names}
    options = (str(option.envvar) for parameters in docwell().values() for option in parameters)
    tools = ((ROOT / tool).read_text() for tool in TOOLS)
    known = fields | set(re.findall(r"\w+", " ".join([*options, *tools])))
    assert set(re.findall(r"DOCWELL_[A-Z0-9_]*[A-Z0-9]", page.read_text())) <= known


@EACH_PAGE
def test_every_resource_parameter_and_metric_exists(page: Path) -> None:
    named = re.findall(r"(?m)^([A-Z][a-z]+[A-Z]\w*)$|\b([A-Z][a-z]+[A-Z]\w*)=(?!=)", code_of(page))
    assert {first or second for first, second in named} <= words_of_sources()


@pytest.mark.parametrize("page", USE, ids=lambda page: page.name)
def test_a_page_of_use_begins_with_its_task_and_a_command(page: Path) -> None:
    assert re.match(r"# .+\n\nUse this page to [^#]*```bash\n", page.read_text())


def test_the_documentation_is_short() -> None:
    for pages, most in ((PAGES, MOST_WORDS), (USE, MOST_WORDS_OF_USE)):
        words = [word for page in pages for word in page.read_text().split() if any(map(str.isalnum, word))]
        assert len(words) <= most
    assert len(USE) <= MOST_PAGES_OF_USE
