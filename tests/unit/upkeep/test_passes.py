"""Several runs share a pass of reconcile, and most of their passes read only what changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from docwell.models import DocumentRecord, Reason, Status
from docwell.upkeep import reconcile as pages
from docwell.upkeep.reconcile import Drift, Pass, Phase, Reconcile, ReconcileReport, next_pass
from tests.unit.upkeep.reconcile_world import LONG_AGO, NOW, World, drift

PARTS = 3
HOUR = 3600.0


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("_LIST_PAGE", 10), ("_LEDGER_PAGE", 50), ("_INDEX_PAGE", 500)):
        monkeypatch.setattr(pages, name, size)


def shared(world: World) -> Reconcile:
    return replace(world.reconcile(partitions=PARTS), pause=lambda _: None)


def one_pass(world: World, *, force: bool = False) -> ReconcileReport:
    """Start a pass and let each partition work on it; then report it."""
    reconcile = shared(world)
    reconcile.run(lambda: 100.0, force=force)
    for part in range(1, PARTS):
        reconcile.run(lambda: 100.0, partition=part)
    return reconcile.run(lambda: 100.0)


def fill(world: World, count: int = 600) -> None:
    for number in range(count):
        world.indexed(f"{number:06}.pdf")


@pytest.mark.parametrize("passes", [1, 2])  # the second knows ranges of keys
def test_partitions_judge_each_document_once(world: World, passes: int) -> None:
    fill(world)
    for number in range(0, 600, 100):
        del world.rows[f"{number:06}.pdf"]
        world.chunks[f"{number:06}.pdf"] = {}
    for number in range(1, 600, 100):
        world.chunks[f"{number:06}.pdf"] = {"g1": 2}
    world.chunks["unknown.pdf"] = {"g1": 1}
    for _ in range(passes):
        world.sent.clear()
        report = one_pass(world, force=True)
        assert report.complete
        assert (report.keys, report.rows) == (600, 594)
        assert drift(report) == {Drift.MISSING: 6, Drift.LOST: 6, Drift.ORPHAN: 1}
        assert len(set(world.sent)) == len(world.sent) == 13
        world.now += HOUR


def test_after_one_pass_the_ranges_of_keys_are_about_equal(world: World) -> None:
    fill(world)
    one_pass(world)
    world.now += HOUR
    one_pass(world, force=True)
    keys = [Pass.of(world.facts[f"reconcile/f1{part}"]).keys for part in ("", "/1", "/2")]
    assert sum(keys) == 600
    assert max(keys) < 1.5 * min(keys)


def test_a_pass_ends_only_when_each_partition_has_and_is_reported_once(world: World) -> None:
    fill(world, 10)
    reconcile = shared(world)
    assert not reconcile.run(lambda: 100.0).complete
    reconcile.run(lambda: 100.0, partition=1)
    assert not reconcile.run(lambda: 100.0).complete
    reconcile.run(lambda: 100.0, partition=2)
    reconcile.run(lambda: 100.0, partition=2)  # a second time changes nothing
    assert reconcile.run(lambda: 100.0).complete
    world.now += HOUR
    assert not reconcile.run(lambda: 100.0).complete  # the next pass


def test_a_partition_waits_for_the_lead_and_then_has_nothing_to_do(world: World) -> None:
    waited: list[float] = []
    reconcile = replace(shared(world), pause=waited.append)
    report = reconcile.run(lambda: 100.0, partition=1)
    assert (report.phase, report.sent) == ("done", 0)
    assert sum(waited) == 60.0


def test_between_whole_passes_only_changes_are_read(world: World) -> None:
    fill(world, 100)
    one_pass(world)
    world.now = NOW + HOUR
    heads = world.heads
    lost = "000001.pdf"
    world.chunks[lost] = {"g1": 2}
    for key in ("new.pdf", "000002.pdf", "000003.pdf", "000004.pdf"):
        world.modified[key] = NOW + 60
    world.objects["new.pdf"] = "e1"
    world.objects["000002.pdf"] = "e2"
    world.versions["000003.pdf"] = "v2"  # of the same content
    del world.objects["000004.pdf"]
    world.versions["000004.pdf"] = ""
    failed = DocumentRecord("000005.pdf", Status.FAILED, Reason.UNAVAILABLE, etag="e1", updated_at=LONG_AGO)
    world.add("000005.pdf", failed)
    world.chunks["000005.pdf"] = {}
    report = one_pass(world)
    assert drift(report) == {Drift.MISSING: 2, Drift.STALE: 2, Drift.ORPHAN: 1}
    assert {hint.key for hint in world.sent} == {"new.pdf", *(f"00000{number}.pdf" for number in range(2, 6))}
    assert world.heads - heads < 20
    assert report.documents[Status.INDEXED] == 99
    world.now = NOW + 25 * HOUR  # once a day, all
    assert drift(one_pass(world))[Drift.LOST] == 1


def test_force_starts_a_whole_pass_in_place_of_one_of_changes(world: World) -> None:
    fill(world, 5)
    one_pass(world)
    world.chunks["000001.pdf"] = {}
    world.now = NOW + HOUR
    shared(world).run(lambda: 100.0)
    assert drift(one_pass(world, force=True)) == {Drift.LOST: 1}


def test_another_number_of_partitions_starts_the_pass_again(world: World) -> None:
    fill(world, 5)
    shared(world).run(lambda: 100.0)
    report = world.run()
    assert (report.complete, report.keys, report.rows) == (True, 5, 5)


def test_the_notes_of_a_pass_stay_few_and_divide_its_pages_evenly() -> None:
    done = Pass(Phase.DONE, started=1.0, whole=1.0)
    for number in range(10_000):
        done.note(f"{number:05}")
    assert len(done.notes) < 64
    cuts = [int(key) for key in next_pass([done], 4, 2.0, whole=True).cuts]
    assert all(abs(cut - goal) < 500 for cut, goal in zip(cuts, (2500, 5000, 7500), strict=True))


@pytest.fixture
def world() -> World:
    return World()
