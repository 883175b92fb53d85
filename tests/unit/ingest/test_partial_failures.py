"""A key or a pipeline that fails does not stop the others of its message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest

from docwell.errors import Unavailable
from docwell.ingest.events import DEAD_LETTER_DELAY_S, handle_dead_letter, handle_delivery
from docwell.models import Reason, Status
from tests.unit.ingest.ingest_world import KEY, World
from tests.unit.ingest.test_events import body, delivery

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


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_arguments: object) -> None:
        raise error

    return fail


def raising_once(error: Exception) -> Callable[[], None]:
    errors = [error]

    def fail() -> None:
        if errors:
            raise errors.pop()

    return fail


@pytest.mark.parametrize("error", ERRORS)
def test_a_message_whose_first_pipeline_fails_is_indexed_by_its_second_one(error: Exception) -> None:
    both = Pipelines()
    both.first.store.put(KEY, "some words")
    both.first.index.before_upsert = raising(error)
    with pytest.raises(type(error)) as raised:
        both.receive(body(KEY))
    assert raised.value is error
    assert both.statuses() == [Status.PENDING, Status.INDEXED]
    assert both.delays[-1] <= 7
    both.first.index.before_upsert = lambda: None
    both.receive(body(KEY), receives=2)
    assert both.statuses() == [Status.INDEXED, Status.INDEXED]


@pytest.mark.parametrize("error", ERRORS)
def test_a_message_whose_first_key_fails_has_its_second_one_indexed(error: Exception) -> None:
    both = Pipelines()
    both.first.store.put(OTHER_KEY, "other words")
    both.first.store.put(KEY, "some words")
    both.first.store.before_download = raising_once(error)
    with pytest.raises(type(error)):
        both.receive(body(KEY, OTHER_KEY))
    assert both.statuses() == [Status.PENDING, Status.INDEXED]
    assert both.statuses(OTHER_KEY) == [Status.INDEXED, Status.INDEXED]


def test_the_first_error_is_raised_and_the_longest_wait_is_kept() -> None:
    both = Pipelines()
    both.first.store.put(KEY, "some words")
    both.first.index.before_upsert = raising(RuntimeError("first"))
    both.second.index.before_upsert = raising(Unavailable("chroma", "second", retry_after=40))
    with pytest.raises(RuntimeError, match="first"):
        both.receive(body(KEY))
    assert both.delays[-1] == 40


def test_the_last_receive_gives_up_only_what_failed() -> None:
    both = Pipelines()
    both.first.store.put(KEY, "some words")
    both.first.index.before_upsert = raising(ERRORS[0])
    with pytest.raises(Unavailable):
        both.receive(body(KEY), LAST)
    assert both.statuses() == [Status.FAILED, Status.INDEXED]


def test_each_pipeline_that_failed_at_the_last_receive_has_its_own_reason() -> None:
    both = Pipelines()
    both.first.store.put(KEY, "some words")
    both.first.index.before_upsert, both.second.index.before_upsert = (raising(error) for error in ERRORS)
    with pytest.raises(Unavailable):
        both.receive(body(KEY), LAST)
    reasons = [world.ledger.records[KEY].reason for world in (both.first, both.second)]
    assert reasons == [Reason.UNAVAILABLE, Reason.INTERNAL]


def test_a_document_that_cannot_be_marked_leaves_the_next_one_its_mark() -> None:
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


def test_a_failed_observation_comes_again_before_anything_is_indexed(monkeypatch: pytest.MonkeyPatch) -> None:
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
