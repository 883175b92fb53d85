"""The lease of a document: its release, its loss and its renewal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from docwell.errors import DeadlineExceeded, LeaseLost, Unavailable
from docwell.ingest.ingest import DocumentLease
from docwell.models import DocumentRecord, Hint, Lease
from tests.unit.ingest.ingest_world import KEY, World


@pytest.fixture
def world() -> World:
    return World()


def lease_of(world: World, remaining_s: float = 900.0) -> DocumentLease:
    lease = world.ingest.acquire(KEY, "message-1", lambda: remaining_s)
    assert lease is not None
    return lease


def test_a_block_that_raises_releases_the_lease(world: World) -> None:
    with pytest.raises(Unavailable), lease_of(world):
        raise Unavailable("chroma", "down")
    assert world.ledger.holders == {}


def test_a_ledger_that_fails_at_the_release_does_not_hide_the_first_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(_lease: object) -> None:
        raise Unavailable("ledger", "down")

    monkeypatch.setattr(world.ledger, "release", down)
    with pytest.raises(Unavailable, match="chroma"), lease_of(world):
        raise Unavailable("chroma", "chroma is down")


@pytest.mark.parametrize(("version", "sent"), [("v1", []), ("v2", [Hint(KEY, sweep=True)])])
def test_a_worker_that_lost_its_lease_asks_for_a_sweep_at_another_version(
    world: World, version: str, sent: list[Hint]
) -> None:
    lease = lease_of(world)
    lease.write(DocumentRecord(KEY, version="v1"))
    world.ledger.holders[KEY] = ("message-2", 99)
    world.ledger.records[KEY] = DocumentRecord(KEY, version=version)
    with pytest.raises(LeaseLost), lease:
        lease.write(lease.record)
    assert world.queue.sent == sent


def test_a_lease_that_no_event_met_is_free_after_its_release(world: World) -> None:
    with lease_of(world) as lease:
        assert lease.try_release() is None
    assert world.ledger.holders == {}


def test_a_lease_that_an_event_met_is_kept_and_read_again_and_sweeps_again(world: World) -> None:
    with lease_of(world) as lease:
        world.ledger.acquire(KEY, "message-2")
        world.ledger.records[KEY] = replace(world.ledger.records[KEY], version="v2", swept=True)
        assert lease.try_release() == Hint(KEY)
        assert (lease.record.version, lease.record.swept) == ("v2", False)
        assert lease.try_release() is None


def test_a_lease_is_renewed_once_a_third_of_it_has_passed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    renewed: list[Lease] = []

    def renew(held: Lease) -> Lease:
        renewed.append(held)
        return held

    monkeypatch.setattr(world.ledger, "renew", renew)
    with lease_of(world) as lease:
        for passed in (29.0, 31.0):
            monkeypatch.setattr("docwell.ingest.ingest.time", lambda passed=passed: 1e12 - 90.0 + passed)
            lease.heartbeat()
        assert len(renewed) == 1
        lease.try_release()


def test_a_worker_short_of_time_does_not_keep_its_lease(world: World) -> None:
    with pytest.raises(DeadlineExceeded), lease_of(world, remaining_s=9.0) as lease:
        lease.heartbeat()
