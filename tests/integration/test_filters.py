"""Filtered questions with real ingest, on moto and a real Chroma server.

A filter matches the bucket as it is now, while documents are replaced, deleted and retagged.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from docwell.adapters.aws import client
from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import Layout
from docwell.adapters.dynamodb.ledger import DynamoLedger, DynamoState
from docwell.adapters.s3 import S3ObjectStore
from docwell.adapters.sqs import SqsTaskQueue
from docwell.config import IngestLimits, ReconcileLimits
from docwell.errors import NotFound
from docwell.identity import Principal
from docwell.ingest.indexing import RangeIndexer
from docwell.ingest.ingest import Ingest
from docwell.models import Hint
from docwell.query.retrieval import scope as selection
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Filter
from docwell.upkeep.reconcile import Drift, Reconcile
from infra.local.names import LEDGER_SCHEMA
from tests.unit.fakes import FakeEmbedder, FakeReader

pytestmark = pytest.mark.integration
QUESTION = "when does the pump start"
EVERYBODY = Principal("key:all", None)


class World:
    def __init__(self, chroma_url: str) -> None:
        name = uuid.uuid4().hex[:8]
        self.s3, self.bucket = boto3.client("s3"), f"documents-{name}"
        self.s3.create_bucket(Bucket=self.bucket)
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        boto3.client("dynamodb").create_table(TableName="ledger", **LEDGER_SCHEMA)
        url = boto3.client("sqs").create_queue(QueueName=name)["QueueUrl"]
        self.queue, self.state = SqsTaskQueue(client("sqs"), url), DynamoState(client("dynamodb"), "ledger")
        self.store = S3ObjectStore(client("s3"), self.bucket)
        self.ledger = DynamoLedger(client("dynamodb"), "ledger", name)
        layout = Layout(name, 8)
        self.index = ChromaIndex(ChromaServer(chroma_url), layout)
        self.reader, self.embedder = FakeReader(), FakeEmbedder()
        indexer = RangeIndexer(self.store, self.index, self.embedder, self.reader, IngestLimits())
        self.ingest = Ingest(self.bucket, self.store, self.ledger, self.index, self.queue, indexer, name)
        self.retrieval = Retrieval(self.ledger, self.index)
        self.reconcile = Reconcile(
            name, self.store, self.ledger, self.index, self.queue, self.state, ReconcileLimits()
        )

    def put(self, key: str, text: str, *, tags: str = "", **metadata: str) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode(), Tagging=tags, Metadata=dict(metadata))
        self.look_at(key)

    def tag(self, key: str, **tags: str) -> None:
        given: Any = [{"Key": name, "Value": value} for name, value in tags.items()]
        self.s3.put_object_tagging(Bucket=self.bucket, Key=key, Tagging={"TagSet": given})

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.bucket, Key=key)
        self.look_at(key)

    def look_at(self, key: str) -> None:
        self.ingest.update(Hint(key), "worker", lambda: 900.0)

    def found(self, principal: Principal = EVERYBODY, **wanted: Any) -> set[str]:
        """Return the texts that a question retrieves under a filter."""
        scope = self.retrieval.scope(principal, (), None, Filter(**wanted))
        vector = self.embedder.embed_queries([QUESTION])[0].tolist()
        return {one.chunk.text for one in self.retrieval.search(scope, vector, 20, QUESTION).passages}


@pytest.fixture
def world(chroma_url: str) -> Iterator[World]:
    with mock_aws():
        yield World(chroma_url)


def test_every_kind_of_filter_finds_its_documents(world: World) -> None:
    world.reader.title, world.reader.author, world.reader.created = "Pumps of 2025", "Ada Example", "2025-06-01"
    world.put("plant/2025/é a+b.pdf", "the pump starts early", tags="stage=final&year=2025", team="heat")
    world.reader.title, world.reader.author, world.reader.created = "Pumps of 2026", None, "2026-06-01"
    world.put("plant/2026/b.pdf", "the pump starts late", tags="stage=draft", team="cold")
    world.reader.created = None
    world.put("office/c.pdf", "the pump starts never")
    early, late, never = "the pump starts early", "the pump starts late", "the pump starts never"
    assert world.found() == {early, late, never}
    assert world.found(prefix="plant/") == {early, late}
    assert world.found(prefix="plant/2025/é") == {early}
    assert world.found(prefix="p") == {early, late}
    assert world.found(documents=("plant/2026/b.pdf", "office/c.pdf")) == {late, never}
    assert world.found(title="pumps 2026") == {late, never}
    assert world.found(author="EXAMPLE") == {early}
    assert world.found(created_from="2025-06-02") == {late}
    assert world.found(created_to="2025-06-01") == {early}
    assert world.found(tags={"stage": "final", "year": "2025"}) == {early}
    assert world.found(metadata={"Team": "cold"}) == {late}
    assert world.found(prefix="plant/", tags={"stage": "final"}, metadata={"team": "cold"}) == set()
    assert world.found(Principal("key:a", frozenset({"office"})), title="pumps") == {never}


def test_a_replaced_document_is_found_by_its_new_versions_attributes_alone(world: World) -> None:
    world.put("a.pdf", "the pump starts early", tags="stage=draft", team="heat")
    world.put("a.pdf", "the pump starts late", tags="stage=final", team="cold")
    assert world.found(tags={"stage": "draft"}) == world.found(metadata={"team": "heat"}) == set()
    assert world.found(tags={"stage": "final"}, metadata={"team": "cold"}) == {"the pump starts late"}
    world.put("a.pdf", "the pump stands")
    assert world.found(tags={"stage": "final"}) == set()


def test_a_deleted_document_is_found_by_no_filter(world: World) -> None:
    world.put("a/x.pdf", "the pump starts early", tags="stage=final")
    world.delete("a/x.pdf")
    assert world.found(tags={"stage": "final"}) == world.found(prefix="a/") == set()
    with pytest.raises(NotFound):
        world.found(documents=("a/x.pdf",))


def test_new_tags_count_from_the_moment_that_their_notification_is_handled(world: World) -> None:
    world.put("a.pdf", "the pump starts early", tags="stage=draft")
    version = world.ledger.get("a.pdf")
    world.tag("a.pdf", stage="final")
    world.look_at("a.pdf")
    assert world.found(tags={"stage": "draft"}) == set()
    assert world.found(tags={"stage": "final"}) == {"the pump starts early"}
    now = world.ledger.get("a.pdf")
    assert version is not None
    assert now is not None
    assert now.live_version == version.live_version
    world.s3.delete_object_tagging(Bucket=world.bucket, Key="a.pdf")
    world.look_at("a.pdf")
    assert world.found(tags={"stage": "final"}) == set()


def test_new_tags_whose_notification_was_lost_are_found_by_reconcile(world: World) -> None:
    world.put("a.pdf", "the pump starts early")
    world.put("b.pdf", "the pump starts late", tags="stage=draft")
    assert world.reconcile.run(lambda: 100.0).drift[Drift.STALE] == 0
    world.tag("a.pdf", stage="final")
    report = world.reconcile.run(lambda: 100.0)
    assert (report.found, report.sent) == ([("stale", "a.pdf")], 1)
    world.look_at("a.pdf")
    assert world.found(tags={"stage": "final"}) == {"the pump starts early"}
    assert world.reconcile.run(lambda: 100.0, force=True).drift[Drift.STALE] == 0


def test_a_filter_finds_the_same_where_the_ledger_is_too_large_to_be_read_for_a_question(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        world.put(f"plant/{number:02}.pdf", f"the pump starts at {number}", tags=f"third={number % 3}")
    wanted = {f"the pump starts at {number}" for number in range(0, 30, 3)}
    assert world.found(tags={"third": "0"}) == wanted
    monkeypatch.setattr(selection, "MOST_ROWS", 10)
    assert world.found(tags={"third": "0"}) == wanted


def test_after_any_changes_a_filter_finds_exactly_the_matching_documents(world: World) -> None:
    chance = random.Random(7)
    keys = [f"{folder}/{number}.pdf" for folder in ("a", "b") for number in range(4)]
    bucket: dict[str, tuple[str, str]] = {}
    for step in range(60):
        key, tag = chance.choice(keys), chance.choice("xyz")
        match chance.randrange(4) if key in bucket else 0:
            case 0 | 1:
                bucket[key] = (f"the pump starts at step {step}", tag)
                world.put(key, bucket[key][0], tags=f"t={tag}")
            case 2:
                bucket[key] = (bucket[key][0], tag)
                world.tag(key, t=tag)
                world.look_at(key)
            case _:
                del bucket[key]
                world.delete(key)
        wanted = chance.choice("xyz")
        assert world.found(tags={"t": wanted}) == {text for text, tag in bucket.values() if tag == wanted}
        assert world.found(prefix="a/") == {text for key, (text, _) in bucket.items() if key.startswith("a/")}
