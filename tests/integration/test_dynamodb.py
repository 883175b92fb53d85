"""The ledger's rules on DynamoDB's own conditions (moto, in process)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from unittest.mock import Mock

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from docwell.adapters.aws import client
from docwell.adapters.dynamodb.ledger import DynamoLedger, DynamoState, encode_cursor
from docwell.errors import BadInput, LeaseLost
from docwell.models import Attributes, DocumentRecord, Lease, RangeTally, RangeTask, Status
from docwell.ports import LiveDocument
from infra.local.names import LEDGER_SCHEMA

from .waiting import Clock

pytestmark = pytest.mark.integration
TABLE = "ledger"
PIPELINE = "f1"
KEY = "handbooks/é 日本+%&.pdf"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Iterator[DynamoLedger]:
    with mock_aws():
        boto3.client("dynamodb").create_table(TableName=TABLE, **LEDGER_SCHEMA)
        yield DynamoLedger(client("dynamodb"), TABLE, PIPELINE, lease_s=60.0, clock=clock)


def taken(ledger: DynamoLedger, owner: str = "one", key: str = KEY) -> Lease:
    lease = ledger.acquire(key, owner)
    assert lease is not None
    return lease


@pytest.mark.parametrize("key", ["", "x" * 1025, "x" * 2049, "é" * 1025, "a\ud800.pdf"])
def test_a_key_that_no_object_can_have_is_not_requested(key: str) -> None:
    # moto accepts keys over DynamoDB's limit of 2,048 bytes.
    refuses = Mock(get_item=Mock(side_effect=ClientError({"Error": {"Code": "ValidationException"}}, "GetItem")))
    assert DynamoLedger(refuses, TABLE, PIPELINE).get(key) is None


def test_a_record_comes_back_as_it_was_written(ledger: DynamoLedger, clock: Clock) -> None:
    record = DocumentRecord(
        key=KEY,
        status=Status.INDEXED,
        version="v",
        etag='"e"',
        ranges=3,
        dispatched=True,
        ranges_done=frozenset({0, 2}),
        size=1,
        pages=3,
        pages_done=3,
        chunks=9,
        title="T",
        live_generation="g",
        live_version="v",
        live_attributes=Attributes("T", None, "2026-03-01", {"team": "é"}, {"stage": "", "Stage": "x"}, "a/csv"),
        swept=False,
        updated_at=clock.now,
    )
    lease = ledger.write(taken(ledger), record, fresh=True)
    assert lease.record == record
    assert ledger.get(KEY) == record
    emptied = replace(record, reason=None, live_generation=None, live_attributes=None, title=None)
    ledger.write(lease, emptied)
    assert ledger.get(KEY) == emptied


def test_a_second_worker_gets_no_lease_and_the_holder_must_look_again(ledger: DynamoLedger) -> None:
    lease = planned(ledger)
    assert ledger.acquire(KEY, "two") is None
    ledger.finish_range(task(1), RangeTally(pages=50, chunks=7))
    again = ledger.release(lease)
    assert again is not None
    assert again.record.ranges_done == {1}
    assert ledger.release(again) is None
    assert taken(ledger, "two").fence > lease.fence


def test_the_same_owner_gets_its_lease_again_under_a_new_fence(ledger: DynamoLedger) -> None:
    first = taken(ledger, "one")
    second = taken(ledger, "one")
    assert second.fence > first.fence
    with pytest.raises(LeaseLost):
        ledger.write(first, first.record)


def test_an_expired_lease_passes_on_and_its_old_holder_changes_nothing(ledger: DynamoLedger, clock: Clock) -> None:
    old = taken(ledger, "one")
    clock.now += 61
    new = taken(ledger, "two")
    ledger.write(new, replace(new.record, title="new"))
    changes: list[Callable[[], object]] = [
        lambda: ledger.write(old, replace(old.record, title="old")),
        lambda: ledger.renew(old),
        lambda: ledger.release(old),
    ]
    for change in changes:
        with pytest.raises(LeaseLost):
            change()
    found = ledger.get(KEY)
    assert found is not None
    assert found.title == "new"


def live(ledger: DynamoLedger) -> set[str]:
    """Return the live documents by each of the reading methods."""
    described, (under, _) = ledger.described([KEY]), ledger.under("handbooks", "", 10)
    assert described == under
    return {document.generation for document in described.values()}


def test_a_generation_is_live_only_while_the_bucket_has_its_version(ledger: DynamoLedger) -> None:
    lease = taken(ledger)
    record = replace(lease.record, status=Status.INDEXED, version="v1", live_generation="g1", live_version="v1")
    lease = ledger.write(lease, record)
    assert live(ledger) == {"g1"}
    for version, expected in (("v2", set()), ("", set()), ("v1", {"g1"}), ("", set())):
        found = ledger.get(KEY)
        assert found is not None
        assert ledger.observe(found, version)
        assert live(ledger) == expected
    # A holder that writes its older record does not restore it, fresh or not.
    for fresh in (False, True):
        lease = ledger.write(lease, record, fresh=fresh)
        assert live(ledger) == set()
        assert (lease.record.observed_version, lease.record.observations) == ("", 4)
    assert ledger.write(lease, replace(record, live_generation=None)).record.observed_version == ""


def test_only_the_first_of_two_observers_that_read_the_same_row_stores_its_version(ledger: DynamoLedger) -> None:
    first = taken(ledger).record
    for _ in range(2):
        assert ledger.observe(first, "v2")
        assert not ledger.observe(first, "v1")
        found = ledger.get(KEY)
        assert found is not None
        assert found.observed_version == "v2"
        first = found


def test_an_observation_creates_no_row(ledger: DynamoLedger) -> None:
    assert not ledger.observe(DocumentRecord(KEY), "v1")
    assert ledger.get(KEY) is None


def task(number: int, version: str = "v1", attempt: int = 7) -> RangeTask:
    return RangeTask(KEY, version, PIPELINE, attempt, number)


def planned(ledger: DynamoLedger) -> Lease:
    lease = taken(ledger)
    return ledger.write(lease, DocumentRecord(KEY, Status.PENDING, version="v1", attempt=7, ranges=3), fresh=True)


def test_a_range_is_noted_once_and_adds_up(ledger: DynamoLedger) -> None:
    planned(ledger)
    tally = RangeTally(
        pages=50,
        chunks=7,
        characters=900,
        cpu_s=1.25,
        page_failures=frozenset({"too_slow 3"}),
        textless_pages=2,
        doubtful_pages=frozenset({4}),
    )
    ledger.finish_range(task(0), tally)
    ledger.finish_range(task(2), tally)
    record = ledger.finish_range(task(0), tally)
    assert record is not None
    assert record.ranges_done == {0, 2}
    assert (record.pages_done, record.chunks, record.characters, record.cpu_s) == (100, 14, 1800, 2.5)
    assert record.page_failures == {"too_slow 3"}
    assert (record.textless_pages, record.doubtful_pages) == (4, frozenset({4}))


def test_a_range_of_a_document_that_moved_on_is_not_noted(ledger: DynamoLedger) -> None:
    lease = planned(ledger)
    assert ledger.finish_range(task(0, "v0"), RangeTally(chunks=1)) is None
    assert ledger.finish_range(task(0, attempt=6), RangeTally(chunks=1)) is None
    ledger.write(lease, replace(lease.record, status=Status.REJECTED))
    assert ledger.finish_range(task(0), RangeTally(chunks=1)) is None
    assert DynamoLedger(client("dynamodb"), TABLE, "other").finish_range(task(0), RangeTally()) is None


def test_a_holder_that_writes_leaves_the_progress_of_the_ranges_alone(ledger: DynamoLedger) -> None:
    lease = planned(ledger)
    ledger.finish_range(task(1), RangeTally(pages=50, chunks=7))
    lease = ledger.write(lease, replace(lease.record, dispatched=True))
    assert (lease.record.ranges_done, lease.record.chunks) == (frozenset({1}), 7)
    lease = ledger.write(lease, DocumentRecord(KEY, Status.PENDING, version="v2"), fresh=True)
    assert (lease.record.ranges_done, lease.record.chunks) == (frozenset(), 0)


def test_pipelines_do_not_see_each_other(ledger: DynamoLedger) -> None:
    other = DynamoLedger(client("dynamodb"), TABLE, "f2")
    lease = taken(ledger)
    ledger.write(lease, replace(lease.record, status=Status.INDEXED, live_generation="g"))
    assert other.get(KEY) is None
    assert other.described([KEY]) == {}
    assert other.page(None, None, None, 10) == ([], None)
    assert other.acquire(KEY, "two") is not None


def test_a_fact_is_stored_and_is_not_a_document(ledger: DynamoLedger) -> None:
    state = DynamoState(client("dynamodb"), TABLE)
    assert state.read("active") == {}
    state.write("active", {"fingerprint": "f2"})
    assert state.read("active") == {"fingerprint": "f2"}
    assert ledger.page(None, None, None, 10) == ([], None)


def listed(
    ledger: DynamoLedger,
    collections: list[str] | None,
    status: Status | None = None,
    prefix: str = "",
    limit: int = 2,
) -> list[list[str]]:
    """Return the keys of each page of a listing."""
    pages: list[list[str]] = []
    cursor = None
    while not pages or cursor:
        records, cursor = ledger.page(collections, status, cursor, limit, prefix)
        pages.append([record.key for record in records])
        assert len(records) <= limit
    return pages


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_documents_are_listed_by_collection_status_and_prefix_in_pages(ledger: DynamoLedger, limit: int) -> None:
    keys = ["a/1", "a/2", "a/2026/x", "a/2026/y", "b/1", "top.pdf"]
    for key in [*reversed(keys), "a/gone", "c/2026/z"]:
        lease = taken(ledger, key=key)
        ledger.write(lease, replace(lease.record, status=Status.DELETED if key == "a/gone" else Status.INDEXED))

    def found(collections: list[str] | None, status: Status | None = None, prefix: str = "") -> list[str]:
        return [key for page in listed(ledger, collections, status, prefix, limit) for key in page]

    assert found(["b", "none", "a", "default", ""]) == keys
    assert sorted(found(None)) == sorted([*keys, "c/2026/z"])
    assert found(["b", "a", "default"], Status.INDEXED) == keys
    # One read: rows of another status do not count.
    assert listed(ledger, ["a"], Status.DELETED, "", 1) == listed(ledger, None, Status.DELETED) == [["a/gone"]]
    assert found(["a", "b"], prefix="a/2026/") == sorted(found(None, prefix="a/2026/")) == keys[2:4]


def test_a_page_of_thousands_of_empty_collections_is_bounded_and_goes_on(ledger: DynamoLedger) -> None:
    taken(ledger, key="z/1")
    pages = listed(ledger, [f"c{number}" for number in range(120)] + ["z"])
    assert pages == [[], [], ["z/1"]]


def test_a_cursor_never_leads_out_of_the_callers_collections(ledger: DynamoLedger) -> None:
    for collection in ("a", "b"):
        for number in range(3):
            taken(ledger, key=f"{collection}/{number}")
    _, of_b = ledger.page(["b"], None, None, 1)
    _, of_all = ledger.page(None, None, None, 1)
    forged = {"collection": {"S": "a"}, "document": {"S": "b/0"}, "pipeline": {"S": PIPELINE}}
    for cursor in (of_b, of_all, encode_cursor(forged), encode_cursor({"collection": {"S": "b"}})):
        with pytest.raises(BadInput, match="cursor"):
            ledger.page(["a"], None, cursor, 10)
    _, cursor = ledger.page(["a"], None, None, 1, "a/")
    with pytest.raises(BadInput, match="cursor"):
        ledger.page(["a"], None, cursor, 1, "a/2026/")


@pytest.mark.parametrize(
    "cursor",
    [
        *("x", "bm8=", "eyJhIjogMX0=", "W10=", "é", base64.urlsafe_b64encode(b"[" * 6000).decode()),
        *(
            encode_cursor({"document": {"S": name}, "pipeline": {"S": PIPELINE}})
            for name in ("", "x" * 1025, "\ud800")
        ),
    ],
)
@pytest.mark.parametrize("collections", [None, ["a"]])
def test_a_forged_cursor_is_bad_input(ledger: DynamoLedger, cursor: str, collections: list[str] | None) -> None:
    with pytest.raises(BadInput):
        ledger.page(collections, None, cursor, 10)


def described(ledger: DynamoLedger, key: str, said: Attributes | None = None, live: str | None = "g") -> None:
    lease = taken(ledger, key=key)
    record = replace(lease.record, status=Status.INDEXED, live_generation=live, live_attributes=said)
    ledger.release(ledger.write(lease, record))


def test_attributes_of_live_documents_are_found_by_key_and_by_prefix(ledger: DynamoLedger) -> None:
    said = Attributes("T", tags={"stage": "final"})
    described(ledger, "c/2026/é+.pdf", said)
    described(ledger, "c/2026/b.pdf")
    described(ledger, "c/2026/gone.pdf", said, live=None)
    described(ledger, "c/2025/a.pdf", said)
    described(ledger, "d/2026/a.pdf", said)
    described(DynamoLedger(client("dynamodb"), TABLE, "f2"), "c/2026/other.pdf", said)
    both = {"c/2026/é+.pdf": LiveDocument("g", said), "c/2026/b.pdf": LiveDocument("g", Attributes())}
    found, looked_at = ledger.under("c", "c/2026/", 100)
    assert (found, looked_at) == (both, 4)
    assert set(ledger.under("c", "", 100)[0]) == {*both, "c/2025/a.pdf"}
    assert ledger.under("e", "", 100) == ({}, 0)
    assert ledger.under("c", "c/2026/", 3)[1] is None  # more rows than the limit
    assert ledger.described([*both, "c/2026/gone.pdf", "c/2026/other.pdf", "never.pdf"]) == both


def test_unknown_attributes_of_another_release_are_ignored(ledger: DynamoLedger) -> None:
    described(ledger, "c/a")
    row = {"later": {"S": "x"}, "title": {"S": "T"}}
    boto3.client("dynamodb").update_item(
        TableName=TABLE,
        Key={"document": {"S": "c/a"}, "pipeline": {"S": PIPELINE}},
        UpdateExpression="SET live_attributes = :row",
        ExpressionAttributeValues={":row": {"M": row}},
    )
    assert ledger.described(["c/a"]) == {"c/a": LiveDocument("g", Attributes("T"))}


def test_a_scan_has_the_rows_of_its_pipeline_and_sees_which_others_have_rows(ledger: DynamoLedger) -> None:
    ledgers = {PIPELINE: ledger, "f2": DynamoLedger(client("dynamodb"), TABLE, "f2")}
    DynamoState(client("dynamodb"), TABLE).write("a fact", {"of": "the index"})
    for name, rows_ledger in ledgers.items():
        rows_ledger.acquire(f"{name}.pdf", "one")
    for name, others in ((PIPELINE, {"f2"}), ("f2", {PIPELINE})):
        rows, _ = ledgers[name].scan(None, 100)
        assert [row.record.key for row in rows] == [f"{name}.pdf"]
        assert ledgers[name].others == others
    ledgers["f2"].forget(["f2.pdf"])
    ledger.scan(None, 100)
    assert ledger.others == set()
