from __future__ import annotations

from unittest.mock import patch

import pytest

from docwell.models import Passage
from docwell.query.retrieval import ranking
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope
from tests.unit.query.query_world import EVERYTHING, World

SCOPE = Scope(EVERYTHING, {"house": None})


def search(world: World, question: str, top_k: int = 3) -> list[Passage]:
    vector = world.embedder.embed_queries([question])[0].tolist()
    retrieval = Retrieval(world.ledger, world.index)
    return list(retrieval.search(SCOPE, vector, top_k, question).passages)


def world_of(*texts: str) -> World:
    world = World()
    for page, text in enumerate(texts, 1):
        world.add("house/a.pdf", text, page=page)
    return world


def test_copies_of_a_document_take_one_place_however_many_they_are() -> None:
    world = World()
    for copy in range(150):
        for page, text in enumerate(("the boiler is warm", "the boiler was cold"), 1):
            world.add(f"house/copy{copy:03}.pdf", text, page=page)
    world.add("house/other.pdf", "the cellar is dry")
    found = search(world, "boiler warm")
    assert [one.chunk.text for one in found] == ["the boiler is warm", "the boiler was cold", "the cellar is dry"]
    assert len({one.document for one in found[:2]}) == 1


def test_a_passage_is_found_by_its_words_from_far_below_the_nearest() -> None:
    texts = [f"the pipe the pipe number{i} the pipe" for i in range(20)]
    world = world_of(*texts, "pipe inspections are written into the green ledger of the house by the owner")
    question = "pipe ledger"
    with patch.object(ranking, "WORDS_WEIGHT", 0.0):
        plain = search(world, question)
    assert all("ledger" not in one.chunk.text for one in plain)
    assert "ledger" in search(world, question)[0].chunk.text


@pytest.mark.parametrize("question", ["boiler", "boilers of acme", "boilers of acme and bolt"])
def test_one_read_of_the_ledger_is_enough_for_live_passages_whatever_is_named(question: str) -> None:
    world = World()
    for name in ("acme", "bolt", *map(str, range(90))):
        world.add(f"house/{name}.pdf", f"the boiler of {name} is inspected")
    with patch.object(world.ledger, "described", wraps=world.ledger.described) as described:
        assert len(search(world, question)) == 3
    assert described.call_count == 1
