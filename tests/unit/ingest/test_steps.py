"""The next step for every record, object and hint, and what each step carries."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from docwell.ingest import ingest as ingest_module
from docwell.ingest.events import give_up
from docwell.ingest.steps import Recognise, Refresh, Resume, Settle, Start, Step, next_step
from docwell.models import SETTLED, Attributes, DocumentRecord, Hint, ObjectVersion, Reason, Status
from tests.unit.cases import rows
from tests.unit.fakes import UNREADABLE, FakeRecogniser
from tests.unit.ingest.ingest_world import KEY, World

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
def test_the_next_step_of_every_record_is_that_of_the_table(status: Status, plan: str) -> None:
    for version, head, (name, hint), recognises in product(
        (None, "v1", "v2"), (None, HEAD), HINTS.items(), (False, True)
    ):
        known = record(status, version, plan)
        state = state_of(known, head, hint)
        if recognises and plan == "done without text" and state in {"Complete", *SETTLED}:
            state += ", to be recognised"
        expected = TABLE[state][0 if name == "served" else 2 if name == "sweep" else 1]
        step = next_step(known, head, hint, recognises=recognises)
        assert (type(step) if step else None) is expected, (state, version, head, name, recognises)


def start(known: DocumentRecord, hint: Hint | None = HINTS["plain"]) -> Start:
    step = next_step(known, HEAD, hint, recognises=False)
    assert isinstance(step, Start)
    return step


def test_a_start_keeps_the_live_fields_and_forgets_the_others() -> None:
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
    ("status", "version", "hint", "has_leftovers", "swept"),
    [
        (Status.PENDING, None, "plain", False, True),
        (Status.PENDING, "v1", "plain", False, False),
        (Status.INDEXED, "v1", "plain", False, False),
        (Status.INDEXED, "v1", "rebuild", True, False),
        (Status.INDEXED, "v2", "rebuild", True, False),
        (Status.PENDING, "v2", "plain", True, False),
        (Status.FAILED, "v2", "served", True, False),
        (Status.DELETED, None, "plain", False, False),
        (Status.DELETED, None, "sweep", False, False),
    ],
)
def test_a_start_knows_the_leftovers_of_an_earlier_attempt_and_only_a_first_one_needs_no_sweep(
    *, status: Status, version: str | None, hint: str, has_leftovers: bool, swept: bool
) -> None:
    step = start(record(status, version, "no plan"), HINTS[hint])
    assert (step.has_leftovers, step.record.swept) == (has_leftovers, swept)


@pytest.mark.parametrize(("plan", "hint", "missing"), rows(__file__, "resumes"))
def test_a_resume_sends_the_ranges_that_are_not_done(plan: str, hint: str, missing: list[int]) -> None:
    step = next_step(record(Status.PENDING, "v2", plan), HEAD, HINTS[hint], recognises=True)
    assert step == Resume(HEAD, tuple(missing))


@pytest.mark.parametrize(
    ("plan", "status", "reason", "swept"),
    [
        ("done", Status.INDEXED, None, True),
        ("done without text", Status.EMPTY, Reason.NO_TEXT, True),
        ("done unreadable", Status.REJECTED, Reason.UNREADABLE, True),
        ("recognised", Status.INDEXED, None, False),  # its first generation is still in the index
    ],
)
def test_a_settle_carries_the_documents_final_status(
    plan: str, status: Status, reason: Reason | None, *, swept: bool
) -> None:
    step = next_step(record(Status.PENDING, "v2", plan), HEAD, None, recognises=False)
    assert isinstance(step, Settle)
    assert (step.record.status, step.record.reason, step.head) == (status, reason, HEAD)
    assert step.record.swept is swept


def test_a_document_names_how_many_characters_were_left_out() -> None:
    record = replace(PLANS["done"], version=HEAD.version, hidden_characters=1200)
    step = next_step(record, HEAD, None, recognises=False)
    assert isinstance(step, Settle)
    assert step.record.detail == "left out characters that the pages do not show: 1,200"


@pytest.mark.parametrize(("hint", "sweep"), [("plain", False), ("sweep", True)])
def test_a_refresh_sweeps_again_when_asked_to(*, hint: str, sweep: bool) -> None:
    step = next_step(record(Status.INDEXED, "v2", "done"), HEAD, HINTS[hint], recognises=False)
    assert step == Refresh(HEAD, sweep)


PAGE = Path(__file__).parents[3] / "docs" / "develop" / "architecture.md"
Edge = tuple[str, str, str]


@dataclass
class Walk:
    """The states that `next_step` sees, and the edges between them."""

    states: list[str] = field(default_factory=list)
    edges: set[Edge] = field(default_factory=set)
    last: tuple[str, ObjectVersion | None, Step] | None = None

    def see(
        self, record: DocumentRecord, head: ObjectVersion | None, hint: Hint | None, *, recognises: bool
    ) -> Step | None:
        state, step = state_of(record, head, hint), next_step(record, head, hint, recognises=recognises)
        self.states.append(state)
        if hint is None and self.last is not None and self.last[1] == head:
            self.edges.add((self.last[0], state, type(self.last[2]).__name__.lower()))
        self.last = (state, head, step) if step is not None else None
        return step


@pytest.fixture
def walk(monkeypatch: pytest.MonkeyPatch) -> Walk:
    watched = Walk()
    monkeypatch.setattr(ingest_module, "next_step", watched.see)
    return watched


def drawn() -> set[Edge]:
    diagram = re.search(r"```mermaid\nstateDiagram-v2\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert diagram is not None
    return set(re.findall(r"^ *(\S+) --> (\S+) : (.+?) *$", diagram[1], re.MULTILINE))


def test_the_drawing_has_each_step_of_the_table_and_no_other() -> None:
    names = {name for _, _, name in STEP_EDGES}
    assert {edge for edge in drawn() if edge[2] in names} == STEP_EDGES


def test_ingest_makes_each_step_of_the_table_and_no_other(walk: Walk) -> None:
    def message(world: World, body: str | None, hint: Hint) -> None:
        if body is None:
            world.store.delete(KEY)
        elif body:
            world.store.put(KEY, body)
        world.ingest.update(hint, "message", lambda: 900.0)

    plain, sweep, rebuild = Hint(KEY), Hint(KEY, sweep=True), Hint(KEY, rebuild=True)
    for pages in (1, 50):
        for body in ("one\ftwo", " \f ", "!encrypted", UNREADABLE, "one\f[0.9 two]", "[0.2 one]", "[!]"):
            for recogniser in (None, FakeRecogniser()):
                world = World(recogniser, range_pages=pages, ocr_range_pages=1)
                message(world, body, plain)
                for hint in (plain, sweep):
                    message(world, "", hint)
                world.work_off()
                for again in (plain, sweep, rebuild):
                    message(world, "", again)
                    world.work_off()
                indexer = replace(world.ingest.indexer, recogniser=FakeRecogniser())
                world.ingest = replace(world.ingest, indexer=indexer)
                message(world, "", plain)
                world.work_off()
                message(world, None, plain)
    assert walk.edges == STEP_EDGES


def indexed(text: str = "some text", **limits: Any) -> World:
    world = World(**limits)
    world.store.put(KEY, text)
    world.update()
    return world


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("replaced", [False, True])
def test_a_document_with_work_left_fails_at_its_last_receive_and_starts_again_when_redriven(
    walk: Walk, status: Status, *, replaced: bool
) -> None:
    world = indexed()
    world.ledger.records[KEY] = replace(world.ledger.records[KEY], status=status)
    if replaced:
        world.store.put(KEY, "new text")
    world.ingest.fail(Hint(KEY), "message-2", Reason.INTERNAL, "a bug")
    keeps = status in SETTLED and not replaced
    assert world.ledger.records[KEY].status is (status if keeps else Status.FAILED)
    walk.states.clear()
    world.update()
    assert walk.states[0] == (status.value if keeps else "Behind")


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("deleted", [False, True])
def test_a_dead_letter_fails_a_document_with_work_left_and_deletes_one_that_is_gone(
    walk: Walk, status: Status, *, deleted: bool
) -> None:
    world = indexed()
    world.ledger.records[KEY] = replace(world.ledger.records[KEY], status=status, ranges=None)
    if deleted:
        world.store.delete(KEY)
    walk.states.clear()
    found = give_up(world.ingest, Hint(KEY), "message-2").status
    assert walk.states == []  # nothing is indexed
    assert found is (Status.DELETED if deleted else status if status in SETTLED else Status.FAILED)


# By state: the step once the hint is served, for a plain hint, and for a hint to sweep; None where nothing is left
# to do. A hint to rebuild makes any document Behind.
TABLE: dict[str, tuple[type[Step] | None, type[Step] | None, type[Step] | None]] = {
    "Behind": (Start, Start, Start),
    "Planned": (Resume, Resume, Resume),
    "Waiting": (None, Refresh, Resume),
    "Complete": (Settle, Settle, Settle),
    "Complete, to be recognised": (Recognise, Recognise, Recognise),
    **{f"{status}, to be recognised": (None, Recognise, Recognise) for status in SETTLED},
    "INDEXED": (None, Refresh, Refresh),
    "EMPTY": (None, Refresh, Refresh),
    "REJECTED": (None, Refresh, Refresh),
    "Gone": (Settle, Settle, Settle),
    "DELETED": (None, Settle, Settle),
}

# The states that a step can lead to.
ENDS: dict[tuple[str, type[Step]], set[str]] = {
    ("Behind", Start): {"Planned", "Complete", "REJECTED"},
    ("Planned", Resume): {"Waiting"},
    ("Waiting", Resume): {"Waiting"},
    ("Waiting", Refresh): {"Waiting"},
    ("Complete", Recognise): {"Planned"},
    ("Complete", Settle): {"INDEXED", "EMPTY", "REJECTED"},
    **{(settled, Recognise): {"Planned"} for settled in SETTLED},
    ("INDEXED", Refresh): {"INDEXED"},
    ("EMPTY", Refresh): {"EMPTY"},
    ("REJECTED", Refresh): {"REJECTED"},
    ("Gone", Settle): {"DELETED"},
}

STEP_EDGES = {(state, end, step.__name__.lower()) for (state, step), ends in ENDS.items() for end in ends}

_AT_THE_OBJECTS_VERSION = {
    Status.INDEXED: "INDEXED",
    Status.EMPTY: "EMPTY",
    Status.REJECTED: "REJECTED",
    Status.FAILED: "Behind",
    Status.DELETED: "Behind",
}


def state_of(record: DocumentRecord, head: ObjectVersion | None, hint: Hint | None) -> str:
    """The state of a document, as the drawing names it."""
    if head is None:
        return "DELETED" if record.status is Status.DELETED and hint is None else "Gone"
    if record.version != head.version or (hint is not None and hint.rebuild):
        return "Behind"
    if record.status is not Status.PENDING:
        return _AT_THE_OBJECTS_VERSION[record.status]
    if record.ranges is None:
        return "Behind"
    if len(record.ranges_done) == record.ranges:
        return "Complete"
    return "Waiting" if record.dispatched else "Planned"
