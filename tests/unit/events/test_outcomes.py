"""Changes of the ledger, as its DynamoDB stream has them, become events (moto, in process)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count, cycle
from typing import Any
from unittest.mock import DEFAULT, Mock

import boto3
import pytest
from moto import mock_aws
from moto.dynamodb.models import dynamodb_backends

from docwell.adapters.aws import client
from docwell.adapters.dynamodb.ledger import DynamoLedger, DynamoState, outcome_in
from docwell.errors import Unavailable
from docwell.events import TYPES, DocumentEvent, Publisher
from docwell.models import FINAL, Attributes, DocumentRecord, RangeTally, RangeTask, Status
from infra.local.names import ACCOUNT, LEDGER_SCHEMA, REGION
from runtime.events import LedgerStream, _stream

KEY = "handbooks/é 日本+%&.pdf"
TABLE, BUCKET, GENERATION = "ledger", "documents", "g" * 32


class World:
    """A ledger with a stream, and the events of it."""

    def __init__(self) -> None:
        self.client = boto3.client("dynamodb")
        stream: Any = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        self.client.create_table(TableName=TABLE, StreamSpecification=stream, **LEDGER_SCHEMA)
        self.now = 1_795_000_000.0
        self.ledger = self.ledger_of("f1", notes_outcomes=True)

    def ledger_of(self, pipeline: str, *, notes_outcomes: bool) -> DynamoLedger:
        return DynamoLedger(
            client("dynamodb"), TABLE, pipeline, clock=lambda: self.now, notes_outcomes=notes_outcomes
        )

    def write(self, ledger: DynamoLedger | None = None, key: str = KEY, **fields: Any) -> None:
        """Write a record under a lease, a second after the last one."""
        ledger = ledger or self.ledger
        self.now += 1
        lease = ledger.acquire(key, "one")
        assert lease is not None
        ledger.release(ledger.write(lease, replace(DocumentRecord(key), **fields), fresh=True))

    def changes(self) -> list[Mapping[str, Any]]:
        shard = dynamodb_backends[ACCOUNT][REGION].get_table(TABLE).stream_shard
        assert shard is not None
        return [change.to_json() for change in shard.items]

    def events(self) -> list[DocumentEvent]:
        sent = list[DocumentEvent]()
        publisher = Publisher(BUCKET, outcome_in, sent.append)
        for change in self.changes():
            publisher.publish(change)
        return sent

    def types(self) -> list[str]:
        return [event.type for event in self.events()]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", "disabled")  # moto does not know these addresses
    with mock_aws():
        yield World()


@pytest.mark.parametrize("status", sorted(FINAL))
def test_each_final_status_has_an_event(world: World, status: Status) -> None:
    texts: dict[str, Any] = {name: f"secret {name}" for name in ("title", "author", "detail")}
    texts["live_attributes"] = Attributes("title", "author", "2026-03-01", {"m": "secret"}, {"t": "secret"})
    counts: dict[str, Any] = {"pages": 3, "chunks": 7}
    world.write(status=status, version="v1", reason="corrupt", live_generation=GENERATION, **counts, **texts)
    (event,) = world.events()
    assert event.type == TYPES[status] == f"Document{status.capitalize()}"
    assert event.time == "2026-11-18T11:06:41.000Z"
    assert event.data == {
        "schema": 1,
        "id": event.id,
        "bucket": BUCKET,
        "document": KEY,
        "collection": "handbooks",
        "version": "v1",
        "generation": GENERATION,
        "status": status,
        "reason": "corrupt",
        "pages": 3,
        "chunks": 7,
        "time": event.time,
    }
    assert json.loads(event.body) == {"type": event.type, "timestamp": event.time, "data": event.data}


def test_progress_and_leases_send_no_event(world: World) -> None:
    world.write(status=Status.PENDING, version="v1", ranges=2, attempt=1)
    assert world.ledger.finish_range(RangeTask(KEY, "v1", "f1", 1, 0), RangeTally(pages=50, chunks=9))
    record = world.ledger.get(KEY)
    assert record is not None
    world.ledger.observe(record, "v2")
    assert len(world.changes()) > 4
    assert world.types() == []


def test_an_outcome_sends_one_event_however_often_its_row_changes(world: World) -> None:
    done: dict[str, Any] = {"status": Status.INDEXED, "version": "v1", "live_generation": GENERATION}
    world.write(**done, swept=False)
    world.write(**done, swept=True)
    world.write(status=Status.PENDING, version="v1", ranges=2)  # a rebuild
    world.write(**done, chunks=8)
    assert world.types() == ["DocumentIndexed"]


def test_a_version_that_comes_back_and_a_second_deletion_have_new_event_ids(world: World) -> None:
    for _ in range(2):
        world.write(status=Status.INDEXED, version="v1")
        world.write(status=Status.DELETED)
        world.write(status=Status.DELETED, swept=True)
    assert world.types() == ["DocumentIndexed", "DocumentDeleted"] * 2
    ids = [event.id for event in world.events()]
    assert len(set(ids)) == 4
    world.ledger.forget([KEY])  # the row of a deleted document goes away later
    world.write(key=".docwell/canary.pdf", status=Status.INDEXED, version="v1")
    assert [event.id for event in world.events()] == ids  # the same change again has the same id


def test_a_status_of_another_release_is_logged_and_does_not_stop_the_stream(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.write(status=Status.INDEXED, version="v1")
    (row,) = world.client.scan(TableName=TABLE)["Items"]
    for outcome in ("QUARANTINED v1", ""):
        caplog.clear()
        assert outcome_in({"dynamodb": {"NewImage": row | {"outcome": {"S": outcome}}}}) is None
        assert [record.getMessage() for record in caplog.records] == ["unknown outcome"]


def test_the_index_that_is_being_built_sends_no_event(world: World) -> None:
    building = world.ledger_of("f2", notes_outcomes=False)
    world.write(building, status=Status.INDEXED, version="v1")
    assert world.types() == []
    # After the switch, only later changes have events.
    active = world.ledger_of("f2", notes_outcomes=True)
    world.write(active, status=Status.INDEXED, version="v1", swept=True)
    assert world.types() == []
    world.write(active, status=Status.DELETED)
    assert world.types() == ["DocumentDeleted"]


class Function:
    """The events function: it notes the documents of its changes, and fails for each of `fails` once."""

    def __init__(self, *fails: str) -> None:
        self.documents, self.fails = list[str](), {*fails}

    def invoke(self, event: dict[str, Any]) -> Any:
        images = [entry["dynamodb"] for entry in json.loads(json.dumps(event))["Records"]]
        failed = [image for image in images if image["NewImage"]["document"]["S"] in self.fails]
        self.fails -= {image["NewImage"]["document"]["S"] for image in failed}
        self.documents += [image["NewImage"]["document"]["S"] for image in images if image not in failed]
        return {"batchItemFailures": [{"itemIdentifier": image["SequenceNumber"]} for image in failed]}


def test_the_runtime_sends_each_outcome_once_and_in_order_whatever_fails(world: World) -> None:
    keys = [f"{number}.pdf" for number in range(42)]
    for key in keys:
        world.write(key=key, status=Status.INDEXED, version="v1")
    row = world.client.scan(TableName=TABLE, Limit=1)["Items"][0]
    world.client.put_item(TableName=TABLE, Item=row | {"document": {"S": "odd"}, "outcome_at": {"S": "soon"}})
    function, state = Function(*keys[4::4]), Mock(wraps=DynamoState(client("dynamodb"), TABLE))
    state.write.side_effect = cycle([DEFAULT, Unavailable("dynamodb", "throttled")])
    stream = _stream(TABLE, function.invoke)
    stream._state, stream._clock = state, count(2_000_000_000).__next__
    for _ in range(30):
        with suppress(Unavailable):
            stream.read()
    assert function.documents == [*keys, "odd"]
    world.write(key=keys[0], status=Status.DELETED)
    function.fails = {keys[0]}
    assert stream.read() > 0  # the age of the change that waits
    # Another process continues with the change that failed.
    assert (_stream(TABLE, function.invoke).read(), function.documents) == (0, [*keys, "odd", keys[0]])


@pytest.mark.parametrize("view", ["", "KEYS_ONLY", "OLD_IMAGE", "NEW_IMAGE"])
def test_a_stream_without_both_images_is_refused(world: World, view: Any) -> None:
    world.client.delete_table(TableName=TABLE)
    stream: Any = {"StreamEnabled": True, "StreamViewType": view} if view else {"StreamEnabled": False}
    world.client.create_table(TableName=TABLE, StreamSpecification=stream, **LEDGER_SCHEMA)
    with pytest.raises(OSError, match="with StreamViewType NEW_AND_OLD_IMAGES"):
        _stream(TABLE, Function().invoke)


def test_the_runtime_reads_a_shard_once_its_parent_ends(world: World) -> None:
    world.write(status=Status.INDEXED, version="v1")
    records = [{"eventName": "INSERT", **change} for change in world.changes()]
    answers = {"parent": {"Records": records}, "child": {"Records": [], "NextShardIterator": "child"}}
    pages = [[{"ShardId": "child", "ParentShardId": "parent"}], [{"ShardId": "parent", "ParentShardId": "gone"}]]
    api, function = Mock(), Function()
    api.describe_stream.side_effect = lambda **request: {
        "StreamDescription": {"Shards": pages[1]}
        if "ExclusiveStartShardId" in request
        else {"Shards": pages[0], "LastEvaluatedShardId": "child"}
    }
    api.get_shard_iterator.side_effect = lambda **request: {"ShardIterator": request["ShardId"]}
    api.get_records.side_effect = lambda **request: answers[request["ShardIterator"]]
    for _ in range(2):  # the second process knows that the parent was read
        stream = LedgerStream(api, "arn", DynamoState(world.client, TABLE), function.invoke)
        assert (stream.read(), stream.read(), function.documents) == (0, 0, [KEY])
        assert not stream.ended
    answers["child"] = {"Records": []}  # of a stream that was disabled
    assert (stream.read(), stream.ended) == (0, True)
    reads = [request.kwargs["ShardIterator"] for request in api.get_records.mock_calls]
    assert reads == ["parent", *["child"] * 4]
