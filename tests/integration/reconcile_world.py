"""A bucket, a queue, a ledger and a Chroma server, on which the real ingest and reconcile work."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import boto3
from moto import mock_aws

from docwell.adapters.aws import client
from docwell.adapters.dynamodb.ledger import DynamoLedger, DynamoState
from docwell.adapters.s3 import S3ObjectStore
from docwell.adapters.sqs import SqsTaskQueue
from docwell.config import IngestLimits, ReconcileLimits
from docwell.ingest.events import Delivery, handle_delivery
from docwell.ingest.indexing import RangeIndexer
from docwell.ingest.ingest import Ingest
from docwell.models import Generation, Hint, Status
from docwell.pipeline import Roles
from docwell.upkeep.reconcile import Reconcile
from docwell.upkeep.reindex import Reindex
from infra.local.names import LEDGER_SCHEMA
from tests.unit.fakes import FakeEmbedder, FakeReader

from .test_chroma import index as chroma_index
from .waiting import Clock

KEYS = ["a.pdf", "handbooks/b.pdf", "handbooks/é 日本+%&.pdf", "//c.pdf"]
TEXT = "the pump starts\fthe valve closes\fthe tank is full"


@dataclass
class World:
    """A bucket, a queue, a ledger table and a Chroma server, with the pipelines in use."""

    chroma_url: str
    bucket: str
    queue_url: str
    clock: Clock
    known: tuple[str, ...]
    shards: tuple[int, int] = (8, 8)  # of the two known pipelines
    announces: bool = False  # whether the events of uploads and deletes reach the queue
    table: str = "ledger"

    def __post_init__(self) -> None:
        self.s3, self.sqs = boto3.client("s3"), boto3.client("sqs")
        self.store = S3ObjectStore(client("s3"), self.bucket)
        self.queue, self.reader = SqsTaskQueue(client("sqs"), self.queue_url), FakeReader()

    @property
    def state(self) -> DynamoState:
        return DynamoState(client("dynamodb"), self.table)

    def index(self, fingerprint: str = "") -> Any:
        name = fingerprint or self.known[0]
        return chroma_index(self.chroma_url, name, shards=self.shards[self.known.index(name)])

    def ledger(self, fingerprint: str = "") -> DynamoLedger:
        return DynamoLedger(client("dynamodb"), self.table, fingerprint or self.known[0], 60.0, self.clock)

    def ingest(self, fingerprint: str) -> Ingest:
        index = self.index(fingerprint)
        limits = IngestLimits(range_pages=2, stop_before_s=1.0)
        indexer = RangeIndexer(self.store, index, FakeEmbedder(), self.reader, limits)
        ledger = self.ledger(fingerprint)
        return Ingest(self.bucket, self.store, ledger, index, self.queue, indexer, fingerprint)

    def reconcile(self, fingerprint: str = "") -> Reconcile:
        fingerprint = fingerprint or self.known[0]
        rows, limits = self.ledger(fingerprint), ReconcileLimits()
        index = self.index(fingerprint)
        return Reconcile(fingerprint, self.store, rows, index, self.queue, self.state, limits, self.clock)

    def reindex(self) -> Reindex:
        return Reindex(self.known, self.state, self.reconcile, self.clock, pause=lambda _: None)

    def put(self, key: str, text: str = TEXT) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode())
        if self.announces:
            self.queue.send([Hint(key)])

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.bucket, Key=key)
        if self.announces:
            self.queue.send([Hint(key)])

    def work(self, used: tuple[str, ...] = ()) -> int:
        """Let ingest handle messages until the queue is empty. Return their number."""
        done = 0
        used = used or Roles.read(self.state, self.known).in_use(self.known)
        pipelines = [self.ingest(one) for one in used]
        while messages := self.sqs.receive_message(QueueUrl=self.queue_url, AttributeNames=["All"]).get(
            "Messages"
        ):
            for message in messages:
                receives = int(message["Attributes"]["ApproximateReceiveCount"])
                delivery = Delivery(
                    message["MessageId"],
                    message["ReceiptHandle"],
                    message["Body"],
                    receives,
                    last=receives >= 5,
                    remaining_s=lambda: 100.0,
                    set_delay=lambda _receipt, _seconds: None,
                )
                handle_delivery(pipelines, delivery)
                self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
                done += 1
        return done

    def later(self, seconds: float = 7200.0) -> None:
        self.clock.now += seconds

    def run(self, **options: Any) -> SimpleNamespace:
        report = SimpleNamespace(**self.reconcile().run(lambda: 100.0, **options))
        assert report.complete
        return report

    def check_equal(self, fingerprint: str = "") -> None:
        """Check that chunks and rows match the bucket exactly."""
        fingerprint = fingerprint or self.known[0]
        expected = {}
        ledger, index = self.ledger(fingerprint), self.index(fingerprint)
        for one in self.store.page("")[0]:
            head = self.store.head(one.key)
            assert head is not None
            record = ledger.get(one.key)
            assert record is not None
            assert (record.status, record.version) == (Status.INDEXED, head.version)
            generation = Generation.of(self.bucket, one.key, head.version, fingerprint)
            body = self.s3.get_object(Bucket=self.bucket, Key=one.key)["Body"].read().decode()
            for page in range(body.count("\f") + 1):
                expected[generation.chunk_id(page // 2, page % 2)] = one.key
        found = [(id_, key) for name in index.collections() for id_, key, _ in index.page(name, 0, 1000)]
        assert sorted(found) == sorted(expected.items())

    def is_gone(self, fingerprint: str) -> bool:
        rows, _ = self.ledger(fingerprint).scan(None, 1000)
        return not rows and not self.index(fingerprint).collections()


@contextmanager
def new_world(chroma_url: str, shards: tuple[int, int] = (8, 8), kind: type[World] = World) -> Iterator[World]:
    """An empty world; `shards` are those of its two known pipelines."""
    with mock_aws():
        bucket = f"documents-{uuid.uuid4().hex[:8]}"
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        queue_url = boto3.client("sqs").create_queue(QueueName="ingest")["QueueUrl"]
        boto3.client("dynamodb").create_table(TableName="ledger", **LEDGER_SCHEMA)
        # Use new fingerprints, because all tests share one Chroma server.
        known = (uuid.uuid4().hex, uuid.uuid4().hex)
        yield kind(chroma_url, bucket, queue_url, Clock(), known, shards)


def fill(world: World) -> World:
    """Bring a world to rest: one pass indexes a bucket that was full before."""
    for key in KEYS:
        world.put(key)
    world.run()
    assert world.work() >= len(KEYS)
    world.later()
    world.check_equal()
    return world


def drift(report: SimpleNamespace) -> dict[str, int]:
    return {kind: count for kind, count in report.drift.items() if count}
