"""The resources that a profile creates: the templates, with the conditions that its parameters meet."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cfnlint.decode import decode  # type: ignore[import-untyped] # ships no types

from docwell.query.night import Night
from infra.container.sam import ROOT
from infra.intrinsics import NO_VALUE, Values

PROFILES = ROOT / "infra" / "parameters"
_STACK = "AWS::CloudFormation::Stack"
_HOURS_IN_WEEK = 7 * 24


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of a stack, with the values of its stack's parameters."""

    type: str
    stack: "Stack"
    properties: Mapping[str, Any]

    def of(self, *path: str) -> Any:
        """Return the value of a property, or None where the resource has none."""
        node: Any = self.properties
        for name in path:
            node = node.get(name, NO_VALUE) if isinstance(node, dict) else NO_VALUE
        value = self.stack.values.of(node)
        return None if value is NO_VALUE else value


class _Names(dict[str, Any]):
    """The values of parameters. Another name stands for itself: what AWS will call it costs nothing."""

    def __missing__(self, name: str) -> str:
        return name


class Stack:
    """A template with its parameters. `of(logical_id)` is one resource; `resources` has those of nested stacks."""

    def __init__(self, path: Path, parameters: Mapping[str, Any]) -> None:
        self._path, template = path, _template(path)
        names = _Names()
        for name, one in template.get("Parameters", {}).items():
            given = parameters.get(name, one.get("Default", ""))
            listed = "List" in one["Type"] and isinstance(given, str)
            names[name] = given.split(",") if listed else given
        self.values = Values(names, Values(names).holding(template.get("Conditions", {})))
        self.template = template

    def of(self, logical_id: str) -> Resource:
        """Return a resource by its name in the template."""
        one = self.template["Resources"][logical_id]
        return Resource(one["Type"], self, one.get("Properties", {}))

    def resources(self) -> Iterator[Resource]:
        """Yield the resources that the conditions create, those of nested stacks included."""
        for stack in self.stacks():
            for name, one in stack.template["Resources"].items():
                if one["Type"] != _STACK and stack.creates(one):
                    yield stack.of(name)

    def stacks(self) -> Iterator["Stack"]:
        """Yield this stack and those in it that the conditions create."""
        yield self
        for one in self.template["Resources"].values():
            if one["Type"] == _STACK and self.creates(one):
                given = self.values.of(one["Properties"].get("Parameters", {}))
                yield from Stack(self._path.parent / one["Properties"]["TemplateURL"], given).stacks()

    def stack_of(self, logical_id: str) -> "Stack":
        """Return the stack that has a resource of that name. Raises `LookupError`."""
        for stack in self.stacks():
            if logical_id in stack.template["Resources"]:
                return stack
        raise LookupError(logical_id)

    def creates(self, resource: Mapping[str, Any]) -> bool:
        """Return whether the conditions create a resource of the template."""
        return resource.get("Condition") in (None, *self.values.conditions)


@cache
def _template(path: Path) -> dict[str, Any]:
    content: Any
    content, problems = decode(str(path))
    if problems:
        raise ValueError(f"{path}: {problems}")
    return dict(content)


def profiles() -> dict[str, dict[str, Any]]:
    """Return the parameters of each profile."""
    return {path.stem: tomllib.loads(path.read_text("utf-8")) for path in sorted(PROFILES.glob("*.toml"))}


def system(parameters: Mapping[str, Any]) -> Stack:
    """Return the main stack with these parameters, else the defaults."""
    return Stack(ROOT / "template.yaml", parameters)


def share_on(night: str) -> float:
    """Return the share of a week in which hosts run that two cron expressions stop and start, as in OllamaNight.

    >>> share_on("0 19 * * *;0 7 * * 1-5;Etc/UTC") == 5 * 12 / (7 * 24)
    True
    """
    if not night:
        return 1.0
    schedule, monday = Night.parse(night), datetime(2026, 1, 5, tzinfo=UTC)
    times = (monday + timedelta(hours=hour) for hour in range(_HOURS_IN_WEEK))
    return sum(schedule.until(one.timestamp()) is None for one in times) / _HOURS_IN_WEEK
