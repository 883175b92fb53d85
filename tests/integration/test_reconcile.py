"""Reconcile finds drift of every kind and real ingest repairs it, on moto and a real Chroma server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from docwell.adapters.dynamodb.ledger import DynamoLedger
from docwell.errors import BadInput
from docwell.models import Chunk, DocumentRecord, IndexRecord, Status, collection_of
from docwell.pipeline import Roles
from docwell.upkeep.reconcile import Drift
from docwell.upkeep.reindex import ABANDONED_S, FORGET_AFTER_S
from tests.unit.fakes import DIMENSION

from .reconcile_world import KEYS, World, drift, fill, new_world

pytestmark = pytest.mark.integration


@pytest.fixture
def world(chroma_url: str, request: pytest.FixtureRequest) -> Iterator[World]:
    """A new world; a test can set the shards of its pipelines."""
    with new_world(chroma_url, getattr(request, "param", (8, 8))) as made:
        yield made


@pytest.fixture
def filled(world: World) -> World:
    """A world at rest."""
    return fill(world)


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


def deleted_and_repaired(world: World, key: str) -> None:
    world.delete(key)
    world.run()
    world.work()
    world.later()


def came_back(world: World) -> None:
    deleted_and_repaired(world, KEYS[0])
    world.put(KEYS[0])


def left_over(world: World) -> None:
    deleted_and_repaired(world, KEYS[1])
    world.index().upsert("handbooks", chunks(KEYS[1], "g", 1))


def duplicated(world: World) -> None:
    record = world.ledger().get(KEYS[1])
    assert record is not None
    world.index().upsert("handbooks", chunks(KEYS[1], str(record.live_generation), 1))


def lost(world: World) -> None:
    world.index().delete("handbooks", world.index().ids("handbooks", KEYS[1], limit=1))


# An undetected change, and the drift that reconcile finds.
DRIFT: dict[str, tuple[Callable[[World], object], Drift]] = {
    "an upload": (lambda world: world.put("handbooks/new.pdf"), Drift.MISSING),
    "an overwrite": (lambda world: world.put(KEYS[2], "other content"), Drift.STALE),
    "a delete": (lambda world: world.delete(KEYS[2]), Drift.ORPHAN),
    "a key that came back": (came_back, Drift.MISSING),
    "chunks of an unknown key": (
        lambda world: world.index().upsert("handbooks", chunks("handbooks/unknown.pdf", "g", 3)),
        Drift.ORPHAN,
    ),
    "chunks of a deleted document": (left_over, Drift.ORPHAN),
    "chunks of another generation": (
        lambda world: world.index().upsert("handbooks", chunks(KEYS[1], "older", 2)),
        Drift.STALE,
    ),
    "more chunks than were written": (duplicated, Drift.DUPLICATE),
    "fewer chunks than were written": (lost, Drift.LOST),
}


@pytest.mark.parametrize("cause", DRIFT)
def test_drift_of_every_kind_is_found_and_repaired(filled: World, cause: str) -> None:
    happens, kind = DRIFT[cause]
    happens(filled)
    mended(filled, kind)


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


def test_after_the_loss_of_all_vectors_one_pass_restores_them(filled: World) -> None:
    for name in filled.index().collections():
        filled.index().drop(name)
    assert drift(filled.run()) == {Drift.LOST: len(KEYS)}
    filled.work()
    filled.later()
    filled.check_equal()


# --- re-index ---


def step(world: World, name: str, **options: Any) -> dict[str, Any]:
    return world.reindex().run(name, lambda: 100.0, **options)


@pytest.mark.parametrize("world", [(8, 8), (4, 8)], indirect=True)
def test_a_new_index_is_built_beside_the_old_one_while_documents_come_and_go(filled: World) -> None:
    old, new = filled.known
    filled.announces = True
    assert step(filled, "start")["building"] == new
    assert step(filled, "start")["building"] == new  # a start that is repeated goes on
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
    assert step(filled, "switch")["switched"] is False  # not complete
    assert step(filled, "switch", force=True)["switched"] is True
    filled.work()
    filled.check_equal(new)


def test_the_index_of_an_earlier_release_is_removed_a_day_after_the_first_look(filled: World) -> None:
    old, new = filled.known
    released = replace(filled, known=(new, old))
    case = released.reconcile(new)

    def others() -> set[str]:
        assert isinstance(case.ledger, DynamoLedger)
        return case.ledger.others

    stale = replace(released.reindex(), known=(new,), others=others)
    assert case.run(lambda: 100.0)["drift"][Drift.MISSING] == len(KEYS)
    stale.tidy(lambda: 100.0)
    assert not filled.is_gone(old)
    released.work((new,))
    filled.later(ABANDONED_S)
    stale.tidy(lambda: 100.0)
    assert filled.is_gone(old)
    filled.check_equal(new)
