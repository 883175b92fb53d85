"""The templates as tests read them: one by one, or joined as if the stacks had no borders."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cfnlint.decode import decode  # type: ignore[import-untyped] # ships no types

from infra.container.sam import ROOT

APP, SYSTEM = ROOT / "template.yaml", ROOT / "infra" / "system.yaml"
NESTED = sorted((ROOT / "infra").glob("*.yaml"))
TEMPLATES = [APP, *NESTED]
SERVERS = ("NetworkStack", "ChromaStack", "OllamaStack")
STACK = "AWS::CloudFormation::Stack"
Template = dict[str, Any]

_NAMES = re.compile(r"\$\{([^!}][^}]*)\}")


@cache
def _read(path: Path) -> str:
    template, problems = decode(str(path))
    assert not problems, path
    return json.dumps(template, default=str)


def content(path: Path) -> Template:
    """A template with long-form functions."""
    return dict(json.loads(_read(path)))


def whole(path: Path = APP, apart: tuple[str, ...] = SERVERS) -> Template:
    """A template joined with its nested stacks, but for those named in `apart`; the app with data and servers.

    A parameter becomes the value that the parent gives, and an output of a stack the value behind it. So a
    reference in the joined template names a resource, however many stacks it has passed.
    """
    return copy.deepcopy(_whole_template(path, apart))


@cache
def _whole_template(path: Path, apart: tuple[str, ...]) -> Template:
    template: Template = {"Parameters": {}, "Conditions": {}, "Resources": {}, "Outputs": {}}
    given: Template = {}
    for root in (SYSTEM, APP) if path == APP else (path,):
        parameters = content(root).get("Parameters", {})
        references = {name: {"Ref": name} for name in parameters}
        stack = _Stack(root, content(root), references | given, apart)
        stack.add_to(template)
        settable = {name: parameters[name] for name in parameters.keys() - given}
        template["Parameters"] = settable | template["Parameters"]
        template["Outputs"] = stack.outputs
        given = {name: output["Value"] for name, output in stack.outputs.items() if name != "Templates"}
    return template


class _Stack:
    """A stack with the values of its parameters, in terms of the joined template."""

    def __init__(self, path: Path, template: Template, values: Mapping[str, Any], apart: Collection[str]) -> None:
        defaults = {
            name: parameter.get("Default", "") for name, parameter in template.get("Parameters", {}).items()
        }
        self._path, self._template, self._values = path, template, defaults | dict(values)
        self._apart = apart
        self._nested: dict[str, _Stack] = {}

    def add_to(self, joined: Template, condition: str | None = None) -> None:
        """Add the conditions, and the resources that a condition creates, of this stack and of those in it."""
        for name, node in self._template.get("Conditions", {}).items():
            _add(joined["Conditions"], name, self._replaced(node))
        shared = self._template.get("Globals", {}).get("Function", {})
        for name, resource in self._template["Resources"].items():
            if resource["Type"] == STACK and name not in self._apart:
                self._stack(name).add_to(joined, resource.get("Condition", condition))
                continue
            if resource["Type"] == "AWS::Serverless::Function":
                resource["Properties"] = _with_globals(resource["Properties"], shared)
            if condition and resource.setdefault("Condition", condition) != condition:
                raise ValueError(f"{name} has two conditions")
            _add(joined["Resources"], name, self._replaced(resource))

    @property
    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, in terms of the joined template."""
        return {name: self._replaced(output) for name, output in self._template.get("Outputs", {}).items()}

    def _stack(self, name: str) -> _Stack:
        if name not in self._nested:
            properties = self._template["Resources"][name]["Properties"]
            path = (self._path.parent / properties["TemplateURL"]).resolve()
            values = self._replaced(properties.get("Parameters", {}))
            self._nested[name] = _Stack(path, content(path), values, self._apart)
        return self._nested[name]

    def _named(self, name: str) -> Any:
        """Return the value of a parameter or of a nested stack's output; None for any other name."""
        stack, _, output = name.partition(".Outputs.")
        if output and stack not in self._apart:
            return self._stack(stack).outputs[output]["Value"]
        return self._values.get(name)

    def _replaced(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._replaced(item) for item in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, argument),) = node.items()
            if function in ("Ref", "Fn::GetAtt"):
                value = self._named(argument if isinstance(argument, str) else ".".join(argument))
                return node if value is None else value
            if function == "Fn::Sub":
                return self._substituted(argument)
        return {key: self._replaced(value) for key, value in node.items()}

    def _substituted(self, argument: Any) -> Any:
        text, variables = (argument, {}) if isinstance(argument, str) else argument
        values = {name: self._replaced(value) for name, value in variables.items()}

        def replacement(match: re.Match[str]) -> str:
            name = match[1]
            value = None if name in values else self._named(name)
            match value:
                case None:
                    return f"${{{name}}}"
                case {"Ref": str(resource)}:
                    return f"${{{resource}}}"
                case str() | int() | float():
                    return str(value)
            key = name.replace(".", "")
            values[key] = value
            return f"${{{key}}}"

        replaced = _NAMES.sub(replacement, text)
        return {"Fn::Sub": [replaced, values] if values else replaced}


def _with_globals(properties: Template, shared: Template) -> Template:
    """Return a function's properties as SAM completes them."""
    variables = [entry.get("Environment", {}).get("Variables", {}) for entry in (shared, properties)]
    return copy.deepcopy(shared) | properties | {"Environment": {"Variables": variables[0] | variables[1]}}


def _add(joined: Template, name: str, value: Any) -> None:
    if joined.setdefault(name, value) != value:
        raise ValueError(f"{name} is not the same in two stacks")


def properties(template: dict[str, Any], name: str) -> dict[str, Any]:
    result: dict[str, Any] = template["Resources"][name]["Properties"]
    return result
