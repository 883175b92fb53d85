"""Join the nested templates into one: what the root stack creates, without the borders of its stacks.

A parameter becomes the value that the parent gives, and an output of a stack the value behind it. So a reference
in the joined template names a resource, however many stacks it has passed.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

STACK = "AWS::CloudFormation::Stack"
Template = dict[str, Any]

_NAMES = re.compile(r"\$\{([^!}][^}]*)\}")


def joined(path: Path, read: Callable[[Path], Template], apart: Collection[str] = ()) -> Template:
    """Return the template of `path` with its nested stacks joined, but for those named in `apart`.

    `read` returns a template with long-form functions. Raises `ValueError` where two stacks give one name to
    different things.
    """
    root = copy.deepcopy(read(path))
    own = {name: {"Ref": name} for name in root.get("Parameters", {})}
    whole = _Stack(path, root, own, read, apart)
    result: Template = {
        name: part for name, part in root.items() if name not in ("Globals", "Resources", "Outputs")
    }
    result |= {"Conditions": {}, "Resources": {}}
    whole.add_to(result)
    return result | {"Outputs": whole.outputs}


class _Stack:
    """A stack with the values of its parameters, in terms of the joined template."""

    def __init__(
        self,
        path: Path,
        template: Template,
        given: Mapping[str, Any],
        read: Callable[[Path], Template],
        apart: Collection[str],
    ) -> None:
        defaults = {name: one.get("Default", "") for name, one in template.get("Parameters", {}).items()}
        self._path, self._template, self._values = path, template, defaults | dict(given)
        self._read, self._apart = read, apart
        self._nested: dict[str, _Stack] = {}

    def add_to(self, whole: Template, condition: str | None = None) -> None:
        """Add the conditions, and the resources that a condition creates, of this stack and of those in it."""
        if "Transform" in self._template:
            whole["Transform"] = self._template["Transform"]
        for name, one in self._template.get("Conditions", {}).items():
            _add(whole["Conditions"], name, self._replaced(one))
        shared = self._template.get("Globals", {}).get("Function", {})
        for name, resource in self._template["Resources"].items():
            if resource["Type"] == STACK and name not in self._apart:
                self._stack(name).add_to(whole, resource.get("Condition", condition))
                continue
            if resource["Type"] == "AWS::Serverless::Function":
                resource["Properties"] = _with_globals(resource["Properties"], shared)
            if condition and resource.setdefault("Condition", condition) != condition:
                raise ValueError(f"{name} has two conditions")
            _add(whole["Resources"], name, self._replaced(resource))

    @property
    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, in terms of the joined template."""
        return {name: self._replaced(one) for name, one in self._template.get("Outputs", {}).items()}

    def _stack(self, name: str) -> _Stack:
        if name not in self._nested:
            properties = self._template["Resources"][name]["Properties"]
            path = self._path.parent / properties["TemplateURL"]
            given = self._replaced(properties.get("Parameters", {}))
            self._nested[name] = _Stack(path, copy.deepcopy(self._read(path)), given, self._read, self._apart)
        return self._nested[name]

    def _named(self, name: str) -> Any:
        """Return the value of a parameter or of a nested stack's output; None for any other name."""
        stack, _, output = name.partition(".Outputs.")
        if output and stack not in self._apart:
            return self._stack(stack).outputs[output]["Value"]
        return self._values.get(name)

    def _replaced(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._replaced(one) for one in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, argument),) = node.items()
            if function in ("Ref", "Fn::GetAtt"):
                value = self._named(argument if isinstance(argument, str) else ".".join(argument))
                return node if value is None else value
            if function == "Fn::Sub":
                return self._sub(argument)
        return {key: self._replaced(value) for key, value in node.items()}

    def _sub(self, argument: Any) -> Any:
        text, own = (argument, {}) if isinstance(argument, str) else argument
        values = {name: self._replaced(value) for name, value in own.items()}

        def named(found: re.Match[str]) -> str:
            name = found[1]
            value = None if name in values else self._named(name)
            match value:
                case None:
                    return found[0]
                case {"Ref": str(other)}:
                    return f"${{{other}}}"
                case str() | int() | float():
                    return str(value)
            key = name.replace(".", "")
            values[key] = value
            return f"${{{key}}}"

        replaced = _NAMES.sub(named, text)
        return {"Fn::Sub": [replaced, values] if values else replaced}


def _with_globals(properties: Template, shared: Template) -> Template:
    """Return a function's properties as SAM completes them."""
    whole = copy.deepcopy(shared) | properties
    variables = shared.get("Environment", {}).get("Variables", {})
    own = properties.get("Environment", {}).get("Variables", {})
    return whole | {"Environment": {"Variables": copy.deepcopy(variables) | own}}


def _add(whole: Template, name: str, value: Any) -> None:
    if whole.setdefault(name, value) != value:
        raise ValueError(f"{name} is not the same in two stacks")
