"""Docstrings and comments keep to plain English in the folders of `PLAIN`."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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
