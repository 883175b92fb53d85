"""The audit trail on DynamoDB's own rules (moto, in process)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner

from docwell.adapters.dynamodb.audit import DynamoAudit
from docwell.audit import Action, AuditEvent, pseudonym
from docwell.cli.app import app
from infra.local.names import AUDIT_SCHEMA, PRINCIPALS_SCHEMA

pytestmark = pytest.mark.integration
TABLE = "audit"
ASKED = AuditEvent("key:a", Action.ASKED, frozenset({"a/é.pdf", "a/b.pdf"}), request_id="r1", at=1_000.5)
OTHER = AuditEvent("sub:b", Action.ASKED, frozenset({"a/b.pdf"}), request_id="r2", at=999.0)
REFUSED = AuditEvent("key:a", Action.ASKED, request_id="r3", at=1_001.0)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with mock_aws():
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("dynamodb").create_table(TableName=TABLE, **AUDIT_SCHEMA)
        yield boto3.resource("dynamodb").Table(TABLE)


@pytest.fixture
def trail(table: Any) -> DynamoAudit:
    return DynamoAudit(boto3.client("dynamodb"), TABLE)


def test_events_come_back_by_actor_and_document(
    table: Any, trail: DynamoAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    for event in (ASKED, OTHER, REFUSED):
        trail.append(event)
    assert trail.events() == [OTHER, ASKED, REFUSED]
    assert trail.events(document="a/b.pdf") == [OTHER, ASKED]
    monkeypatch.setattr(trail._table._client, "scan", None)  # an actor's events are one partition
    assert trail.events(actor="key:a") == [ASKED, REFUSED]
    assert trail.events(actor="sub:b", document="a/é.pdf") == []
    table.put_item(Item={"actor": "z", "event": "2", "action": "of a newer release", "at": 7, "new": 1})
    assert trail.events(actor="z") == [AuditEvent("z", "of a newer release", at=7.0)]  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["{:05}" + "x" * 1019, pseudonym("a.pdf")[:-5] + "{:05}"])
@pytest.mark.parametrize("count", [0, 300, 301])
def test_an_event_of_any_number_of_documents_is_kept_whole(trail: DynamoAudit, name: str, count: int) -> None:
    documents = frozenset(map(name.format, range(count)))
    trail.append(replace(ASKED, action=Action.ERASED, documents=documents))
    events = trail.events()
    assert frozenset().union(*(event.documents for event in events)) == documents
    bare = {replace(event, documents=frozenset()) for event in events}
    assert bare == {replace(ASKED, action=Action.ERASED, documents=frozenset())}
    assert len(events) == max(1, -(-count // 300))


def test_equal_refusals_of_a_minute_are_one_event_and_many_are_bounded(trail: DynamoAudit) -> None:
    for at in (60.0, 61.0, 120.0):
        trail.append(AuditEvent("key:a", Action.REFUSED, subject="forbidden", at=at))
    for number in range(100):
        trail.append(AuditEvent(f"address:{number}", Action.REFUSED, subject="unauthenticated", at=180.0))
    assert [event.at for event in trail.events("key:a")] == [60.0, 120.0]
    assert len(trail.events()) == 62


def test_erasing_replaces_only_the_name_of_the_document(trail: DynamoAudit) -> None:
    for event in (ASKED, OTHER, REFUSED):
        trail.append(event)
    assert trail.erase(["a/é.pdf", "never/cited.pdf"]) == 1
    assert trail.erase(["a/é.pdf"]) == 0
    renamed = replace(ASKED, documents=frozenset({"a/b.pdf", pseudonym("a/é.pdf")}))
    assert trail.events() == [OTHER, renamed, REFUSED]
    assert trail.events(document="a/é.pdf") == [renamed]


def test_a_grant_and_its_end_are_recorded_under_the_operators_arn(
    table: Any, trail: DynamoAudit, monkeypatch: pytest.MonkeyPatch
) -> None:
    boto3.client("dynamodb").create_table(TableName="principals", **PRINCIPALS_SCHEMA)
    monkeypatch.setenv("DOCWELL_ENDPOINT", "http://unused.invalid")
    where = {"DOCWELL_PRINCIPALS_TABLE": "principals", "DOCWELL_AUDIT_TABLE": TABLE}
    for arguments in (["add", "A", "--all", "--jwt-subject", "s"], ["revoke", "sub:s"]):
        result = CliRunner().invoke(app, ["principals", *arguments], env=where)
        assert result.exit_code == 0, result.output
    events = trail.events()
    changes = [(event.action, event.subject) for event in events]
    assert changes == [(Action.GRANTED, "sub:s"), (Action.REVOKED, "sub:s")]
    assert all(event.actor.startswith("aws:arn:aws:") for event in events)
    listed = CliRunner().invoke(app, ["audit", "--json"], env=where)
    assert [event["action"] for event in json.loads(listed.stdout)["events"]] == ["granted", "revoked"]
