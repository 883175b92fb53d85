"""The drawing in `docs/architecture.md` equals the table, and the table equals what ingest does."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from docwell.errors import LeaseLost
from docwell.ingest import ingest as ingest_module
from docwell.ingest.events import give_up
from docwell.ingest.steps import Step, next_step
from docwell.models import SETTLED, DocumentRecord, Hint, ObjectVersion, RangeTask, Reason, Status
from tests.unit.fakes import UNREADABLE, FakeRecogniser
from tests.unit.ingest.ingest_world import KEY, World
from tests.unit.ingest.step_table import EVENT_EDGES, STEP_EDGES, state_of

PAGE = Path(__file__).parents[3] / "docs" / "architecture.md"
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


def test_the_drawing_has_each_transition_of_the_table_and_no_other() -> None:
    assert drawn() == STEP_EDGES | EVENT_EDGES


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
                message(world, None, plain)
    assert walk.edges == STEP_EDGES


def indexed(text: str = "some text", **limits: Any) -> World:
    world = World(**limits)
    world.store.put(KEY, text)
    world.update()
    return world


def test_a_first_event_a_new_version_and_a_rebuild_start_the_document(walk: Walk) -> None:
    world = indexed()
    assert walk.states[0] == "Behind"
    world.store.put(KEY, "new text")
    for hint in (Hint(KEY), Hint(KEY, rebuild=True)):
        walk.states.clear()
        world.ingest.update(hint, "message-2", lambda: 900.0)
        assert walk.states[0] == "Behind"


@pytest.mark.parametrize("status", Status)
def test_a_document_in_any_status_can_be_deleted(walk: Walk, status: Status) -> None:
    world = indexed()
    world.ledger.records[KEY] = replace(world.ledger.records[KEY], status=status)
    world.store.delete(KEY)
    walk.states.clear()
    world.update()
    assert walk.states == ["Gone", "DELETED"]


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


@pytest.mark.parametrize("status", Status)
def test_an_observation_changes_no_state(walk: Walk, status: Status) -> None:
    world = indexed()
    world.ledger.records[KEY] = replace(world.ledger.records[KEY], status=status)
    before = state_of(world.ledger.records[KEY], world.store.head(KEY), None)
    walk.states.clear()
    world.ingest.observe(KEY)
    assert state_of(world.ledger.records[KEY], world.store.head(KEY), None) == before
    assert walk.states == []


@pytest.mark.parametrize(("limit", "state"), [(100, "Complete"), (10, "REJECTED")])
def test_the_last_range_completes_the_document_unless_it_is_refused(walk: Walk, limit: int, state: str) -> None:
    world = indexed("page one\fpage two", range_pages=1, max_document_characters=limit)
    first, last = world.queue.sent
    assert isinstance(first, RangeTask)
    assert isinstance(last, RangeTask)
    world.index_range(first, "range-0", lambda: 900.0)
    assert walk.states[-1] == "Waiting"
    walk.states.clear()
    world.index_range(last, "range-1", lambda: 900.0)
    assert walk.states[0] == state
    assert world.ledger.records[KEY].status is (Status.REJECTED if state == "REJECTED" else Status.INDEXED)


def test_an_event_that_meets_a_lease_makes_its_holder_look_again(walk: Walk) -> None:
    world = World()
    world.store.put(KEY, "some text")

    def another_event() -> None:
        world.index.before_upsert = lambda: None
        world.update(owner="message-2")

    world.index.before_upsert = another_event
    world.update()
    assert walk.states == ["Behind", "Complete", "INDEXED", "INDEXED", "INDEXED"]


def test_a_worker_that_lost_its_lease_asks_for_another_look(walk: Walk) -> None:
    world = World()
    world.store.put(KEY, "some text")

    def overtake() -> None:
        world.index.before_upsert = lambda: None
        world.ledger.holders.clear()
        world.store.put(KEY, "new text")
        world.update(owner="message-2")

    world.index.before_upsert = overtake
    with pytest.raises(LeaseLost):
        world.update()
    assert world.queue.sent == [Hint(KEY, sweep=True)]
