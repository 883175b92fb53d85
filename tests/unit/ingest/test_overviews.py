"""The overview follows its generation: what a document says about itself is that of its live version alone."""

from __future__ import annotations

import pytest

from docwell.models import Part, Reason
from tests.unit.ingest.ingest_world import KEY, World

OLD = "\f".join(f"The old pump {number} hums in the cellar of house {chr(97 + number)}." for number in range(7))
NEW = "\f".join(f"A new lamp {number} shines on the roof of tower {chr(97 + number)}." for number in range(5))


def overview(world: World) -> list[str]:
    """Return the pieces of the live generation's overview."""
    live = world.ledger.records[KEY].live_generation
    if live is None:
        return []
    return [p.chunk.text[m.start : m.end] for p, marks in world.index.marked(KEY, live) for m in marks]


def is_clean(world: World) -> bool:
    """Whether every mark is of a chunk, and every chunk is counted: an overview adds no record to the index."""
    ids = {record.id for record in world.index.of(KEY)}
    record = world.ledger.records[KEY]
    return set(world.index.marks) <= ids and len(ids) == (record.chunks if record.live_generation else 0)


@pytest.mark.parametrize(("range_pages", "opening"), [(2, 2), (50, 7)])
def test_a_document_has_an_overview_of_all_its_ranges(range_pages: int, opening: int) -> None:
    world = World(range_pages=range_pages)
    world.store.put(KEY, OLD)
    world.update()
    world.work_off()
    assert is_clean(world)
    pieces = " ".join(overview(world))
    assert all(f"old pump {number}" in pieces for number in range(7))
    marks = [mark for some in world.index.marks.values() for mark in some]
    assert [mark.part for mark in marks].count(Part.OPENING) == opening


@pytest.mark.parametrize("range_pages", [2, 50])
def test_a_replaced_document_has_the_overview_of_its_new_version_alone(range_pages: int) -> None:
    world = World(range_pages=range_pages)
    for text in (OLD, NEW):
        world.store.put(KEY, text)
        world.ingest.observe(KEY)
        world.update()
        world.work_off()
    pieces = " ".join(overview(world))
    assert "new lamp" in pieces
    assert "old pump" not in pieces
    assert is_clean(world)


def test_a_late_range_of_a_replaced_version_leaves_no_overview_behind() -> None:
    world = World(range_pages=2)
    world.store.put(KEY, OLD)
    world.update()
    late = list(world.queue.sent)
    world.store.put(KEY, NEW)
    world.ingest.observe(KEY)
    world.queue.sent.clear()
    world.update()
    world.work_off()
    world.queue.sent += late
    world.work_off()
    assert "old pump" not in " ".join(overview(world))
    assert is_clean(world)


def test_a_document_that_fails_or_is_refused_has_none() -> None:
    world = World()
    world.store.put(KEY, OLD)
    world.update()
    lease = world.ingest.acquire(KEY, "message-2", lambda: 900.0)
    assert lease is not None
    with lease:
        world.ingest.mark_failed(lease, Reason.INTERNAL, "for the test")
        lease.sweep()
        world.ingest.release(lease)
    assert (world.index.marks, overview(world)) == ({}, [])


def test_marks_of_chunks_that_are_gone_bring_nothing_back() -> None:
    world = World()
    world.store.put(KEY, OLD)
    world.update()
    marks = dict(world.index.marks)
    world.index.delete("handbooks", {record.id: () for record in world.index.of(KEY)})
    world.index.mark("handbooks", marks)
    assert (world.index.marks, world.index.of(KEY)) == ({}, [])
