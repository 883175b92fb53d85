"""The chart's environment is what the code reads: a new setting is in the chart, with the code's default."""

from __future__ import annotations

from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # ships no types
from pydantic import TypeAdapter
from pydantic_settings import BaseSettings

from docwell.config import AuthorizerSettings, IngestSettings, QuerySettings, ReconcileSettings
from infra.kubernetes.helm import CHART
from infra.kubernetes.variants import FIRST, FOLDER

# The settings that runtime/ reads.
SERVICE = {"host", "health_port", "grace_s", "processes"}
OF_RUNTIME: dict[str, set[str]] = {
    "ingest": {*SERVICE, "ingest_queue_url", "timeout_s"},
    "query": {*SERVICE, "port", "waiting", "console_connect"},
    "reconcile": {"host", "health_port", "scrape_s"},
}
READ: dict[str, list[type[BaseSettings]]] = {
    "ingest": [IngestSettings],
    "query": [QuerySettings, AuthorizerSettings],
    "reconcile": [ReconcileSettings],
}
# Another value than the code's, for the reason in values.yaml: an image has both runtimes, and a pod may use fewer
# processors than its node has. The size small has a smaller model.
OTHER = {"embed_runtime", "embed_threads", "model"}
COMPONENTS = pytest.mark.parametrize("component", READ)
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


def environment(component: str) -> dict[str, Any]:
    """The variables of a worker in the committed manifests."""
    (result,) = (
        manifest
        for manifest in yaml.safe_load_all((FOLDER / f"{FIRST}.yaml").read_text())
        if "spec" in manifest
        and manifest["metadata"]["name"] == f"docwell-{component}"
        and manifest["kind"] in ("Deployment", "CronJob")
    )
    spec = result["spec"]
    (container,) = spec.get("jobTemplate", result)["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable.get("value") for variable in container["env"]}


def fields(component: str) -> dict[str, Any]:
    return {name: field for kind in READ[component] for name, field in kind.model_fields.items()}


@COMPONENTS
def test_a_worker_gets_exactly_the_settings_that_it_reads(component: str) -> None:
    values = {name for name in environment(component) if name.startswith("DOCWELL_")}
    read = {f"DOCWELL_{name.upper()}" for name in {*fields(component), *OF_RUNTIME[component]}}
    assert sorted(values) == sorted(read)


@COMPONENTS
def test_the_charts_defaults_are_the_codes(component: str) -> None:
    compared, variables = 0, environment(component)
    for name, field in fields(component).items():
        value = variables[f"DOCWELL_{name.upper()}"]
        if not value or field.is_required() or field.default is None or "table" in name or name in OTHER:
            continue
        assert TypeAdapter(type(field.default)).validate_python(value) == field.default, name
        compared += 1
    assert compared > 10
