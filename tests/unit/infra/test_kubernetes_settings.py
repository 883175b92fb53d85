"""The chart's environment is what the code reads: a new setting is in the chart, with the code's default."""

from __future__ import annotations

import fnmatch
import json
import re
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # ships no types
from pydantic import TypeAdapter
from pydantic_settings import BaseSettings

from docwell.adapters.dynamodb.principals import DynamoApiKeys
from docwell.config import AuthorizerSettings, IngestSettings, QuerySettings, ReconcileSettings
from infra.container.sam import ROOT
from infra.kubernetes.helm import CHART
from infra.kubernetes.variants import committed_manifests
from tests.unit.infra.templates import content

# runtime/ reads these.
SERVICE = {"host", "health_port", "grace_s", "processes"}
OF_RUNTIME: dict[str, set[str]] = {
    "ingest": {*SERVICE, "ingest_queue_url", "timeout_s"},
    "query": {*SERVICE, "port", "waiting"},
    "reconcile": set(),
}
READ: dict[str, list[type[BaseSettings]]] = {
    "ingest": [IngestSettings],
    "query": [QuerySettings, AuthorizerSettings],
    "reconcile": [ReconcileSettings],
}
# Another value than the code's, for the reason in values.yaml: an image has both runtimes, and a pod may use fewer
# processors than its node has.
OTHER = {"embed_runtime", "embed_threads"}
COMPONENTS = pytest.mark.parametrize("component", READ)
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


def environment(component: str) -> dict[str, Any]:
    """The variables of a worker in the committed manifests."""
    (result,) = (
        manifest
        for manifest in committed_manifests()
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
def test_a_worker_gets_each_setting_that_it_reads_and_no_other(component: str) -> None:
    values = {name for name in environment(component) if name.startswith("DOCWELL_")}
    read = {f"DOCWELL_{name.upper()}" for name in {*fields(component), *OF_RUNTIME[component]}}
    assert sorted(values) == sorted(read)


@COMPONENTS
def test_the_charts_defaults_are_the_codes(component: str) -> None:
    compared = 0
    for name, field in fields(component).items():
        value = environment(component)[f"DOCWELL_{name.upper()}"]
        if not value or field.is_required() or field.default is None or "table" in name or name in OTHER:
            continue
        assert TypeAdapter(type(field.default)).validate_python(value) == field.default, name
        compared += 1
    assert compared > 10


PAGE = (ROOT / "docs" / "kubernetes.md").read_text()


def test_the_documented_statements_of_the_query_pod_let_it_check_an_api_key() -> None:
    result = [content(ROOT / path)["Resources"] for path in set(re.findall(r"infra/\w+\.yaml", PAGE))]
    roles = {"QueryRole", *re.findall(r"`(\w+Role)`", PAGE)}
    statements = [
        entry
        for resources in result
        for role in roles & set(resources)
        for policy in resources[role]["Properties"]["Policies"]
        for entry in policy["PolicyDocument"]["Statement"]
        if "Effect" in entry and "${PrincipalsTable}" in json.dumps(entry["Resource"])
    ]
    read = list[str]()

    class Client:
        def get_item(self, **request: Any) -> dict[str, Any]:
            read.append(request["Key"]["principal"]["S"])
            return {}

    client: Any = Client()
    assert DynamoApiKeys(client, "principals").find("x") is None
    (key,) = read
    patterns = [
        pattern
        for statement in statements
        if "dynamodb:GetItem" in statement["Action"]
        for pattern in statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    ]
    assert any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)
