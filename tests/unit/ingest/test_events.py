"""Messages become keys and ranges; failures are retried, and fail the document at the last receive."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from threading import Thread
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote_plus

import pytest

from docwell.errors import BadInput, Unavailable
from docwell.ingest.events import (
    DEAD_LETTER_DELAY_S,
    LONGEST_DELAY_S,
    Delivery,
    handle_dead_letter,
    handle_delivery,
    parse,
)
from docwell.ingest.ingest import Ingest
from docwell.models import Hint, RangeTask, Reason, Status
from docwell.wiring import ingest as wiring
from functions.ingest.handler import handler
from tests.unit.http.http_calls import CONTEXT
from tests.unit.ingest.ingest_world import KEY, World, raising

# A worker's first extension of its message's visibility timeout.
EXTENSION = ("receipt-1", 60)


def body(*keys: str) -> str:
    return json.dumps({"Records": [{"s3": {"object": {"key": quote_plus(key)}}} for key in keys]})


@pytest.mark.parametrize(
    "key", ["a+b.pdf", "100%.pdf", "a&b=c.pdf", "a b.pdf", "é/日本.pdf", "a%2Fb.pdf", "//a/../b.pdf"]
)
def test_each_key_of_a_notification_is_decoded_and_listed_once(key: str) -> None:
    assert parse(body(key, "b", key)) == (Hint(key), Hint("b"))


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", "null", "{}", '{"Records": [{"s3": {}}]}', '{"Records": 3}']
)
def test_a_body_that_is_not_a_notification_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput):
        parse(text)


@pytest.mark.parametrize(
    "message", [Hint("a b+.pdf", rebuild=True), Hint("x", sweep=True), RangeTask("a", "v", "p", 1, 3)]
)
def test_docwells_own_messages_survive_json(message: Hint | RangeTask) -> None:
    assert parse(json.dumps({"docwell": asdict(message) | {"of_a_later_release": 1}})) == (message,)


def delivery(
    text: str, receives: int = 1, delay: Callable[[str, int], None] = lambda _receipt, _seconds: None
) -> Delivery:
    return Delivery("message-1", "receipt-1", text, receives, receives >= 5, lambda: 900.0, delay)


@pytest.mark.parametrize(
    "text",
    [
        '{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}',
        "no json",
        '{"detail": "from another sender"}',
        '{"docwell": {"colour": "red"}}',
        json.dumps({"docwell": asdict(RangeTask("a", "v1", "a pipeline that is gone", 1, 0))}),
    ],
)
def test_a_message_without_work_is_acknowledged(text: str) -> None:
    world = World()
    handle_delivery([world.ingest], delivery(text))
    assert world.ledger.records == {}


@pytest.mark.parametrize(
    ("receives", "longest"),
    [(1, 2), (3, 8), (8, 256), (9, LONGEST_DELAY_S), (1_100, LONGEST_DELAY_S), (100_000, LONGEST_DELAY_S)],
)
def test_a_delay_doubles_with_each_receive_up_to_its_limit(receives: int, longest: float) -> None:
    received, error = delivery("", receives), Unavailable("chroma", "down", retry_after=None)
    delays = [received.delay_s(error) for _ in range(500)]
    assert longest / 2 < max(delays) <= longest
    assert min(delays) >= 1


def test_a_busy_worker_extends_its_message_until_it_fails_and_then_delays_it() -> None:
    world, twice, delays = World(visibility_s=3.0), threading.Event(), list[int]()
    world.store.put(KEY, "some text")

    def set_delay(_receipt: str, seconds: int) -> None:
        delays.append(seconds)
        if len(delays) == 2:
            twice.set()

    def work_until_extended_twice() -> None:
        assert twice.wait(20)
        raise Unavailable("chroma", "chroma cannot be reached", retry_after=7)

    world.index.before_upsert = work_until_extended_twice
    with pytest.raises(Unavailable):
        handle_delivery([world.ingest], delivery(body(KEY), delay=set_delay))
    assert set(delays[:-1]) == {3}
    assert delays[-1] >= 7


OTHER_KEY = "handbooks/b.pdf"
LAST = 5
ERRORS = [Unavailable("chroma", "chroma cannot be reached", retry_after=7), RuntimeError("no memory")]


class Pipelines:
    """Two pipelines on one bucket, and the delays of the messages that they received."""

    def __init__(self) -> None:
        self.first, self.second = World(), World()
        store, second = self.first.store, self.second.ingest
        indexer = replace(second.indexer, store=store)
        self.second.ingest = replace(second, store=store, indexer=indexer, fingerprint="second")
        self.delays: list[int] = []

    def receive(self, text: str, receives: int = 1) -> None:
        received = delivery(text, receives, lambda _receipt, seconds: self.delays.append(seconds))
        handle_delivery([self.first.ingest, self.second.ingest], received)

    def statuses(self, key: str = KEY) -> list[Status]:
        return [world.ledger.records[key].status for world in (self.first, self.second)]


def raising_once(error: Exception) -> Callable[[], None]:
    errors = [error]

    def fail() -> None:
        if errors:
            raise errors.pop()

    return fail


@pytest.mark.parametrize("error", ERRORS)
def test_a_failure_of_one_key_and_pipeline_does_not_stop_the_others(error: Exception) -> None:
    both = Pipelines()
    both.first.store.put(KEY, "some words")
    both.first.store.put(OTHER_KEY, "other words")
    both.first.index.before_upsert = raising_once(error)
    with pytest.raises(type(error)) as raised:
        both.receive(body(KEY, OTHER_KEY))
    assert raised.value is error
    assert both.statuses() == [Status.PENDING, Status.INDEXED]
    assert both.statuses(OTHER_KEY) == [Status.INDEXED, Status.INDEXED]
    assert both.delays[-1] <= 7
    both.first.index.before_upsert = lambda: None
    both.receive(body(KEY), receives=2)
    assert both.statuses() == [Status.INDEXED, Status.INDEXED]


def test_the_first_error_is_raised_and_the_longest_wait_is_kept() -> None:
    both = Pipelines()
    both.first.store.put(KEY, "some words")
    both.first.index.before_upsert = raising(RuntimeError("first"))
    both.second.index.before_upsert = raising(Unavailable("chroma", "second", retry_after=40))
    with pytest.raises(RuntimeError, match="first"):
        both.receive(body(KEY))
    assert both.delays[-1] == 40


@pytest.mark.parametrize("second", [None, ERRORS[1]])
def test_each_pipeline_that_failed_at_the_last_receive_has_its_own_reason(second: Exception | None) -> None:
    both = Pipelines()
    both.first.store.put(KEY, "some words")
    both.first.index.before_upsert = raising(ERRORS[0])
    if second:
        both.second.index.before_upsert = raising(second)
    with pytest.raises(Unavailable):
        both.receive(body(KEY), LAST)
    assert both.statuses() == [Status.FAILED, Status.FAILED if second else Status.INDEXED]
    reasons = [world.ledger.records[KEY].reason for world in (both.first, both.second)]
    assert reasons == [Reason.UNAVAILABLE, Reason.INTERNAL if second else None]
    assert both.first.ledger.records[KEY].detail == "chroma cannot be reached"
    assert set(both.delays) == {EXTENSION[1]}  # no delay before the dead-letter queue


def test_a_document_that_cannot_be_marked_failed_does_not_stop_the_next() -> None:
    both = Pipelines()
    both.first.store.put(KEY, "some words")
    down, error = raising(Unavailable("ledger", "the ledger cannot be reached")), RuntimeError("no memory")

    def fail() -> None:
        both.first.ledger.before_write = down
        raise error

    both.first.index.before_upsert = fail
    both.second.index.before_upsert = raising(ERRORS[0])
    with pytest.raises(RuntimeError):
        both.receive(body(KEY), LAST)
    assert both.statuses() == [Status.PENDING, Status.FAILED]


def changed(monkeypatch: pytest.MonkeyPatch) -> Pipelines:
    """Return pipelines that indexed a document which is then replaced; the first one cannot observe that."""
    both = Pipelines()
    both.first.store.put(KEY, "old words")
    both.receive(body(KEY))
    both.first.store.put(KEY, "new words")
    both.delays.clear()
    monkeypatch.setattr(both.first.ledger, "observe", raising(ERRORS[0]))
    return both


def test_a_failed_observation_is_retried_before_indexing(monkeypatch: pytest.MonkeyPatch) -> None:
    both = changed(monkeypatch)
    with pytest.raises(Unavailable):
        both.receive(body(KEY))
    record = both.second.ledger.records[KEY]
    assert (record.observed_version, record.live_version) == ("v2", "v1")
    assert both.delays[-1] == 7


def test_at_the_last_receive_a_failed_observation_stops_only_its_own_pipeline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = changed(monkeypatch)
    with pytest.raises(Unavailable):
        both.receive(body(KEY), LAST)
    assert both.statuses() == [Status.FAILED, Status.INDEXED]
    assert both.second.texts() == "new words"


@pytest.mark.parametrize("receives", [1, LAST])
def test_an_error_before_the_work_is_raised_as_it_is_and_fails_no_document(
    monkeypatch: pytest.MonkeyPatch, receives: int
) -> None:
    both = Pipelines()
    both.first.store.put(KEY, "some words")
    monkeypatch.setattr(Thread, "start", raising(RuntimeError("can't start new thread")))
    with pytest.raises(RuntimeError, match="can't start new thread"):
        both.receive(body(KEY), receives)
    assert both.first.ledger.records == {}
    (seconds,) = both.delays
    assert 1 <= seconds <= DEAD_LETTER_DELAY_S


def test_a_dead_letter_is_given_up_by_the_second_pipeline_if_the_first_fails_and_is_parked_by_neither() -> None:
    both, parked = Pipelines(), list[str]()
    both.first.store.put(KEY, "some words")
    both.first.ledger.before_write = raising(ERRORS[0])
    received = delivery(body(KEY), LAST, lambda _receipt, seconds: both.delays.append(seconds))
    with pytest.raises(Unavailable):
        handle_dead_letter([both.first.ingest, both.second.ingest], received, parked.append)
    assert both.second.ledger.records[KEY].status is Status.FAILED
    assert parked == []
    both.first.ledger.before_write = lambda _record: None
    handle_dead_letter([both.first.ingest, both.second.ingest], received, parked.append)
    assert both.statuses() == [Status.FAILED, Status.FAILED]
    assert parked == [body(KEY)]


@pytest.mark.parametrize("queue", ["ingest", "ocr", "dead-letters"])
@pytest.mark.parametrize("receives", [1, 4, 5, 900])
@pytest.mark.parametrize("error", [Unavailable("ledger", "the roles cannot be read"), RuntimeError("no memory")])
def test_a_message_is_delayed_on_its_own_queue(
    monkeypatch: pytest.MonkeyPatch, queue: str, receives: int, error: Exception
) -> None:
    delays: list[tuple[str, str, int]] = []

    def task_queue(url: str) -> Any:
        return SimpleNamespace(delay=lambda receipt, seconds: delays.append((url, receipt, seconds)))

    def fails() -> Sequence[Ingest]:
        raise error

    urls = {"queue_url": "ingest", "ocr_queue_url": "ocr", "dead_letter_queue_url": "dead-letters"}
    monkeypatch.setattr(wiring, "ingest_settings", lambda: SimpleNamespace(max_receives=5, **urls))
    monkeypatch.setattr("docwell.wiring.pipelines.task_queue", task_queue)
    monkeypatch.setattr(wiring, "ingest", fails)
    record = {
        "messageId": "message-1",
        "receiptHandle": "receipt-1",
        "body": body("a.pdf"),
        "attributes": {"ApproximateReceiveCount": str(receives)},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:here:me:{queue}",
    }
    answer = handler({"Records": [record]}, CONTEXT)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "message-1"}]}
    ((url, receipt, seconds),) = delays
    assert (url, receipt) == (queue, "receipt-1")
    assert 1 <= seconds <= DEAD_LETTER_DELAY_S
