"""The template's rules and patterns refuse what cannot work before a deployment begins, and nothing else."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from docwell.query.waking import Night
from infra.container.sam import ROOT
from tests.unit.infra.intrinsics import Values
from tests.unit.infra.templates import MAIN, content

PROFILES = sorted((ROOT / "infra" / "parameters").glob("*.toml"))
EACH_PROFILE = pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
CASES = tomllib.loads(Path(__file__).with_name("parameters.toml").read_text())


def broken(given: Mapping[str, str]) -> set[str]:
    """The rules that refuse these parameters, beside the defaults and a release."""
    template = content(MAIN)
    defaults = {name: str(parameter["Default"]) for name, parameter in template["Parameters"].items()}
    values = Values(defaults | {"Release": "a" * 64} | dict(given))
    return {
        name
        for name, rule in template["Rules"].items()
        if values.of(rule.get("RuleCondition", True))
        and not all(values.of(assertion["Assert"]) for assertion in rule["Assertions"])
    }


@pytest.mark.parametrize("row", CASES["allowed"], ids=lambda row: row["case"])
def test_parameters_that_work_are_allowed(row: dict[str, Any]) -> None:
    assert broken(row["given"]) == set()


@pytest.mark.parametrize("row", CASES["refused"], ids=lambda row: row["case"])
def test_parameters_that_cannot_work_are_refused(row: dict[str, Any]) -> None:
    assert broken(row["given"]) == {row["rule"]}


def test_every_rule_refuses_something() -> None:
    assert {row["rule"] for row in CASES["refused"]} == set(content(MAIN)["Rules"])


@EACH_PROFILE
def test_every_profile_is_allowed(path: Path) -> None:
    values = {name: str(text) for name, text in tomllib.loads(path.read_text()).items()}
    assert broken(values) == set()
    for name, text in values.items():
        parameter = content(MAIN)["Parameters"][name]
        assert text in map(str, parameter.get("AllowedValues", [text]))
        assert re.fullmatch(parameter.get("AllowedPattern", ".*"), text)


@EACH_PROFILE
def test_the_query_function_can_read_the_schedule_of_every_profile(path: Path) -> None:
    default = CASES["values"]["OllamaNight"]["right"][0]
    assert Night.parse(tomllib.loads(path.read_text()).get("OllamaNight", default))


@pytest.mark.parametrize("name", CASES["values"])
def test_a_parameter_of_several_parts_takes_all_of_them(name: str) -> None:
    pattern, values = content(MAIN)["Parameters"][name]["AllowedPattern"], CASES["values"][name]
    accepted = [text for text in values["wrong"] if re.fullmatch(pattern, text)]
    refused = [text for text in values["right"] if not re.fullmatch(pattern, text)]
    assert (accepted, refused) == ([], [])
