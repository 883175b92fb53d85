"""The commands of docs/operate/deploy.md remove only the remains of a stack, and renew rights (moto)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from infra.container.sam import ROOT
from infra.local.names import LEDGER_SCHEMA
from infra.local.ports import free_port
from infra.release.credentials import ServerSecrets

pytestmark = [pytest.mark.integration, pytest.mark.slow]
STACK, OTHER = "docwell-team", "docwell-team-2"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "eu-central-1"}
KINDS = ("documents", "access-logs", "consolestack", "app-consolestack")


@pytest.fixture
def _aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
        monkeypatch.setenv(name, value)
    yield
    server.stop()


def leftovers(stack: str) -> None:
    """Create the resources that a stack of this name leaves behind."""
    boto3.client("dynamodb").create_table(TableName=f"{stack}-TablesStack-A1-LedgerTable-B2", **LEDGER_SCHEMA)
    place: Any = {"LocationConstraint": ENVIRONMENT["AWS_DEFAULT_REGION"]}
    for kind in KINDS:
        boto3.client("s3").create_bucket(Bucket=f"{stack}-{kind}-1", CreateBucketConfiguration=place)
    ec2 = boto3.client("ec2")
    volume = ec2.create_volume(AvailabilityZone="eu-central-1a", Size=1)["VolumeId"]
    tag = {"Key": "docwell-snapshots", "Value": f"{stack}-ServersStack-A1-ChromaStack-B2"}
    tags: Any = [{"ResourceType": "snapshot", "Tags": [tag]}]
    ec2.create_snapshot(VolumeId=volume, TagSpecifications=tags)
    ServerSecrets(stack).ensure(dict.fromkeys(("ChromaUrl", "OllamaUrl", "KmsKeyArn"), ""))


def left(stack: str) -> dict[str, int]:
    """Count the existing resources of a stack of this name."""
    expected: Any = [{"Name": "tag:docwell-snapshots", "Values": [f"{stack}-ServersStack-*"]}]
    secrets = boto3.client("secretsmanager").list_secrets()["SecretList"]
    tables = boto3.client("dynamodb").list_tables()["TableNames"]
    return {
        "tables": sum(f"{stack}-TablesStack" in entry for entry in tables),
        "snapshots": len(boto3.client("ec2").describe_snapshots(OwnerIds=["self"], Filters=expected)["Snapshots"]),
        "secrets": sum(secret["Name"].startswith(f"{stack}/") for secret in secrets),
    }


def run(heading: str, block: int, before: str = "") -> None:
    """Run a block of commands below a heading of the page."""
    page = (ROOT / "docs" / "operate" / "deploy.md").read_text(encoding="utf-8")
    section = page.partition(f"## {heading}")[2].partition("\n## ")[0].replace("ACCOUNT", "123456789012")
    blocks: list[str] = re.findall(r"^```bash\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    names = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = ["bash", "-c", f"set -euo pipefail\n{before}\n{blocks[block]}"]
    done = subprocess.run(script, env=names, cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("_aws")
def test_rights_are_renewed_more_often_than_iam_keeps_versions() -> None:
    for block in (0, *[1] * 6, 2):
        run("Rights", block)
    assert boto3.client("iam").list_attached_role_policies(RoleName="docwell-deployer-large")["AttachedPolicies"]


@pytest.mark.usefixtures("_aws")
def test_the_remains_of_a_stack_are_deleted_and_its_name_can_be_reused() -> None:
    leftovers(STACK)
    leftovers(OTHER)
    run("Remove", 1, before=f"bucket={STACK}-documents-1")
    assert left(STACK) == {"tables": 0, "snapshots": 0, "secrets": 0}
    assert left(OTHER) == {"tables": 1, "snapshots": 1, "secrets": 2}
    for kind in KINDS:
        rules = boto3.client("s3").get_bucket_lifecycle_configuration(Bucket=f"{STACK}-{kind}-1")["Rules"]
        assert [rule["Expiration"]["Days"] for rule in rules] == [1]
    assert len(boto3.client("acm").list_certificates()["CertificateSummaryList"]) == 1
    # A deleted secret keeps its name for 30 days if it can be recovered.
    ServerSecrets(STACK).ensure(dict.fromkeys(("ChromaUrl", "OllamaUrl", "KmsKeyArn"), ""))
    assert left(STACK)["secrets"] == 2
