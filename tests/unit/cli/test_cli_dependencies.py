"""The command line tool runs with the packages that `pip install docwell` brings."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[3]
# Imports each module as if only these packages were installed, and prints those that need another one.
PROGRAM = """
import importlib, json, sys
absent, modules = map(json.loads, sys.argv[1:])
sys.modules |= dict.fromkeys(absent)
for name in modules:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        print(name, error)
"""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def brought(requirements: list[str]) -> set[str]:
    """Return the names of the packages, and of all that they need."""
    found: set[str] = set()
    left = [Requirement(one) for one in requirements]
    while left:
        one = left.pop()
        if canonical(one.name) not in found and (one.marker is None or one.marker.evaluate({"extra": ""})):
            found.add(canonical(one.name))
            left += map(Requirement, metadata.requires(one.name) or ())
    return found


def test_no_command_imports_a_package_that_the_project_does_not_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = brought(project["dependencies"])
    owners = metadata.packages_distributions()
    absent = [name for name, of in owners.items() if name != "docwell" and not installed & set(map(canonical, of))]
    modules = {
        node.module
        for path in (ROOT / "layers/docwell/python/docwell/cli").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("docwell.")
    }
    assert modules
    assert "chromadb" in absent
    command = [sys.executable, "-c", PROGRAM, json.dumps(absent), json.dumps(sorted(modules))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""
