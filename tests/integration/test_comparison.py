"""A comparison of documents from ingest to answer, on moto and a real Chroma server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from docwell.answers import AnswerStatus, Mode
from docwell.query.ask import Question
from docwell.query.compare import Comparison
from docwell.query.prompting import load_prompt
from tests.integration.reconcile_world import new_world
from tests.integration.test_overviews import Asked

pytestmark = pytest.mark.integration
NORTH, SOUTH = "plant/north.pdf", "plant/süd+1.pdf"
PUMPS = "The pumps of the plant are oiled by {} crews at night."
ASKED = Question("How many crews oil the pumps of plant north and of plant süd?")


@pytest.fixture
def world(chroma_url: str) -> Iterator[Asked]:
    with new_world(chroma_url, kind=Asked) as world:
        assert isinstance(world, Asked)
        modes = world.query.modes
        comparison = Comparison(world.retrieval, load_prompt("compare"), world.model)
        world.query = replace(
            world.query, modes=replace(modes, sources={**modes.sources, Mode.COMPARE: comparison})
        )
        world.model.says = "The pumps are oiled by crews at night [1]."
        yield world


def test_each_document_is_asked_by_itself_in_its_live_version_while_it_is_there(world: Asked) -> None:
    world.upload(NORTH, PUMPS.format("seven"))
    world.upload(SOUTH, PUMPS.format("nine"))
    world.upload("plant/office.pdf", "The office opens at eight.")
    answer = world.ask(ASKED).answer
    assert (answer.status, answer.mode) == (AnswerStatus.ANSWERED, Mode.COMPARE)
    assert [one.document for one in answer.citations] == [NORTH, SOUTH]
    assert [line.partition(":")[0] for line in answer.answer.splitlines()] == ["- north", "- süd 1"]

    world.upload(SOUTH, PUMPS.format("eleven"))
    quotes = [one.quote for one in world.ask(ASKED).answer.citations]
    assert quotes == [PUMPS.format("seven"), PUMPS.format("eleven")]

    world.remove(SOUTH)
    assert world.ask(ASKED).answer.mode is Mode.PASSAGES
