"""Write the built template with this machine's addresses, for `sam local`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped] # ships no types

from infra.container import sam
from infra.intrinsics import Values
from infra.whole_template import STACK, joined

# `sam local` cannot resolve what AWS creates in these.
_APART = ("NetworkStack", "ChromaStack", "OllamaStack", "FirewallStack", "ConsoleStack", "ObservabilityStack")
# `overrides` names both servers.
_GIVEN = {"ChromaUrl": "given", "OllamaUrl": "given"}
_NO_VALUE = {"Ref": "AWS::NoValue"}
LAYER = "AWS::Serverless::LayerVersion"
API = "AWS::Serverless::Api"
# Each stack builds its own layers, all alike; the query function has both.
_LAYERS = sam.BUILT_TEMPLATE.parent / "QueryStack"


def built() -> dict[str, Any]:
    """Return the built template joined with its nested ones, without servers and VPC, and with conditions decided.

    `sam local` finds no layer of another nested stack, and resolves no condition on the output of one.
    """
    template = joined(sam.BUILT_TEMPLATE, _read, _APART)
    names = _Names({name: one.get("Default", "") for name, one in template["Parameters"].items()} | _GIVEN)
    conditions = template.pop("Conditions")
    del template["Outputs"]
    held: frozenset[str] = frozenset()
    # A condition can refer to another one.
    while (found := Values(names, held).holding(conditions)) != held:
        held = found
    resources = {}
    for name, one in template["Resources"].items():
        if one["Type"] != STACK and one.pop("Condition", None) in (None, *held):
            one["Properties"].pop("VpcConfig", None)
            resources[name] = _decided(one, held)
            if one["Type"] == API:
                _open(resources[name]["Properties"]["DefinitionBody"])
    return template | {"Resources": resources}


def _open(definition: dict[str, Any]) -> None:
    """Remove the authorizer: `sam local` starts with no route that wants an authorizer and an API key together."""
    del definition["components"]["securitySchemes"]
    for methods in definition["paths"].values():
        for method in methods.values():
            method.pop("security", None)


class _Names(dict[str, Any]):
    """The values of parameters. Another name stands for itself."""

    def __missing__(self, name: str) -> str:
        return name


def _decided(node: Any, held: frozenset[str]) -> Any:
    """Return a part of a template with the branches that the conditions choose."""
    match node:
        case {"Fn::If": [condition, yes, no]}:
            return _decided(yes if condition in held else no, held)
        case dict():
            parts = {key: _decided(value, held) for key, value in node.items()}
            return {key: value for key, value in parts.items() if value != _NO_VALUE}
        case list():
            return [value for value in (_decided(one, held) for one in node) if value != _NO_VALUE]
    return node


def _read(path: Path) -> dict[str, Any]:
    """Return a template with absolute paths of its code."""
    template: dict[str, Any] = yaml.safe_load(path.read_text())
    for name, one in template["Resources"].items():
        if "CodeUri" in one["Properties"]:
            one["Properties"]["CodeUri"] = str(path.parent / one["Properties"]["CodeUri"])
        elif one["Type"] == LAYER:
            one["Properties"]["ContentUri"] = str(_LAYERS / name)
    return template


def write(variables: Mapping[str, str]) -> Path:
    """Write the template next to the built one, whose paths are relative. Return its path.

    The query function gets the environment variables. They go into the template because `sam local` drops
    variables of `--env-vars` that the template does not declare.
    """
    template = built()
    template["Resources"]["QueryFunction"]["Properties"]["Environment"]["Variables"] |= variables
    path = sam.BUILD / "template-on-this-machine.yaml"
    path.write_text(yaml.safe_dump(template))
    return path


def overrides(chroma: str, ollama: str) -> list[str]:
    """Return options of `sam local` that name both servers, so that the template creates none."""
    return ["--parameter-overrides", f"ChromaUrl={chroma}", f"OllamaUrl={ollama}"]
