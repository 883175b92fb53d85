"""Write the built template with this machine's addresses, for `sam local`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml  # type: ignore[import-untyped] # ships no types

from infra.container import sam

INGEST, QUERY, RECONCILE = "IngestFunction", "QueryFunction", "ReconcileFunction"


def write(
    variables: Mapping[str, Mapping[str, str]], *, timeout_s: int | None = None, ingest_image: str | None = None
) -> Path:
    """Write the template next to the built one, whose paths are relative. Return its path.

    `variables` maps a function's logical name to environment variables. They go into the template because
    `sam local` drops variables of `--env-vars` that the template does not declare.
    """
    template = yaml.safe_load(sam.BUILT_TEMPLATE.read_text())
    template["Globals"]["Function"].pop("VpcConfig")  # sam cannot resolve the nested stack's subnets
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
