"""``.venv-kubernetes/bin/python schemas.py VERSION... < manifests.json``: check manifests against strict schemas.

Prints each finding as a JSON string. Kubernetes' own kinds have a schema for each version. The models of KEDA's
and the Prometheus operator's kinds come from their custom resource definitions. A kind without a schema is a
finding. This runs in an environment that has neither docwell nor this repository's packages.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import cloudcoil.pydantic
import kubernetes_validate
import kubernetes_validate.utils
from pydantic import ValidationError

# Before the models are made: an unknown field is an error, as with `kubectl apply --validate=strict`.
cloudcoil.pydantic.BaseModel.model_config["extra"] = "forbid"

from cloudcoil.models.keda import v1alpha1 as keda  # noqa: E402 - see above
from cloudcoil.models.prometheus_operator import v1 as prometheus  # noqa: E402 - see above

# Cache it: else it reads a version's definitions, 1 MB, again for each manifest.
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)

CUSTOM = {
    ("keda.sh/v1alpha1", "ScaledObject"): keda.ScaledObject,
    ("keda.sh/v1alpha1", "TriggerAuthentication"): keda.TriggerAuthentication,
    ("monitoring.coreos.com/v1", "PrometheusRule"): prometheus.PrometheusRule,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): prometheus.ServiceMonitor,
}


def findings(manifest: dict[str, Any], versions: list[str]) -> Iterator[str]:
    """Yield the findings of the schemas in a manifest."""
    model = CUSTOM.get((manifest["apiVersion"], manifest["kind"]))
    if model is not None:
        try:
            model.model_validate(manifest)
        except ValidationError as error:
            yield from (f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors())
        return
    for version in versions:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message}"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield f"Kubernetes {version}: {error.message}"


def main() -> None:
    """Print the findings of the manifests in standard input."""
    for manifest in json.load(sys.stdin):
        for finding in findings(manifest, sys.argv[1:]):
            print(json.dumps(f"{manifest['kind']} {manifest['metadata']['name']}: {finding}"))


if __name__ == "__main__":
    main()
