"""Manifests as the tests read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from infra.kubernetes.helm import Manifest
from infra.kubernetes.variants import VARIANTS, rendered

EACH_VARIANT = pytest.mark.parametrize("variant", VARIANTS)
WORKERS = ("ingest", "query", "reconcile")
# A variant that has all workers, the one of events too.
WHOLE = "compatible services"
COMPONENT = "app.kubernetes.io/component"


def of_kind(variant: str, *kinds: str) -> list[Manifest]:
    return [manifest for manifest in rendered(variant) if manifest["kind"] in kinds]


def named(variant: str, kind: str, component: str) -> Manifest:
    (result,) = (
        manifest for manifest in of_kind(variant, kind) if manifest["metadata"]["labels"][COMPONENT] == component
    )
    return result


def template_of(workload: Manifest) -> dict[str, Any]:
    """The pod template of a Deployment, StatefulSet or CronJob."""
    spec = workload["spec"]
    result: dict[str, Any] = (spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec)["template"]
    return result


def workloads(variant: str) -> Iterator[tuple[str, Manifest, dict[str, Any]]]:
    """Yield (component, workload, pod template)."""
    for manifest in rendered(variant):
        if {"template", "jobTemplate"} & set(manifest.get("spec", {})):
            yield manifest["metadata"]["labels"][COMPONENT], manifest, template_of(manifest)


def containers(variant: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield (component, container, pod spec), init containers included."""
    for component, _, template in workloads(variant):
        for container in (*template["spec"].get("initContainers", []), *template["spec"]["containers"]):
            yield component, container, template["spec"]


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a selector with labels alone selects these labels. An empty one selects all."""
    assert set(selector) <= {"matchLabels"}
    return dict(selector.get("matchLabels", {})).items() <= labels.items()


def environment(variant: str, component: str) -> dict[str, Any]:
    """The variables of a component's only container: a value, or the reference to one."""
    (container,) = (entry for name, entry, _ in containers(variant) if name == component)
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container["env"]}
