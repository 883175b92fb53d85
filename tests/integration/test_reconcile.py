"""Reconcile finds drift of every kind and real ingest repairs it, on moto and a real Chroma server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from docwell.adapters.aws import client
from docwell.adapters.chroma import ChromaIndex
from docwell.adapters.chroma_layout import Layout
from docwell.adapters.dynamodb.ledger import DynamoLedger, DynamoState
from docwell.adapters.s3 import S3ObjectStore
from docwell.adapters.sqs import SqsTaskQueue
from docwell.config import IngestLimits, ReconcileLimits
from docwell.errors import BadInput
from docwell.ingest.events import Delivery, handle_delivery
from docwell.ingest.indexing import RangeIndexer
from docwell.ingest.ingest import Ingest
from docwell.models import Chunk, DocumentRecord, DocumentRef, Hint, IndexRecord, Status, collection_of
from docwell.pipeline import Roles
from docwell.upkeep.drift import Drift
from docwell.upkeep.reconcile import Reconcile, ReconcileReport
from docwell.upkeep.reindex import FORGET_AFTER_S, Reindex
from infra.local.names import LEDGER_SCHEMA
from tests.unit.fakes import DIMENSION, FakeEmbedder, FakeReader

from .waiting import Clock

pytestmark = pytest.mark.integration
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

    def __post_init__(self) -> None:
        self.s3, self.sqs = boto3.client("s3"), boto3.client("sqs")
        self.store = S3ObjectStore(client("s3"), self.bucket)
        self.state = DynamoState(client("dynamodb"), "ledger")
        self.queue = SqsTaskQueue(client("sqs"), self.queue_url)

    def index(self, fingerprint: str = "") -> ChromaIndex:
        name = fingerprint or self.known[0]
        layout = Layout(name, self.shards[self.known.index(name)])
        return ChromaIndex(self.chroma_url, layout, tenant="default_tenant", database="default_database")

    def ledger(self, fingerprint: str = "") -> DynamoLedger:
        return DynamoLedger(client("dynamodb"), "ledger", fingerprint or self.known[0], 60.0, self.clock)

    def ingest(self, fingerprint: str) -> Ingest:
        index = self.index(fingerprint)
        limits = IngestLimits(range_pages=2, stop_before_s=1.0)
        indexer = RangeIndexer(self.store, index, FakeEmbedder(), FakeReader(), limits)
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

    def run(self, **options: Any) -> ReconcileReport:
        report = self.reconcile().run(lambda: 100.0, **options)
        assert report.complete
        return report

    def check_equal(self, fingerprint: str = "") -> None:
        """Check that chunks and rows are exactly the bucket's."""
        fingerprint = fingerprint or self.known[0]
        expected = {}
        ledger, index = self.ledger(fingerprint), self.index(fingerprint)
        for one in self.store.list(None, 1000):
            head = self.store.head(one.key)
            assert head is not None
            record = ledger.get(one.key)
            assert record is not None
            assert (record.status, record.version) == (Status.INDEXED, head.version)
            ref = DocumentRef(self.bucket, one.key)
            generation = ref.generation(head.version, fingerprint)
            body = self.s3.get_object(Bucket=self.bucket, Key=one.key)["Body"].read().decode()
            for page in range(body.count("\f") + 1):
                expected[ref.chunk_id(generation, page // 2, page % 2)] = one.key
        found = {id_: document for name in index.collections() for id_, document, _ in index.page(name, 0, 1000)}
        assert found == expected

    def is_gone(self, fingerprint: str) -> bool:
        rows, _ = self.ledger(fingerprint).scan(None, 1000)
        return not rows and not self.index(fingerprint).collections()


@pytest.fixture
def world(chroma_url: str, request: pytest.FixtureRequest) -> Iterator[World]:
    """A new world; a test can set the shards of its pipelines."""
    with mock_aws():
        bucket = f"documents-{uuid.uuid4().hex[:8]}"
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        queue_url = boto3.client("sqs").create_queue(QueueName="ingest")["QueueUrl"]
        boto3.client("dynamodb").create_table(TableName="ledger", **LEDGER_SCHEMA)
        # New fingerprints, because all tests share one Chroma server.
        known = (uuid.uuid4().hex, uuid.uuid4().hex)
        yield World(chroma_url, bucket, queue_url, Clock(), known, getattr(request, "param", (8, 8)))


@pytest.fixture
def filled(world: World) -> World:
    """A world at rest: one pass has indexed a bucket that was full before."""
    for key in KEYS:
        world.put(key)
    world.run()
    assert world.work() >= len(KEYS)
    world.later()
    world.check_equal()
    return world


def drift(report: ReconcileReport) -> dict[str, int]:
    return {kind: count for kind, count in report.drift.items() if count}


def chunks(key: str, generation: str, count: int) -> list[IndexRecord]:
    vector = [1.0] + [0.0] * (DIMENSION - 1)
    return [
        IndexRecord(f"stray-{key}-{i}", key, generation, "v0", Chunk("x", 1, 0, 1, 1), vector)
        for i in range(count)
    ]


def mended(world: World, kind: Drift) -> None:
    """Check that a dry run reports the drift, a run repairs it, and the next run finds none."""
    assert drift(world.run(dry_run=True)) == {kind: 1}
    assert world.work() == 0
    assert drift(world.run()) == {kind: 1}
    assert world.work() > 0
    world.later()
    world.check_equal()
    assert drift(world.run()) == {}


def test_a_full_bucket_is_indexed_without_any_event_and_then_nothing_is_left_to_do(filled: World) -> None:
    report = filled.run()
    assert (report.keys, report.rows, drift(report), report.sent) == (len(KEYS), len(KEYS), {}, 0)
    assert report.chunks == 3 * len(KEYS)


def test_an_upload_whose_event_was_lost_is_missing(filled: World) -> None:
    filled.put("handbooks/new.pdf")
    mended(filled, Drift.MISSING)


def test_an_overwrite_whose_event_was_lost_is_stale(filled: World) -> None:
    filled.put(KEYS[2], "other content")
    mended(filled, Drift.STALE)


def test_a_key_that_came_back_unseen_is_missing(filled: World) -> None:
    filled.delete(KEYS[0])
    filled.run()
    filled.work()
    filled.later()
    filled.put(KEYS[0])
    mended(filled, Drift.MISSING)


def test_a_delete_whose_event_was_lost_is_an_orphan(filled: World) -> None:
    filled.delete(KEYS[2])
    mended(filled, Drift.ORPHAN)


def test_chunks_of_an_unknown_key_are_orphans(filled: World) -> None:
    filled.index().upsert("handbooks", chunks("handbooks/unknown.pdf", "g", 3))
    mended(filled, Drift.ORPHAN)


def test_chunks_left_of_a_deleted_document_are_orphans(filled: World) -> None:
    filled.delete(KEYS[1])
    filled.run()
    filled.work()
    filled.later()
    filled.index().upsert("handbooks", chunks(KEYS[1], "g", 1))
    mended(filled, Drift.ORPHAN)


def test_chunks_of_another_generation_are_stale(filled: World) -> None:
    filled.index().upsert("handbooks", chunks(KEYS[1], "older", 2))
    mended(filled, Drift.STALE)


def test_more_chunks_than_were_written_are_duplicates(filled: World) -> None:
    record = filled.ledger().get(KEYS[1])
    assert record is not None
    assert record.live_generation is not None
    filled.index().upsert("handbooks", chunks(KEYS[1], record.live_generation, 1))
    mended(filled, Drift.DUPLICATE)


def test_fewer_chunks_than_were_written_are_lost(filled: World) -> None:
    filled.index().delete("handbooks", filled.index().ids("handbooks", KEYS[1], limit=1))
    mended(filled, Drift.LOST)


def test_a_document_whose_worker_and_message_are_gone_is_stuck(filled: World) -> None:
    filled.put(KEYS[0], "a new text\fof two pages\fand more")
    ledger = filled.ledger()
    lease = ledger.acquire(KEYS[0], "a worker that dies")
    head = filled.store.head(KEYS[0])
    assert lease is not None
    assert head is not None
    begun = DocumentRecord(KEYS[0], Status.PENDING, version=head.version, etag=head.etag, attempt=lease.fence)
    ledger.write(lease, replace(begun, live_generation=lease.record.live_generation, swept=False), fresh=True)
    assert drift(filled.run()) == {}  # its lease is held
    filled.later(120)
    mended(filled, Drift.STUCK)


def test_after_the_loss_of_all_vectors_one_pass_brings_them_back(filled: World) -> None:
    for name in filled.index().collections():
        filled.index().drop(name)
    assert drift(filled.run()) == {Drift.LOST: len(KEYS)}
    filled.work()
    filled.later()
    filled.check_equal()


def test_a_pass_goes_on_where_a_run_had_to_stop(filled: World) -> None:
    for number in range(3):
        filled.put(f"more/{number}.pdf")
    answers = iter([100.0, 0.0])
    first = filled.reconcile().run(lambda: next(answers))
    assert (first.complete, first.phase, first.keys) == (False, "ledger", len(KEYS) + 3)
    assert first.drift[Drift.MISSING] == 3
    last = filled.run()
    assert (last.keys, last.sent, last.drift[Drift.MISSING]) == (len(KEYS) + 3, 0, 3)


def test_a_pass_does_not_begin_while_the_queue_is_full(filled: World) -> None:
    for number in range(10):
        filled.put(f"more/{number}.pdf")
    reconcile = replace(filled.reconcile(), limits=ReconcileLimits(begin_below=5))
    assert reconcile.run(lambda: 100.0).sent == 10
    again = reconcile.run(lambda: 100.0)
    assert (again.sent, again.waiting, again.complete) == (0, 10, False)


# --- re-index ---


def step(world: World, name: str, **options: Any) -> dict[str, Any]:
    return world.reindex().run(name, lambda: 100.0, **options)


@pytest.mark.parametrize("world", [(8, 8), (0, 8)], indirect=True)
def test_a_new_index_is_built_beside_the_old_one_while_documents_come_and_go(filled: World) -> None:
    old, new = filled.known
    filled.announces = True
    assert step(filled, "start")["building"] == new
    assert filled.index(old).search(None, [1.0] * DIMENSION, 100)
    filled.delete(KEYS[0])
    filled.put(KEYS[1], "replaced meanwhile")
    filled.put("late.pdf")
    assert step(filled, "switch")["switched"] is False
    filled.work()
    filled.check_equal(old)
    filled.check_equal(new)
    assert len({len(filled.index(one).search(None, [1.0] * DIMENSION, 100)) for one in (old, new)}) == 1
    status = step(filled, "status")
    assert (status["active"], status["building"], status["complete"]) == (old, new, True)
    answer = step(filled, "switch")
    assert (answer["switched"], answer["active"], answer["make_first_in_settings"]) == (True, new, True)
    assert filled.is_gone(old)
    # New uploads go to the new index only.
    filled.put("after.pdf")
    filled.work()
    filled.check_equal(new)
    assert filled.is_gone(old)
    assert step(filled, "switch")["active"] == new


def test_a_switch_that_is_killed_before_it_removed_the_old_index_is_finished_later(filled: World) -> None:
    old, new = filled.known
    step(filled, "start")
    filled.work()

    def killed(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace(filled.reindex(), pause=killed).run("switch", lambda: 100.0)
    assert not filled.is_gone(old)
    straggler = filled.ingest(old)
    filled.reindex().tidy(lambda: 100.0)
    assert filled.is_gone(old)
    # A worker that started before the switch writes to the old index until its time is over.
    straggler.index.upsert(collection_of(KEYS[0]), chunks(KEYS[0], "g", 1))
    straggler.ledger.acquire(KEYS[0], "straggler")
    filled.later(FORGET_AFTER_S + 1)
    filled.reindex().tidy(lambda: 100.0)
    assert filled.is_gone(old)
    assert Roles.read(filled.state, filled.known) == Roles(new)
    filled.check_equal(new)


def test_an_aborted_index_is_removed_and_not_filled_again_and_can_be_built_anew(filled: World) -> None:
    old, new = filled.known
    step(filled, "start")
    filled.work()
    assert not filled.is_gone(new)
    assert step(filled, "abort")["active"] == old
    assert filled.is_gone(new)
    filled.put("late.pdf")
    filled.later()
    filled.run()
    filled.work()
    assert filled.is_gone(new)
    with pytest.raises(BadInput, match="no index is being built"):
        step(filled, "switch")
    step(filled, "start")
    filled.work()
    filled.check_equal(new)
    assert step(filled, "switch")["switched"] is True


def test_a_start_that_is_repeated_goes_on(filled: World) -> None:
    first, second = step(filled, "start"), step(filled, "start")
    assert (first["building"], first["retired"]) == (second["building"], second["retired"])
    filled.work()
    assert step(filled, "status")["complete"] is True


def test_an_index_that_is_not_complete_is_switched_to_only_by_force(filled: World) -> None:
    step(filled, "start")
    assert step(filled, "switch")["switched"] is False
    assert step(filled, "switch", force=True)["switched"] is True
