"""A message whose every receive fails costs no document that matches its object its answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

import pytest

from docwell.errors import DocwellError, Unavailable
from docwell.ingest.events import handle_dead_letter, handle_delivery
from docwell.models import Hint, Status
from tests.unit.ingest.ingest_world import KEY, World
from tests.unit.ingest.test_events import body, delivery
from tests.unit.ingest.test_hiding import answering, indexed

RECEIVES = 5
ERRORS = [Unavailable("chroma", "chroma cannot be reached"), RuntimeError("a bug")]


def fail_every_receive(world: World, text: str) -> None:
    for receives in range(1, RECEIVES + 1):
        with pytest.raises((DocwellError, RuntimeError)):
            handle_delivery([world.ingest], delivery(text, receives))


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    ("change", "status", "version"),
    [
        (lambda world: world.store.put(KEY, "new words"), Status.INDEXED, "v2"),
        (lambda world: world.store.put(KEY, "!encrypted"), Status.REJECTED, None),
        (lambda world: world.store.put(KEY, "\f"), Status.EMPTY, None),
        (lambda world: world.store.delete(KEY), Status.DELETED, None),
    ],
    ids=["replaced", "refused", "empty", "deleted"],
)
def test_a_change_keeps_its_end_while_the_old_chunks_cannot_be_removed(
    change: Callable[[World], object], status: Status, version: str | None, error: Exception
) -> None:
    world = indexed()
    change(world)
    world.index.before_delete = raising(error)
    fail_every_receive(world, body(KEY))
    assert (world.ledger.records[KEY].status, answering(world)) == (status, version)
    world.index.before_delete = lambda: None
    handle_dead_letter([world.ingest], delivery(body(KEY), RECEIVES), lambda _: None)
    assert (world.ledger.records[KEY].status, answering(world)) == (status, version)
    assert world.texts() == ("new words" if version else "")


@pytest.mark.parametrize("hint", [Hint(KEY), Hint(KEY, sweep=True)])
def test_a_document_without_a_change_answers_while_the_index_cannot_be_searched(
    hint: Hint, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = indexed()
    monkeypatch.setattr(world.store, "tags", raising(ERRORS[0]))
    with pytest.raises(Unavailable):  # its next receives sweep
        handle_delivery([world.ingest], delivery(json.dumps({"docwell": asdict(hint)})))
    monkeypatch.undo()
    monkeypatch.setattr(world.index, "ids", raising(ERRORS[0]))
    for receives in range(2, RECEIVES + 1):
        with pytest.raises(Unavailable):
            handle_delivery([world.ingest], delivery(json.dumps({"docwell": asdict(hint)}), receives))
    assert (world.ledger.records[KEY].status, answering(world)) == (Status.INDEXED, "v1")


def test_a_long_document_goes_on_while_a_hint_about_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(range_pages=1)
    world.store.put(KEY, "one\ftwo")
    world.update()
    monkeypatch.setattr(world.ledger, "release", raising(Unavailable("ledger", "down")))
    with pytest.raises(Unavailable):
        handle_delivery([world.ingest], delivery(body(KEY), RECEIVES))
    assert world.ledger.records[KEY].status is Status.PENDING
    monkeypatch.undo()
    world.ledger.holders.clear()  # the lease expires
    world.work_off()
    assert (world.ledger.records[KEY].status, answering(world)) == (Status.INDEXED, "v1")


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("call", ["head", "tags"])
def test_a_document_whose_version_or_tags_cannot_be_read_is_hidden(
    call: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = indexed()
    monkeypatch.setattr(world.store, call, raising(error))
    fail_every_receive(world, body(KEY))
    assert (world.ledger.records[KEY].status, answering(world)) == (Status.FAILED, None)
