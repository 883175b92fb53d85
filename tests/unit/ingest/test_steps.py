"""The next step for every record, object and hint, and what each step carries."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from docwell.attributes import Attributes
from docwell.ingest.steps import Recognise, Refresh, Resume, Settle, Start, next_step
from docwell.models import DocumentRecord, Hint, ObjectVersion, Reason, Status
from tests.unit.ingest.step_table import TABLE, state_of

KEY = "handbooks/a.pdf"
HEAD = ObjectVersion("v2", 10, "etag")
ALL = frozenset({0, 1, 2})
PLANS: dict[str, DocumentRecord] = {
    "no plan": DocumentRecord(KEY),
    "nothing sent": DocumentRecord(KEY, ranges=3),
    "nothing sent, one range done": DocumentRecord(KEY, ranges=3, ranges_done=frozenset({1})),
    "sent": DocumentRecord(KEY, ranges=3, dispatched=True, ranges_done=frozenset({1})),
    "done": DocumentRecord(KEY, ranges=3, dispatched=True, ranges_done=ALL, chunks=5),
    "done without text": DocumentRecord(KEY, ranges=3, dispatched=True, ranges_done=ALL, textless_pages=3),
    "done unreadable": DocumentRecord(
        KEY, ranges=1, ranges_done=frozenset({0}), page_failures=frozenset({"unreadable 1"})
    ),
    "recognition planned": DocumentRecord(KEY, ranges=5, ranges_done=ALL, recognised_from=3),
    "recognition sent": DocumentRecord(KEY, ranges=5, dispatched=True, ranges_done=ALL, recognised_from=3),
    "recognised": DocumentRecord(
        KEY, ranges=5, ranges_done=frozenset(range(5)), recognised_from=3, textless_pages=1, chunks=5
    ),
}
HINTS = {"served": None, "plain": Hint(KEY), "sweep": Hint(KEY, sweep=True), "rebuild": Hint(KEY, rebuild=True)}


def record(status: Status, version: str | None, plan: str) -> DocumentRecord:
    return replace(PLANS[plan], status=status, version=version)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("status", Status)
def test_the_next_step_is_the_tables(status: Status, plan: str) -> None:
    for version, head, (name, hint), recognises in product(
        (None, "v1", "v2"), (None, HEAD), HINTS.items(), (False, True)
    ):
        known = record(status, version, plan)
        state = state_of(known, head, hint)
        if state == "Complete" and recognises and plan == "done without text":
            state = "Complete, to be recognised"
        expected = TABLE[state][0 if name == "served" else 2 if name == "sweep" else 1]
        step = next_step(known, head, hint, recognises=recognises)
        assert (type(step) if step else None) is expected, (state, version, head, name, recognises)


def test_every_state_of_the_table_occurs() -> None:
    states = {
        state_of(record(status, version, plan), head, hint)
        for status, version, plan, head, hint in product(
            Status, (None, "v1", "v2"), PLANS, (None, HEAD), HINTS.values()
        )
    }
    assert states | {"Complete, to be recognised"} == set(TABLE)


def start(known: DocumentRecord, hint: Hint | None = HINTS["plain"]) -> Start:
    step = next_step(known, HEAD, hint, recognises=False)
    assert isinstance(step, Start)
    return step


def test_a_start_keeps_what_is_live_and_forgets_the_rest() -> None:
    live = Attributes("A title")
    known = replace(
        PLANS["recognised"],
        status=Status.FAILED,
        version="v1",
        reason="internal_error",
        live_generation="g1",
        live_version="v1",
        live_attributes=live,
    )
    begun = DocumentRecord(KEY, version="v2", size=10, etag="etag", swept=False)
    begun = replace(begun, live_generation="g1", live_version="v1", live_attributes=live)
    assert start(known).record == begun


@pytest.mark.parametrize(
    ("status", "version", "hint", "has_leftovers"),
    [
        (Status.PENDING, None, "plain", False),
        (Status.INDEXED, "v1", "plain", False),
        (Status.INDEXED, "v1", "rebuild", True),
        (Status.INDEXED, "v2", "rebuild", True),
        (Status.PENDING, "v2", "plain", True),
        (Status.FAILED, "v2", "served", True),
        (Status.DELETED, None, "sweep", False),
    ],
)
def test_a_start_finds_the_leftovers_of_an_earlier_attempt(
    *, status: Status, version: str | None, hint: str, has_leftovers: bool
) -> None:
    assert start(record(status, version, "no plan"), HINTS[hint]).has_leftovers is has_leftovers


@pytest.mark.parametrize(
    ("status", "version", "swept"),
    [(Status.PENDING, None, True), (Status.DELETED, None, False), (Status.PENDING, "v1", False)],
)
def test_only_a_document_that_was_never_started_needs_no_sweep(
    *, status: Status, version: str | None, swept: bool
) -> None:
    assert start(record(status, version, "no plan")).record.swept is swept


@pytest.mark.parametrize(
    ("plan", "hint", "missing"),
    [
        ("nothing sent", "plain", (0, 1, 2)),
        ("nothing sent, one range done", "served", (0, 2)),
        ("sent", "sweep", (0, 2)),
        ("recognition planned", "served", (3, 4)),
    ],
)
def test_a_resume_sends_the_ranges_that_are_not_done(plan: str, hint: str, missing: tuple[int, ...]) -> None:
    step = next_step(record(Status.PENDING, "v2", plan), HEAD, HINTS[hint], recognises=True)
    assert step == Resume(HEAD, missing)


@pytest.mark.parametrize(
    ("plan", "status", "reason"),
    [
        ("done", Status.INDEXED, None),
        ("done without text", Status.EMPTY, Reason.NO_TEXT),
        ("done unreadable", Status.REJECTED, Reason.UNREADABLE),
        ("recognised", Status.INDEXED, None),
    ],
)
def test_a_settle_carries_the_documents_final_status(plan: str, status: Status, reason: Reason | None) -> None:
    step = next_step(record(Status.PENDING, "v2", plan), HEAD, None, recognises=False)
    assert isinstance(step, Settle)
    assert (step.record.status, step.record.reason, step.head) == (status, reason, HEAD)


def test_a_generation_that_replaces_its_text_layers_needs_a_sweep() -> None:
    for plan, swept in (("done", True), ("recognised", False)):
        step = next_step(record(Status.PENDING, "v2", plan), HEAD, None, recognises=True)
        assert isinstance(step, Settle)
        assert step.record.swept is swept


def test_a_deleted_object_leaves_a_record_of_its_key_alone() -> None:
    step = next_step(record(Status.INDEXED, "v2", "done"), None, HINTS["plain"], recognises=False)
    assert step == Settle(DocumentRecord(KEY, Status.DELETED), None)


def test_pages_without_text_are_recognised_once() -> None:
    known = record(Status.PENDING, "v2", "done without text")
    assert next_step(known, HEAD, None, recognises=True) == Recognise(HEAD)
    assert isinstance(next_step(known, HEAD, None, recognises=False), Settle)
    again = record(Status.PENDING, "v2", "recognised")
    assert isinstance(next_step(again, HEAD, None, recognises=True), Settle)


@pytest.mark.parametrize(("hint", "sweep"), [("plain", False), ("sweep", True)])
def test_a_refresh_sweeps_again_when_asked_to(*, hint: str, sweep: bool) -> None:
    step = next_step(record(Status.INDEXED, "v2", "done"), HEAD, HINTS[hint], recognises=False)
    assert step == Refresh(HEAD, sweep)
