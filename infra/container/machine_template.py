"""The built template with addresses of this machine, for `sam local`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml  # type: ignore[import-untyped] # ships no types

from infra.container import sam

INGEST, QUERY, RECONCILE = "IngestFunction", "QueryFunction", "ReconcileFunction"


def write(
    variables: Mapping[str, Mapping[str, str]], *, timeout_s: int | None = None, ingest_image: str | None = None
) -> Path:
    """Write it beside the built one, whose paths are relative; gives its path.

    `variables` are each function's, by its logical name, over the template's: `sam local` drops those of its
    `--env-vars` that a template does not declare, and AWS_ENDPOINT_URL is no business of the real one.
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
    """Options of `sam local`: both servers exist, so that the template makes none."""
    return ["--parameter-overrides", f"ChromaUrl={chroma}", f"OllamaUrl={ollama}"]
