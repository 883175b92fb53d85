"""Reconcile finds drift, skips documents with a worker, and loses nothing when a run ends early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from docwell.errors import ObjectDenied, Unavailable
from docwell.models import Attributes, DocumentRecord, Hint, ObjectVersion, Reason, Status
from docwell.pipeline import ACTIVE_PIPELINE, Roles
from docwell.upkeep.reconcile import Drift
from docwell.upkeep.reindex import ABANDONED_S, Reindex
from tests.unit.upkeep.reconcile_world import JUST_NOW, LONG_AGO, NOW, World, drift


@pytest.fixture
def world() -> World:
    return World()


def test_a_document_in_order_is_left_alone(world: World) -> None:
    world.indexed("a.pdf")
    world.objects["scan.pdf"] = "e1"
    world.add("scan.pdf", DocumentRecord("scan.pdf", Status.EMPTY, etag="e1", updated_at=LONG_AGO))
    world.add("gone.pdf", DocumentRecord("gone.pdf", Status.DELETED, updated_at=LONG_AGO))
    report = world.run()
    assert (drift(report), world.sent, report.complete) == ({}, [], True)


def test_tags_and_metadata_that_differ_from_the_ledger_are_stale(
    world: World,
) -> None:
    said = Attributes(title="T", tags={"stage": "draft"}, metadata={"team": "heat"})
    for key in ("same", "retagged", "untagged", "described", "newly tagged"):
        world.indexed(key, live_attributes=None if key == "newly tagged" else said)
        world.metadata[key], world.tagged[key] = {"team": "heat"}, {"stage": "draft"}
    world.tagged["retagged"] = {"stage": "final"}
    world.tagged["untagged"] = {}
    world.metadata["described"] = {"team": "cold"}
    world.metadata["newly tagged"] = {}
    assert drift(world.run()) == {"stale": 4}
    assert sorted(hint.key for hint in world.sent) == ["described", "newly tagged", "retagged", "untagged"]
    assert world.sent == [Hint(hint.key) for hint in world.sent]


@pytest.mark.parametrize(
    ("status", "updated_at", "leased_until"),
    [
        (Status.PENDING, JUST_NOW, 0.0),  # its message is queued, or will be redelivered
        (Status.PENDING, LONG_AGO, NOW + 30),  # a worker holds its lease
        (Status.INDEXED, LONG_AGO, NOW + 30),
    ],
)
def test_work_in_progress_is_no_drift(
    world: World, status: Status, updated_at: float, leased_until: float
) -> None:
    world.objects["a.pdf"] = "e2"
    record = DocumentRecord("a.pdf", status, version="v1", etag="e1", chunks=9)
    world.add("a.pdf", replace(record, updated_at=updated_at), leased_until)
    world.chunks["a.pdf"] = {"g1": 2, "g2": 5}
    assert drift(world.run()) == {}


@pytest.mark.parametrize("leased_until", [0.0, NOW - 1])
@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("in_bucket", [False, True])
def test_a_version_that_the_bucket_no_longer_has_is_hidden_before_its_hint_is_sent(
    world: World, status: Status, *, in_bucket: bool, leased_until: float
) -> None:
    record = DocumentRecord("a.pdf", status, version="v0", etag="e1", live_generation="g0", live_version="v0")
    world.add("a.pdf", replace(record, updated_at=JUST_NOW), leased_until)
    if in_bucket:
        world.objects["a.pdf"] = "e1"
    world.run()
    assert not world.rows["a.pdf"].record.answers
    assert {hint.key for hint in world.sent} == {"a.pdf"}


INDEXED = DocumentRecord(
    "a.pdf", Status.INDEXED, version="v1", etag="e1", chunks=3, live_generation="g1", live_version="v1"
)
WAITING = DocumentRecord("a.pdf", version="v1", etag="e1")
RANGES = replace(WAITING, ranges=3, dispatched=True)
SCANS = replace(WAITING, recognised_from=1)
REPLACED = replace(WAITING, live_generation="g0", live_version="v0", observed_version="v1")
HOUR = 3600.0


@pytest.mark.parametrize(
    ("record", "age_s", "leased_until", "kind", "hints"),
    [
        (RANGES, 60, NOW - 1, Drift.STUCK, [Hint("a.pdf")]),  # its worker died, and its message sends the ranges
        (WAITING, 24 * HOUR, 0.0, Drift.STUCK, [Hint("a.pdf", sweep=True)]),
        (WAITING, 24 * HOUR, LONG_AGO, Drift.STUCK, [Hint("a.pdf", sweep=True)]),
        (SCANS, HOUR, 0.0, None, []),  # scans may wait for a day
        (SCANS, 25 * HOUR, 0.0, Drift.STUCK, [Hint("a.pdf", sweep=True)]),
        (INDEXED, 24 * HOUR, LONG_AGO, Drift.STUCK, [Hint("a.pdf")]),  # an expired lease
        (replace(INDEXED, observed_version=""), 24 * HOUR, 0.0, Drift.STALE, [Hint("a.pdf")]),  # restored
        (REPLACED, 60, 0.0, None, []),  # hidden while the next version is queued
    ],
)
def test_a_row_without_a_worker_is_judged_by_its_age_and_its_lease(
    world: World, record: DocumentRecord, age_s: float, leased_until: float, kind: Drift | None, hints: list[Hint]
) -> None:
    world.objects["a.pdf"] = "e1"
    world.chunks["a.pdf"] = {"g1": 3} if record.status is Status.INDEXED else {}
    world.add("a.pdf", replace(record, updated_at=NOW - age_s), leased_until)
    assert drift(world.run()) == ({kind: 1} if kind else {})
    assert world.sent == hints
    assert world.rows["a.pdf"].record.answers == (record.status is Status.INDEXED)


@pytest.mark.parametrize("ocr", ["off", "rapidocr"])
@pytest.mark.parametrize("chunks", [0, 3])
@pytest.mark.parametrize("changes", [{}, {"textless_pages": 0}, {"recognised_from": 2}, {"ranges": 3}], ids=str)
def test_a_settled_document_with_pages_to_recognise_is_sent_to_ingest(
    world: World, ocr: str, chunks: int, changes: dict[str, int]
) -> None:
    counts = {"ranges": 2, "ranges_done": frozenset({0, 1}), "textless_pages": 1, **changes}
    status = Status.INDEXED if chunks else Status.EMPTY
    world.indexed("a.pdf", status=status, **counts, live_generation="g1" if chunks else None)
    world.chunks["a.pdf"] = {"g1": chunks} if chunks else {}
    report = world.reconcile(ocr=ocr).run(lambda: 100.0)
    assert report["drift"][Drift.STALE] == (ocr != "off" and not changes)
    assert world.sent == ([Hint("a.pdf")] if ocr != "off" and not changes else [])


@pytest.mark.parametrize(
    ("ocr", "age_s", "chunks", "sent"),
    [
        ("off", 90_000, 3, 0),
        *(("rapidocr", *row) for row in [(60, 0, 0), (3600, 0, 1), (3600, 3, 0), (90_000, 3, 1)]),
    ],
)
def test_pages_whose_recogniser_did_not_run_are_tried_again_after_a_while(
    world: World, ocr: str, age_s: float, chunks: int, sent: int
) -> None:
    record = {"recognised_from": 1, "chunks": chunks, "live_generation": "g1" if chunks else None}
    failures = frozenset({"too_slow 2", f"{Reason.UNAVAILABLE} 3,7-9"})
    world.indexed("a.pdf", page_failures=failures, updated_at=NOW - age_s, **record)
    world.chunks["a.pdf"] = {"g1": chunks} if chunks else {}
    world.reconcile(ocr=ocr).run(lambda: 100.0)
    assert world.sent == [Hint("a.pdf", rebuild=True)] * sent


def test_a_dry_run_hides_nothing(world: World) -> None:
    world.add("a.pdf", DocumentRecord("a.pdf", live_generation="g0", live_version="v0"), leased_until=NOW - 1)
    report = world.run(dry_run=True)
    assert drift(report) == {Drift.ORPHAN: 1}
    assert world.rows["a.pdf"].record.answers


@pytest.mark.parametrize(
    ("reason", "age_s", "found"),
    [
        (Reason.UNAVAILABLE, 60, 0),
        (Reason.UNAVAILABLE, 3600, 1),
        (Reason.INTERNAL, 3600, 0),  # a retry in each run would rarely help
        (Reason.INTERNAL, 2 * 24 * 3600, 1),
        (Reason.OVER_QUOTA, NOW % 86_400 - 1, 0),
        (Reason.OVER_QUOTA, NOW % 86_400 + 1, 1),  # the next day has begun
    ],
)
def test_a_failed_document_is_retried_after_a_while(
    world: World, reason: Reason, age_s: float, found: int
) -> None:
    world.objects["a.pdf"] = "e1"
    status = Status.REJECTED if reason is Reason.OVER_QUOTA else Status.FAILED
    world.add("a.pdf", DocumentRecord("a.pdf", status, reason, etag="e1", updated_at=NOW - age_s))
    assert world.run().drift[Drift.MISSING] == found


def test_a_document_that_ingest_changes_during_the_pass_is_no_drift(world: World) -> None:
    world.indexed("a.pdf", chunks=5)

    def finished() -> None:
        world.indexed("a.pdf", updated_at=NOW)

    world.after_chunks = finished
    assert drift(world.run()) == {}


def test_a_run_that_dies_before_it_stores_its_place_repeats_its_hints(world: World) -> None:
    world.objects["a.pdf"] = "e1"
    reconcile = world.reconcile()

    class Killed(World):
        def write(self, name: str, values: Mapping[str, str]) -> None:
            raise Unavailable("ledger", "gone")

    with pytest.raises(Unavailable):
        replace(reconcile, state=Killed()).run(lambda: 100.0)
    assert world.sent == [Hint("a.pdf")]
    assert drift(world.run()) == {Drift.MISSING: 1}


def test_a_pass_of_many_runs_counts_and_repairs_each_key_once(world: World) -> None:
    for number in range(2500):
        world.objects[f"{number:05}.pdf"] = "e1"
        if number % 2:
            world.indexed(f"{number:05}.pdf")
    for number, status in enumerate([Status.REJECTED] * 2 + [Status.DELETED, Status.PENDING]):
        world.add(f"{number}.pdf", DocumentRecord(f"{number}.pdf", status, updated_at=JUST_NOW))
    world.page_size = 100
    runs, report = 0, None
    while report is None or not report.complete:
        times = iter([100.0, 0.0])  # each run has time for one page
        report = world.run(lambda times=times: next(times))  # type: ignore[misc]
        runs += 1
    assert (report.keys, report.rows, report.chunks) == (2500, 1254, 3750)
    assert report.drift[Drift.MISSING] == 1250
    assert len(set(world.sent)) == len(world.sent)
    assert runs > 10
    counts = {Status.INDEXED: 1250, Status.REJECTED: 2, Status.DELETED: 1, Status.PENDING: 1}
    assert report.documents == dict.fromkeys(Status, 0) | counts
    assert world.run().documents == report.documents  # the next pass counts from 0


def test_a_dry_run_disturbs_no_pass_that_is_under_way(world: World) -> None:
    for number in range(1500):
        world.objects[f"{number:05}.pdf"] = "e1"
    times = iter([100.0, 0.0])
    world.run(lambda: next(times))
    looked = world.run(dry_run=True)
    assert (looked.keys, looked.drift[Drift.MISSING], looked.sent) == (1500, 1500, 0)
    assert len(world.sent) == 1000
    world.run()
    assert len(world.sent) == 1500


def test_a_busy_queue_holds_a_pass_back_unless_it_is_forced(world: World) -> None:
    world.objects["a.pdf"] = "e1"
    world.backlog = 100
    assert (world.run().waiting, world.sent) == (100, [])
    assert world.run(force=True).sent == 1


# --- objects that the bucket refuses to show ---


def refusing(world: World, monkeypatch: pytest.MonkeyPatch, error: type[Unavailable]) -> None:
    """Make the bucket refuse the head of b.pdf, which stands between two others."""
    head = world.head

    def refuse(key: str) -> ObjectVersion | None:
        if key == "b.pdf":
            raise error("s3", "s3: HeadObject failed")
        return head(key)

    monkeypatch.setattr(world, "head", refuse)


@pytest.mark.parametrize("etag", ["e1", "e2"], ids=["as indexed", "replaced"])
@pytest.mark.parametrize("status", [*Status, None], ids=[*Status, "no row"])
def test_an_object_that_the_bucket_refuses_to_show_hides_no_drift_of_others(
    world: World, monkeypatch: pytest.MonkeyPatch, status: Status | None, etag: str
) -> None:
    for key in ("a.pdf", "b.pdf", "c.pdf"):
        world.indexed(key)
    world.chunks["c.pdf"] = {"g1": 2}
    world.objects["b.pdf"] = etag
    row = world.rows.pop("b.pdf")
    if status is not None:
        world.add("b.pdf", replace(row.record, status=status))
    refusing(world, monkeypatch, ObjectDenied)
    report = world.run()
    assert report.complete
    assert Hint("c.pdf", rebuild=True) in world.sent
    assert world.run().complete


def test_a_bucket_that_does_not_answer_ends_the_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.indexed("b.pdf")
    refusing(world, monkeypatch, Unavailable)
    with pytest.raises(Unavailable):
        world.run()


# --- re-index ---


def reindex(world: World, *known: str) -> Reindex:
    return Reindex(known, world, world.reconcile, lambda: NOW, lambda _: None)


def test_the_active_pipeline_is_never_removed(world: World) -> None:
    world.indexed("a.pdf")
    Roles("f2", retired={"f1": LONG_AGO}).write(world)
    reindex(world, "f1").tidy(lambda: 100.0)  # the settings name only the old pipeline again
    assert "a.pdf" in world.rows


def test_a_pipeline_that_the_settings_no_longer_name_is_removed_after_a_day_and_no_other(world: World) -> None:
    world.indexed("a.pdf")
    stale = replace(reindex(world, "f2"), others=lambda: {"f1"}, clock=lambda: world.now)
    for hours in (0, 23):
        world.now = NOW + hours * 3600
        stale.tidy(lambda: 100.0)
        assert "a.pdf" in world.rows
    assert "f1" in Roles.read(world, ["f2"]).retired
    assert "fingerprint" not in world.read(ACTIVE_PIPELINE)  # pods of the old release still read their own
    # A rollback: its index stays, and the newer one waits for a day in its turn.
    back = replace(stale, known=("f1",), others=lambda: {"f2"})
    world.now = NOW + 30 * 3600
    back.tidy(lambda: 100.0)
    assert "a.pdf" in world.rows
    assert Roles.read(world, ["f1"]).retired == {"f2": world.now + ABANDONED_S}
    stale.tidy(lambda: 100.0)
    world.now += ABANDONED_S
    stale.tidy(lambda: 100.0)
    assert (world.rows, world.collections()) == ({}, [])


def test_starting_another_index_gives_up_the_one_that_was_being_built(world: World) -> None:
    reindex(world, "f1", "f2").run("start", lambda: 100.0)
    reindex(world, "f1", "f3").run("start", lambda: 100.0)
    assert Roles.read(world, ["f1", "f3"]) == Roles("f1", "f3", {"f2": NOW})
