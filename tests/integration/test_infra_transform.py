"""SAM's transform of the template: the changes that another deployment makes, and those that it must not make."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.container.sam import LOCK, ROOT, SAM, environment, variables

pytestmark = [pytest.mark.integration, pytest.mark.slow]
Transformed = dict[str, dict[str, Any]]
TEMPLATE = ROOT / "template.yaml"
RELEASES = "a" * 64, "b" * 64
POOL = "arn:aws:cognito-idp:eu-central-1:111122223333:userpool/eu-central-1_1;client1"


def released(release: str = RELEASES[0], **parameters: str) -> dict[str, Any]:
    values = {"Release": release, "QueryDeployment": "Canary10Percent5Minutes", **parameters}
    return {"parameters": values}


VARIANTS = {
    "first": released(),
    "same": released(),
    "next": released(RELEASES[1]),
    "authorizer": released(UserPool=POOL),
    "OpenAPI": {**released(), "paths": {"/v1/new": {"get": {"responses": {}}}}},
}


@pytest.fixture(scope="module")
def transformed() -> Transformed:
    """The plain template of each variant."""
    environment(SAM.parents[1], LOCK)
    command = [str(SAM.parent / "python"), str(Path(__file__).with_name("sam_transform.py"))]
    done = subprocess.run(
        [*command, str(TEMPLATE)],
        input=json.dumps(list(VARIANTS.values())),
        env=variables(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(VARIANTS, json.loads(done.stdout), strict=True))


def of_type(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {name: resource for name, resource in template["Resources"].items() if resource["Type"] == kind}


def only(template: dict[str, Any], kind: str) -> str:
    (name,) = of_type(template, kind)
    return name


@pytest.mark.parametrize(("variant", "is_published"), [("next", True), ("same", False)])
def test_only_another_release_publishes_a_version(
    transformed: Transformed, variant: str, *, is_published: bool
) -> None:
    pair = transformed["first"], transformed[variant]
    assert len({only(item, "AWS::Lambda::Version") for item in pair}) == 1 + is_published
    # Lambda publishes no new version of an unchanged function.
    first, second = (entry["Resources"]["QueryFunction"] for entry in pair)
    assert (first["Properties"] != second["Properties"]) is is_published


@pytest.mark.parametrize("change", ["authorizer", "OpenAPI"])
def test_a_change_of_the_api_deploys_it(transformed: Transformed, change: str) -> None:
    pair = transformed["first"], transformed[change]
    deployments = [only(entry, "AWS::ApiGateway::Deployment") for entry in pair]
    assert len(set(deployments)) == 2
    for item, deployment in zip(pair, deployments, strict=True):
        (stage,) = of_type(item, "AWS::ApiGateway::Stage").values()
        assert stage["Properties"]["DeploymentId"] == {"Ref": deployment}
