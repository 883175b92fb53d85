"""Write the built template with this machine's addresses, for `sam local`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped] # ships no types

from infra.container import sam
from infra.whole_template import STACK, joined

# What an account makes of these, sam cannot resolve.
_APART = ("NetworkStack", "ChromaStack", "OllamaStack", "FirewallStack", "ObservabilityStack")
INGEST, QUERY, RECONCILE = "IngestFunction", "QueryFunction", "ReconcileFunction"


def built() -> dict[str, Any]:
    """Return the built template joined with its nested ones, without servers and VPC.

    `sam local` does not find a layer of another nested stack.
    """
    template = joined(sam.BUILT_TEMPLATE, _read, _APART)
    template["Resources"] = {name: one for name, one in template["Resources"].items() if one["Type"] != STACK}
    for one in template["Resources"].values():
        one["Properties"].pop("VpcConfig", None)
    return template


def _read(path: Path) -> dict[str, Any]:
    """Return a template with absolute paths of its code."""
    template: dict[str, Any] = yaml.safe_load(path.read_text())
    for one in template["Resources"].values():
        for name in ("CodeUri", "ContentUri"):
            if name in one["Properties"]:
                one["Properties"][name] = str(path.parent / one["Properties"][name])
    return template


def write(
    variables: Mapping[str, Mapping[str, str]], *, timeout_s: int | None = None, ingest_image: str | None = None
) -> Path:
    """Write the template next to the built one, whose paths are relative. Return its path.

    `variables` maps a function's logical name to environment variables. They go into the template because
    `sam local` drops variables of `--env-vars` that the template does not declare.
    """
    template = built()
    for function, given in variables.items():
        properties = template["Resources"][function]["Properties"]
        properties["Environment"]["Variables"] |= given
        if timeout_s is not None:
            properties["Timeout"] = timeout_s
    if ingest_image is not None:
        template["Resources"][INGEST]["Properties"]["ImageUri"] = ingest_image
    path = sam.BUILD / "template-on-this-machine.yaml"
    path.write_text(yaml.safe_dump(template))
    return path


def overrides(chroma: str, ollama: str) -> list[str]:
    """Return options of `sam local` that name both servers, so that the template creates none."""
    return ["--parameter-overrides", f"ChromaUrl={chroma}", f"OllamaUrl={ollama}"]
