"""The ceilings of the tree, the sizes of functions, empty `__init__.py`, lint exceptions, plain prose."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
NAMES = [name for name in TRACKED.splitlines() if name.endswith(".py") and (ROOT / name).exists()]
SOURCES = {name: (ROOT / name).read_text() for name in NAMES}
FUNCTION_LINES = 50
HANDLER_LINES = 40
EXCEPTIONS = 79
EXCEPTION = re.compile(r"#\s*(?:ruff:\s*)?noqa\b.*")
PACKAGE = "layers/docwell/python/docwell/"
# The most lines of Python below each folder. A change may lower a ceiling and never raises one. They go down to
# 28,000 for the package, of it 6,500 for query/ and 4,900 for the readers of documents.
CEILINGS = {
    PACKAGE: 29_142,
    PACKAGE + "query/": 6_452,
    PACKAGE + "adapters/documents/": 4_875,
    PACKAGE + "cli/": 3_682,
    "benchmarks/": 6_495,
    "tests/": 35_998,
    "infra/": 6_945,
}
TEMPLATE_LINES = 4_500
# Names that do not say what a value is: at most one in a hundred.
EMPTY_NAMES = re.compile(
    "one|ones|found|others?|own|asked|said|known|wanted|every|each|kept|told|made|given|taken|seen|held|meant|it|them"
    "|those|these|that|this|things?|what|which|many|most|few|some|any|rest|ways?|whole|both|more|less|there|here"
)
EMPTY_SHARE = 0.01
WITH_REASON = re.compile(r"#\snoqa: [A-Z]+\d+(, [A-Z]+\d+)* - \w")


def long_functions(source: str, most: int) -> list[str]:
    """Return the names of functions with more lines, from `def` to the last line."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    return [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= most]


def exceptions(source: str) -> list[str]:
    """Return the comments that switch off a lint rule."""
    return EXCEPTION.findall(source)


def bound_names(source: str) -> list[str]:
    """Return the names that assignments, loops, parameters and definitions bind."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append(node.id)
        elif isinstance(node, ast.arg) and node.arg not in {"self", "cls"}:
            names.append(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
    return names


@pytest.mark.parametrize(("folder", "ceiling"), CEILINGS.items())
def test_no_folder_grows(folder: str, ceiling: int) -> None:
    lines = [len(text.splitlines()) for name, text in SOURCES.items() if name.startswith(folder)]
    assert lines
    assert sum(lines) <= ceiling


def test_the_templates_do_not_grow() -> None:
    paths = [ROOT / "template.yaml", *(ROOT / "infra").glob("*.yaml")]
    assert sum(len(path.read_text().splitlines()) for path in paths) <= TEMPLATE_LINES


def test_names_say_what_a_value_is() -> None:
    names = [name for path, text in SOURCES.items() if path.startswith(PACKAGE) for name in bound_names(text)]
    empty = [name for name in names if EMPTY_NAMES.fullmatch(name.strip("_").lower())]
    assert len(empty) <= EMPTY_SHARE * len(names), sorted(set(empty))
    assert bound_names("def f(one):\n    for a in one:\n        b = a") == ["f", "one", "a", "b"]


def test_no_function_is_long() -> None:
    found = {name: long_functions(text, FUNCTION_LINES) for name, text in SOURCES.items()}
    assert {name: functions for name, functions in found.items() if functions} == {}


def test_a_handler_is_short() -> None:
    handlers = {name: text for name, text in SOURCES.items() if name.startswith("functions/")}
    assert handlers
    assert [name for name, text in handlers.items() if long_functions(text, HANDLER_LINES)] == []


def test_every_init_file_is_empty() -> None:
    assert [name for name, text in SOURCES.items() if name.endswith("__init__.py") and text] == []


def printing(source: str) -> list[int]:
    """Return the numbers of lines that print without `display`."""
    names = {"print", "echo", "secho", "write"}
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [
        call.lineno
        for call in calls
        if (isinstance(call.func, ast.Name) and call.func.id in names)
        or (
            isinstance(call.func, ast.Attribute)
            and call.func.attr in names
            and ast.unparse(call.func.value) not in {"display", "display.console()"}
        )
    ]


def test_a_command_writes_to_the_terminal_only_through_display() -> None:
    commands = {name: text for name, text in SOURCES.items() if "/docwell/cli/" in name}
    assert commands
    found = {name: printing(text) for name, text in commands.items() if not name.endswith("/display.py")}
    assert {name: lines for name, lines in found.items() if lines} == {}
    assert printing("typer.echo(key)\nprint(key)\nsys.stdout.write(key)\nConsole().print(key)") == [1, 2, 3, 4]


def test_lint_exceptions_are_few_and_have_a_reason() -> None:
    found = [line for text in SOURCES.values() for line in exceptions(text)]
    assert len(found) <= EXCEPTIONS
    assert [line for line in found if not WITH_REASON.match(line)] == []


# --- prose ---


PLAIN = ("benchmarks", "examples", "functions", "infra", "layers", "runtime", "scripts", "tests")
FILES = [path for folder in PLAIN for path in sorted((ROOT / folder).rglob("*.py"))]

DANGLING = re.compile(r"(What|Those|That|As|Who|Whoever|Nobody|Somebody|Of|Said)\b")
DIALECT = re.compile(
    r"\b(nobody|whoever|somebody|(is|are) told|stands in|once more|no more(?! than)"
    r"|of (its|their) own|mend(s|ed)?)\b",
    re.IGNORECASE,
)


def findings(source: str) -> list[str]:
    """Return the docstrings with a dangling first word, and the docstrings and comments with a dialect phrase."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, documented)]
    docstrings = [text for node in nodes if (text := ast.get_docstring(node))]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    dangling = [text for text in docstrings if DANGLING.match(text)]
    return dangling + [text for text in (*docstrings, *comments) if DIALECT.search(text)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_docstrings_and_comments_are_plain_english(file: Path) -> None:
    assert findings(file.read_text()) == []
