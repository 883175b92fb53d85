"""Replace a lost part by a restored copy: Chroma's volume in the other zone, a table, a whole stack. Then deploy.

The new parameters are written into the profile, so that the next deployment keeps them.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import WaiterError

from infra.container.sam import StepError, aws_errors
from infra.release import deployment, stage

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TABLES = {"ledger": "LedgerTable", "principals": "PrincipalsTable", "usage": "UsageTable", "audit": "AuditTable"}
PARTS = ("zone", "stack", *TABLES)
# A parameter with the names of `TABLES` in order, empty for the stack's own table; the ledger's has its stream.
_RESTORED = "RestoredTables"
_SNAPSHOT_TAG = "docwell-snapshots"
_EXPIRES = "expires_at"
# A restore takes from minutes to hours, by the table's size.
_POLL_S, _POLLS = 20, 1080


def restore(part: str, profile: str, at: str | None) -> dict[str, str]:
    """Restore one of `PARTS` as it was `at` a time (ISO 8601), else as late as possible. Return the parameters.

    Writes them into the profile; the caller deploys. Raises `StepError`.
    """
    stack = deployment.stack_name(profile)
    with aws_errors(f"cannot restore {part} of {stack}"):
        match part:
            case "zone":
                parameters = _volume(stack, profile)
            case "stack":
                parameters = _left(stack)
            case _:
                parameters = _table(stack, profile, part, at)
    write_parameters(profile, parameters)
    return parameters


def restore_table(client: DynamoDBClient, source: str, target: str, at: datetime | None) -> None:
    """Restore a table, or a deleted one's last backup, under a new name. Raises `StepError`, `ClientError`."""
    names = {name for page in client.get_paginator("list_tables").paginate() for name in page["TableNames"]}
    if target not in names:
        if source in names:
            when: Any = {"RestoreDateTime": at} if at else {"UseLatestRestorableTime": True}
            client.restore_table_to_point_in_time(SourceTableName=source, TargetTableName=target, **when)
        else:
            # DynamoDB makes a backup when a table with point-in-time recovery is deleted.
            backups = client.list_backups(TableName=source, BackupType="ALL")["BackupSummaries"]
            if not backups:
                raise StepError(f"there is neither a table {source} nor a backup of it")
            last = max(backups, key=lambda backup: backup["BackupCreationDateTime"])["BackupArn"]
            client.restore_table_from_backup(TargetTableName=target, BackupArn=last)
    waiter: Any = {"Delay": _POLL_S, "MaxAttempts": _POLLS}
    try:
        client.get_waiter("table_exists").wait(TableName=target, WaiterConfig=waiter)
    except WaiterError as error:
        raise StepError(f"{target} is not there yet: run this again ({error})") from None
    # A restored table lacks both settings.
    client.update_continuous_backups(
        TableName=target, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    if client.describe_time_to_live(TableName=target)["TimeToLiveDescription"]["TimeToLiveStatus"] == "DISABLED":
        client.update_time_to_live(
            TableName=target, TimeToLiveSpecification={"Enabled": True, "AttributeName": _EXPIRES}
        )


def start_stream(client: DynamoDBClient, table: str) -> str:
    """Start a restored table's stream, which it lacks, and return the stream's label. Raises `ClientError`."""
    described = client.describe_table(TableName=table)["Table"]
    if not described.get("StreamSpecification", {}).get("StreamEnabled"):
        stream: Any = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        described = client.update_table(TableName=table, StreamSpecification=stream)["TableDescription"]
    return described["LatestStreamLabel"]


def write_parameters(profile: str, parameters: dict[str, str]) -> None:
    """Replace or add parameters in the profile's file, and keep its other lines."""
    path = deployment.PROFILES / f"{profile}.toml"
    text = path.read_text(encoding="utf-8").rstrip("\n")
    for name, value in parameters.items():
        line = f'{name} = "{value}"'
        text, replaced = re.subn(rf"^{name}\s*=.*$", line, text, flags=re.MULTILINE)
        text += "" if replaced else f"\n{line}"
    path.write_text(f"{text}\n", encoding="utf-8")


def _volume(stack: str, profile: str) -> dict[str, str]:
    """Return the parameters of a volume from the newest snapshot, in the other zone."""
    # A restore that failed has changed the profile, but not the stack.
    before = stage.deployed(stack)[0] or deployment.profile_parameters(profile)
    zone = before.get("ChromaPlace", "first,").partition(",")[0]
    filters = [{"Name": f"tag:{_SNAPSHOT_TAG}", "Values": [f"{stack}-ServersStack-*-ChromaStack-*"]}]
    pages = boto3.client("ec2").get_paginator("describe_snapshots").paginate(OwnerIds=["self"], Filters=filters)
    snapshots = [snapshot for page in pages for snapshot in page["Snapshots"] if snapshot["State"] == "completed"]
    # Without a snapshot the volume begins empty, and reconcile indexes the bucket again.
    newest = max(snapshots, key=lambda snapshot: snapshot["StartTime"])["SnapshotId"] if snapshots else ""
    parameters = {"ChromaPlace": f"{'second' if zone == 'first' else 'first'},{newest}"}
    # In one zone, functions would stay in the lost one.
    return parameters | ({"Network": "two-zones"} if before.get("Network") == "one-zone" else {})


def _table(stack: str, profile: str, part: str, at: str | None) -> dict[str, str]:
    """Restore a table of the stack, and return the parameter that puts it in place."""
    outputs = stage.deployed(stack)[1]
    try:
        moment = datetime.fromisoformat(at) if at else None
    except ValueError:
        raise StepError(f"{at!r} is no time like 2026-11-25T10:00") from None
    if moment and not moment.tzinfo:
        moment = moment.replace(tzinfo=UTC)
    suffix = f"{moment or datetime.now(UTC):%Y%m%d-%H%M}"
    target = f"{stack}-{part}-{suffix}"
    client = boto3.client("dynamodb")
    restore_table(client, outputs[TABLES[part]], target, moment)
    if part == "ledger":
        target = f"{target}/stream/{start_stream(client, target)}"
    restored = deployment.profile_parameters(profile).get(_RESTORED, "," * (len(TABLES) - 1)).split(",")
    restored[list(TABLES).index(part)] = target
    return {_RESTORED: ",".join(restored)}


def _left(stack: str) -> dict[str, str]:
    """Return the parameters that take over the buckets and the newest tables of a deleted stack."""
    if stage.deployed(stack)[0] is not None:
        raise StepError(f"{stack} exists: only what a deleted stack left can be taken over")
    client = boto3.client("dynamodb")
    pages = client.get_paginator("list_tables").paginate()
    names = [name for page in pages for name in page["TableNames"] if name.startswith(f"{stack}-TablesStack-")]
    tables = []
    for logical in TABLES.values():
        described = [client.describe_table(TableName=name)["Table"] for name in names if f"-{logical}-" in name]
        newest = max(described, key=lambda table: table["CreationDateTime"], default=None)
        tables.append(newest["TableName"] if newest else "")
    if tables[0]:
        tables[0] = f"{tables[0]}/stream/{start_stream(client, tables[0])}"
    return {"Adopt": "true", _RESTORED: ",".join(tables)}
