"""Resolve CloudFormation's intrinsic functions, as far as conditions and IAM policies use them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NO_VALUE = object()
PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::AccountId": "111122223333",
    "AWS::StackName": "docwell-test",
    "AWS::StackId": "arn:aws:cloudformation:eu-central-1:111122223333:stack/docwell-test/1",
    "AWS::NoValue": NO_VALUE,
}


@dataclass(frozen=True)
class Values:
    """The values of names (`Queue`, `Queue.Arn`) and the conditions that hold."""

    names: Mapping[str, Any]
    conditions: frozenset[str] = frozenset()

    def of(self, node: Any) -> Any:
        """Return the value of a node of a template."""
        if isinstance(node, list):
            return [value for value in map(self.of, node) if value is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._call(name, argument)
        return {key: self.of(value) for key, value in node.items()}

    def holding(self, conditions: Mapping[str, Any]) -> frozenset[str]:
        """Return the names of a template's conditions that hold."""
        return frozenset(name for name in conditions if self.of(_plain(conditions, name)))

    def _call(self, name: str, argument: Any) -> Any:
        result: Any
        match name:
            case "Ref":
                result = self._named(argument)
            case "Fn::GetAtt":
                result = self._named(argument if isinstance(argument, str) else ".".join(argument))
            case "Fn::Sub":
                text, variables = (argument, {}) if isinstance(argument, str) else argument
                values = {key: self.of(value) for key, value in variables.items()}
                result = re.sub(
                    r"\$\{([\w:.]+)\}",
                    lambda match: str(values[match[1]] if match[1] in values else self._named(match[1])),
                    text,
                )
            case "Fn::Join":
                result = argument[0].join(self.of(argument[1]))
            case "Fn::GetAZs":
                result = [f"{PSEUDO['AWS::Region']}{letter}" for letter in "abc"]
            case "Fn::Split":
                result = self.of(argument[1]).split(argument[0])
            case "Fn::Select":
                result = self.of(argument[1])[int(argument[0])]
            case "Fn::If":
                result = self.of(argument[1] if argument[0] in self.conditions else argument[2])
            case _:
                result = self._holds(name, [self.of(item) for item in argument])
        return result

    def _holds(self, name: str, arguments: list[Any]) -> bool:
        match name:
            case "Fn::Equals":
                return str(arguments[0]) == str(arguments[1])
            case "Fn::Not":
                return not arguments[0]
            case "Fn::And":
                return all(arguments)
            case "Fn::Or":
                return any(arguments)
            case "Fn::Contains":
                return arguments[1] in arguments[0]
        raise NotImplementedError(name)

    def _named(self, name: str) -> Any:
        return PSEUDO[name] if name in PSEUDO else self.names[name]


def _plain(conditions: Mapping[str, Any], name: str) -> Any:
    """Return a condition with the conditions that it names in their place."""

    def plain(node: Any) -> Any:
        if isinstance(node, list):
            return [plain(item) for item in node]
        if isinstance(node, dict):
            if set(node) == {"Condition"}:
                return plain(conditions[node["Condition"]])
            return {key: plain(value) for key, value in node.items()}
        return node

    return plain(conditions[name])
