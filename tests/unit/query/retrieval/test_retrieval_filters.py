"""Questions with a filter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from docwell.errors import BadInput, NotFound
from docwell.identity import Principal
from docwell.models import Passage
from docwell.query.retrieval import scope as selection
from docwell.query.retrieval.retrieval import DEEPEST, Retrieval
from docwell.query.retrieval.scope import Filter, find_scope
from tests.unit.query.query_world import EVERYTHING, World


@pytest.fixture
def world() -> World:
    """Two documents of a collection and one of another."""
    world = World()
    world.add("house/2026/a.pdf", "the boiler is warm", title="Warm water", tags={"stage": "final"})
    world.add("house/2025/b.pdf", "the boiler is cold", title="Cold", tags={"stage": "draft"})
    world.add("garden/c.pdf", "the boiler is away")
    return world


def search(
    world: World, wanted: Filter, principal: Principal = EVERYTHING, deepest: int = DEEPEST, **where: Any
) -> list[Passage]:
    found = Retrieval(world.ledger, world.index, deepest=deepest)
    scope = find_scope(found.catalogue, principal, where.get("collections", ()), where.get("document"), wanted)
    vector = world.embedder.embed_queries(["boiler"])[0].tolist()
    return list(found.search(scope, vector, 5, "boiler").passages)


def texts(passages: list[Passage]) -> set[str]:
    return {one.chunk.text for one in passages}


def test_without_a_matching_document_nothing_is_searched(world: World) -> None:
    world.index.before_search = lambda: pytest.fail("it was searched")
    assert search(world, Filter(tags={"stage": "lost"})) == []
    assert search(world, Filter(prefix="attic/")) == []
    assert search(world, Filter(title="cold"), document="house/2026/a.pdf") == []


def test_a_filter_and_a_document_or_a_collection_must_both_hold(world: World) -> None:
    both = Filter(prefix="house/")
    assert texts(search(world, both, document="house/2025/b.pdf")) == {"the boiler is cold"}
    assert search(world, both, collections=("garden",)) == []


def test_a_document_that_fits_no_more_when_its_passages_come_is_not_shown(world: World) -> None:
    def retag() -> None:
        record = world.ledger.records["house/2026/a.pdf"]
        said = replace(record.live_attributes, tags={"stage": "withdrawn"})  # type: ignore[type-var]
        world.ledger.records["house/2026/a.pdf"] = replace(record, live_attributes=said)

    world.index.before_search = retag
    assert search(world, Filter(tags={"stage": "final"})) == []


def test_a_filter_that_leaves_too_few_of_too_many_is_refused_and_not_half_answered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "MOST_ROWS", 1)
    for page in range(200):
        world.add("house/2025/b.pdf", "boiler boiler boiler", page=page, title="Cold")
    world.add("house/2026/a.pdf", "a pipe", title="Warm water")
    with pytest.raises(BadInput, match="narrow it"):
        search(world, Filter(title="warm"), deepest=150)


def test_documents_of_a_filter_that_are_not_there_or_not_ones_own_are_told_alike(world: World) -> None:
    principal = Principal("key:a", frozenset({"house"}))
    told = []
    for key in ("house/none.pdf", "garden/c.pdf", "attic/none.pdf"):
        with pytest.raises(NotFound) as found:
            search(world, Filter(documents=("house/2026/a.pdf", key)), principal)
        told.append(found.value.detail)
    assert len(set(told)) == 1
