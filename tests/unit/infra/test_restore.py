"""`make restore` finds or makes the copy of a lost part, and the templates put it in place everywhere."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from moto.ec2.models import ec2_backends

from infra.container.sam import ROOT, StepError
from infra.local.names import LEDGER_SCHEMA
from infra.release import deployment, preflight, stage
from infra.release.restore import TABLES, restore, restore_table
from tests.unit.infra.boot_machine import Machine
from tests.unit.infra.templates import SYSTEM, content, whole

pytestmark = pytest.mark.usefixtures("aws")
STACK = "docwell-dev"


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(deployment, "PROFILES", tmp_path)
    monkeypatch.setattr(deployment, "stack_name", lambda _: STACK)
    path = tmp_path / "dev.toml"
    path.write_text('# Why it is so.\nChromaPlace = "first,"\nModelName = "m"\n')
    return path


@pytest.fixture
def table() -> str:
    client = boto3.client("dynamodb")
    client.create_table(TableName="ledger", **LEDGER_SCHEMA)
    client.put_item(
        TableName="ledger", Item={name: {"S": name} for name in ("document", "pipeline", "collection")}
    )
    return "ledger"


def snapshot(name: str, days: int) -> str:
    """Make a snapshot of a volume of a stack's Chroma, so many days ago."""
    ec2 = boto3.client("ec2")
    volume = ec2.create_volume(AvailabilityZone="eu-central-1a", Size=1)["VolumeId"]
    tags: Any = [{"ResourceType": "snapshot", "Tags": [{"Key": "docwell-snapshots", "Value": name}]}]
    created: str = ec2.create_snapshot(VolumeId=volume, TagSpecifications=tags)["SnapshotId"]
    backend = ec2_backends["123456789012"]["eu-central-1"]
    backend.snapshots[created].start_time = datetime(2026, 11, 26 - days, tzinfo=UTC)
    return created


def test_the_other_zone_gets_the_newest_snapshot_of_the_profiles_chroma(profile: Path) -> None:
    snapshot(f"{STACK}-ServersStack-W-ChromaStack-X", 2)
    newest = snapshot(f"{STACK}-ServersStack-W-ChromaStack-X", 1)
    for another in ("docwell-prod", f"{STACK}-2"):
        snapshot(f"{another}-ServersStack-W-ChromaStack-Y", 0)
    assert restore("zone", "dev", None) == {"ChromaPlace": f"second,{newest}"}
    text = profile.read_text()
    values = tomllib.loads(text)
    assert values == {"ChromaPlace": f"second,{newest}", "ModelName": "m"}
    assert text.startswith("# Why")
    # A restore that was not deployed changes the profile, but not what another one has to leave.
    with patch.object(stage, "deployed", lambda _: ({"ChromaPlace": "first,"}, {})):
        assert restore("zone", "dev", None) == {"ChromaPlace": f"second,{newest}"}
    with patch.object(stage, "deployed", lambda _: ({"ChromaPlace": f"second,{newest}"}, {})):
        assert restore("zone", "dev", None) == {"ChromaPlace": f"first,{newest}"}


def test_what_a_deleted_stack_left_is_taken_over(profile: Path) -> None:
    client = boto3.client("dynamodb")
    for stack in (STACK, f"{STACK}-2"):
        for logical in TABLES.values():
            client.create_table(TableName=f"{stack}-TablesStack-A-{logical}-B", **LEDGER_SCHEMA)
    values = restore("stack", "dev", None)
    ledger, *tables = values["RestoredTables"].split(",")
    prefix = f"{STACK}-TablesStack-A-"
    assert tables == [f"{prefix}{logical}-B" for logical in list(TABLES.values())[1:]]
    parameters = content(SYSTEM)["Parameters"]
    assert ledger.startswith(f"{prefix}LedgerTable-B/stream/")
    assert re.fullmatch(parameters["RestoredTables"]["AllowedPattern"], values["RestoredTables"])
    assert tomllib.loads(profile.read_text())["Adopt"] in parameters["Adopt"]["AllowedValues"]
    # The events of an adopted bucket are those of a new one.
    events = content(ROOT / "infra/data.yaml")["Resources"]["DocumentsBucket"]["Properties"][
        "NotificationConfiguration"
    ]
    assert [row["Event"] for row in events["QueueConfigurations"]] == stage.EVENTS
    queue = boto3.client("sqs").create_queue(QueueName="q")["QueueUrl"]
    place: Any = {"LocationConstraint": "eu-central-1"}
    bucket = f"{STACK}-documents-123456789012-eu-central-1"
    assert not preflight.left_by(STACK)
    boto3.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
    with pytest.raises(StepError, match=f"left {bucket}"):
        stage.protected(STACK, "dev", {"Adopt": "false"})
    assert stage.protected(STACK, "dev", {"Adopt": "true"}) == (None, {})
    stage.notify(bucket, queue)
    (row,) = boto3.client("s3").get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    assert (row["QueueArn"].rpartition(":")[2], row["Events"]) == ("q", stage.EVENTS)


def test_a_deleted_table_comes_back_from_its_last_backup(table: str) -> None:
    client = boto3.client("dynamodb")
    client.create_backup(TableName=table, BackupName="made when the table was deleted")
    client.delete_table(TableName=table)
    restore_table(client, table, "restored", None)
    assert client.scan(TableName="restored")["Count"] == 1
    with pytest.raises(StepError, match="neither a table"):
        restore_table(client, "unknown", "other", None)


def test_the_profile_gets_the_name_of_the_restored_table(profile: Path, table: str) -> None:
    profile.write_text('RestoredTables = ",,usage-1,"\n')
    output = {"LedgerTable": {"Value": table}}
    body = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}, "Outputs": output}
    boto3.client("cloudformation").create_stack(StackName=STACK, TemplateBody=str(body).replace("'", '"'))
    name = f"{STACK}-ledger-20261125-1000"
    values = restore("ledger", "dev", "2026-11-25T10:00")
    described = boto3.client("dynamodb").describe_table(TableName=name)["Table"]
    assert described["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    expected = f"{name}/stream/{described['LatestStreamLabel']},,usage-1,"
    assert values == {"RestoredTables": expected}
    assert tomllib.loads(profile.read_text())["RestoredTables"] == expected
    assert restore("ledger", "dev", "2026-11-25T10:00") == values  # an interrupted run goes on
    assert boto3.client("dynamodb").scan(TableName=name)["Count"] == 1


def own_names(value: Any) -> str:
    """The text of a reference, without the names that a `Fn::Sub` itself gives a value."""
    match value:
        case [str(text), dict(values)]:
            for name in values:
                text = text.replace(f"${{{name}}}", "")
            return text
    return str(value)


def bare_uses(node: Any, table: str, condition: str) -> Iterator[Any]:
    """Yield each reference to the stack's own table for which a restored one would not step in."""
    if isinstance(node, list):
        for entry in node:
            yield from bare_uses(entry, table, condition)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == "Fn::If" and value[0] == condition:
                yield from bare_uses(value[2], table, condition)
                continue
            if name in ("Ref", "Fn::GetAtt", "Fn::Sub") and table in own_names(value):
                yield node
            yield from bare_uses(value, table, condition)


@pytest.mark.parametrize("table", TABLES.values())
def test_a_restored_table_replaces_the_stacks_table_everywhere(table: str) -> None:
    joined = whole()
    parts = [joined[name] for name in ("Resources", "Outputs")]
    assert list(bare_uses(parts, table, f"Owns{table.removesuffix('Table')}")) == []


def test_the_server_of_the_second_zone_takes_the_volume_of_that_zone(tmp_path: Path) -> None:
    names = {"Volume": "vol-2", "SecondVolume": "vol-1", "Image": "chroma:1"}
    chroma = Machine(tmp_path, "chroma.yaml", names, zone="IsSecond")
    chroma.volume(tag=False)  # the tag docwell-filled is the old volume's; the snapshot holds an index
    assert chroma.boot() == 0
    assert chroma.called("attach-volume --volume-id vol-1")
    assert not chroma.called("mkfs")
