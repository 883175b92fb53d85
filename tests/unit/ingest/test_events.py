"""Messages become keys and ranges; failures are retried, and fail the document at the last receive."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import asdict
from urllib.parse import quote_plus

import pytest

from docwell.errors import BadInput, Unavailable
from docwell.ingest.events import LONGEST_DELAY_S, Delivery, handle_delivery, parse
from docwell.models import Hint, RangeTask, Reason, Status
from tests.unit.ingest.ingest_world import KEY, World

# A worker's first extension of its message's visibility timeout.
EXTENSION = ("receipt-1", 60)


def body(*keys: str) -> str:
    return json.dumps({"Records": [{"s3": {"object": {"key": quote_plus(key)}}} for key in keys]})


@pytest.mark.parametrize(
    "key", ["a+b.pdf", "100%.pdf", "a&b=c.pdf", "a b.pdf", "é/日本.pdf", "a%2Fb.pdf", "//a/../b.pdf"]
)
def test_a_key_comes_out_as_it_went_in(key: str) -> None:
    assert parse(body(key)) == (Hint(key),)


def test_a_message_that_names_a_key_twice_gives_it_once() -> None:
    assert parse(body("a", "b", "a")) == (Hint("a"), Hint("b"))


def test_the_test_event_names_no_key() -> None:
    assert parse('{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}') == ()


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", "null", "{}", '{"Records": [{"s3": {}}]}', '{"Records": 3}']
)
def test_a_body_that_is_no_notification_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput):
        parse(text)


@pytest.mark.parametrize(
    "message", [Hint("a b+.pdf", rebuild=True), Hint("x", sweep=True), RangeTask("a", "v", "p", 1, 3)]
)
def test_docwells_own_messages_come_out_as_they_went_in(message: Hint | RangeTask) -> None:
    assert parse(json.dumps({"docwell": asdict(message)})) == (message,)


def delivery(
    text: str, receives: int = 1, delay: Callable[[str, int], None] = lambda _receipt, _seconds: None
) -> Delivery:
    return Delivery("message-1", "receipt-1", text, receives, receives >= 5, lambda: 900.0, delay)


def fail_once(world: World, receives: int) -> list[tuple[str, int]]:
    world.store.put(KEY, "some text")

    def down() -> None:
        raise Unavailable("chroma", "chroma cannot be reached")

    world.index.before_upsert = down
    delays: list[tuple[str, int]] = []
    with pytest.raises(Unavailable):
        handle_delivery([world.ingest], delivery(body(KEY), receives, lambda *delay: delays.append(delay)))
    assert delays.pop(0) == EXTENSION
    return delays


@pytest.mark.parametrize(
    ("receives", "longest"),
    [(1, 2), (3, 8), (8, 256), (9, LONGEST_DELAY_S), (1_100, LONGEST_DELAY_S), (100_000, LONGEST_DELAY_S)],
)
def test_a_delay_doubles_with_each_receive_up_to_its_limit(receives: int, longest: float) -> None:
    received, error = delivery("", receives), Unavailable("chroma", "down", retry_after=None)
    delays = [received.delay_s(error) for _ in range(500)]
    assert longest / 2 < max(delays) <= longest
    assert min(delays) >= 1


def test_a_worker_at_work_extends_its_message_in_short_steps_and_stops_before_it_delays_it() -> None:
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


def test_a_failure_before_the_last_try_leaves_the_document_pending_and_waits() -> None:
    world = World()
    ((receipt, seconds),) = fail_once(world, receives=3)
    assert receipt == "receipt-1"
    assert 1 <= seconds <= 8
    assert world.ledger.records[KEY].status is Status.PENDING


def test_a_failure_at_the_last_try_names_the_document_failed_with_the_reason() -> None:
    world = World()
    assert fail_once(world, receives=5) == []
    found = world.ledger.records[KEY]
    assert (found.status, found.reason) == (Status.FAILED, Reason.UNAVAILABLE)
    assert found.detail == "chroma cannot be reached"


@pytest.mark.parametrize(
    "text", ["no json", '{"detail": "from another sender"}', '{"docwell": {"colour": "red"}}']
)
def test_an_unknown_message_is_acknowledged(text: str) -> None:
    world = World()
    handle_delivery([world.ingest], delivery(text))
    assert world.ledger.records == {}


def test_a_range_of_another_pipeline_is_acknowledged_and_does_nothing() -> None:
    world = World()
    text = json.dumps({"docwell": asdict(RangeTask(KEY, "v1", "gone", 1, 0))})
    handle_delivery([world.ingest], delivery(text))
    assert world.ledger.records == {}
