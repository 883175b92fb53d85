"""The ledger keeps the attributes of the live version equal to the bucket's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from docwell.attributes import Attributes
from docwell.models import RangeTask, Reason, Status
from tests.unit.ingest.ingest_world import KEY, World


def said(world: World) -> Attributes | None:
    return world.ledger.records[KEY].live_attributes


@pytest.fixture
def world() -> World:
    world = World(range_pages=2)
    world.reader.title, world.reader.author, world.reader.created = "One", "Ada", "2026-01-01"
    world.store.put(KEY, "first words", {"team": "heat"}, {"stage": "draft"})
    world.update()
    return world


def test_the_kind_of_file_is_that_of_the_live_version(world: World) -> None:
    world.reader.media_type = "text/html"
    world.store.put(KEY, "a\fb\fc")
    world.update(owner="message-2")
    found = said(world)
    assert found is not None
    assert found.media_type is None
    world.work_off()
    found = said(world)
    assert found is not None
    assert found.media_type == "text/html"


def test_new_tags_are_taken_over_without_reading_the_document_again(world: World) -> None:
    world.store.before_download = lambda: pytest.fail("it was downloaded")
    world.store.tagged[KEY] = {"stage": "final"}
    world.update(owner="message-2")
    assert said(world) == Attributes("One", "Ada", "2026-01-01", {"team": "heat"}, {"stage": "final"})


def test_a_look_at_a_document_that_nothing_has_changed_of_writes_nothing(world: World) -> None:
    before = world.ledger.writes
    world.update(owner="message-2")
    assert world.ledger.writes == before


def test_until_a_replacement_is_live_the_ledger_speaks_of_what_answers_come_from(world: World) -> None:
    world.reader.title, world.reader.author = "Two", "Eve"
    world.store.put(KEY, "a\fb\fc", {"team": "cold"}, {"stage": "new"})
    world.update(owner="message-2")
    assert world.ledger.records[KEY].status is Status.PENDING
    assert said(world) == Attributes("One", "Ada", "2026-01-01", {"team": "heat"}, {"stage": "draft"})
    world.work_off()
    assert said(world) == Attributes("Two", "Eve", "2026-01-01", {"team": "cold"}, {"stage": "new"})


def test_tags_that_change_while_a_long_document_is_read_are_those_of_the_end(world: World) -> None:
    world.store.put(KEY, "a\fb\fc", tags={"stage": "new"})
    world.update(owner="message-2")
    world.store.tagged[KEY] = {"stage": "newer"}
    world.work_off()
    found = said(world)
    assert found is not None
    assert found.tags == {"stage": "newer"}


@pytest.mark.parametrize("body", ["!encrypted", "   "])
def test_nothing_is_said_of_a_document_that_is_not_shown_any_more(world: World, body: str) -> None:
    world.store.put(KEY, body, tags={"stage": "final"})
    world.update(owner="message-2")
    world.update(owner="message-3")
    assert said(world) is None


def test_nothing_is_said_of_a_document_that_was_deleted_or_given_up(world: World) -> None:
    task = RangeTask(KEY, "v1", "pipeline", world.ledger.records[KEY].attempt, 0)
    world.ledger.records[KEY] = replace(world.ledger.records[KEY], status=Status.PENDING)
    world.ingest.fail(task, "message-2", Reason.INTERNAL, "a bug")
    assert said(world) is None
    world.update(owner="message-3")
    assert said(world) is not None
    world.store.delete(KEY)
    world.update(owner="message-4")
    assert said(world) is None


def test_a_version_that_goes_while_its_tags_are_asked_for_is_looked_at_again(world: World) -> None:
    tags, versions = world.store.tags, []

    def replaced(key: str, version: object) -> dict[str, str]:
        world.store.tags = tags  # type: ignore[method-assign]
        versions.append(world.store.put(KEY, "second words", tags={"stage": "second"}))
        return dict(tags(key, version))  # type: ignore[arg-type]

    world.store.tags = replaced  # type: ignore[method-assign]
    world.update(owner="message-2")
    record = world.ledger.records[KEY]
    assert [record.live_version] == versions
    assert record.live_attributes is not None
    assert record.live_attributes.tags == {"stage": "second"}
