"""Overviews and comparisons of documents from ingest to answer, on moto and a real Chroma server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from docwell.answers import AnswerStatus, Mode
from docwell.config import QueryLimits
from docwell.deadline import Deadline, run
from docwell.ingest.ingest import RangeWorker
from docwell.models import Part, RangeTask, Status
from docwell.query.ask import Ask, QueryReport, Question
from docwell.query.compare import Comparison
from docwell.query.conversation import Conversation
from docwell.query.modes import Modes, Router
from docwell.query.overview import Overview
from docwell.query.prompting import load_prompt
from docwell.query.query import Query
from docwell.upkeep.erase import Erase
from tests.integration.reconcile_world import new_world
from tests.integration.test_filters import EVERYBODY, Filtered
from tests.unit.query.query_fakes import FakeAdmission, FakeLinks, FakeModel

pytestmark = pytest.mark.integration
KEY = "plant/é pump+manual.pdf"
ABOUT = Question("What is this document about?", document=KEY)
PAGES = [
    f"Pump {n} of the plant in Ostra starts at {n} o'clock. It is oiled by crew {n} at night." for n in range(6)
]


@dataclass
class Asked(Filtered):
    """A world that answers questions; each range of two pages has its own worker."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.model = FakeModel("It is about the pumps of the plant in Ostra [1].")
        overview = Overview(self.index(), load_prompt("overview"))
        self.query = Query(
            retrieval=self.retrieval,
            embedder=self.embedder,
            model=self.model,
            conversation=Conversation(self.model, load_prompt("rewrite"), 4000),
            modes=Modes(Router(self.embedder), {Mode.OVERVIEW: overview}, self.retrieval),
            links=FakeLinks(),
            limits=QueryLimits(),
        )

    def look_at(self, key: str) -> None:
        ingest = self.ingest(self.known[0])
        ingest.observe(key)
        super().look_at(key)
        record = self.ledger().get(key)
        if record is not None and record.status is Status.PENDING:
            for number in reversed(range(record.ranges or 0)):
                task = RangeTask(key, str(record.version), ingest.fingerprint, record.attempt, number)
                RangeWorker(ingest, task, f"range-{number}", lambda: 900.0).index_range()

    def overview(self) -> dict[Part, list[str]]:
        """Return the pieces of the live generation."""
        record = self.ledger().get(KEY)
        live = record.live_generation if record else None
        texts: dict[Part, list[str]] = {}
        for passage, marks in self.index().marked(KEY, live) if live else ():
            for mark in marks:
                texts.setdefault(mark.part, []).append(passage.chunk.text[mark.start : mark.end])
        return texts

    def ask(self, question: Question) -> QueryReport:
        async def last() -> QueryReport:
            ask = Ask(question, load_prompt("answer"), FakeAdmission(EVERYBODY), Deadline(28.0))
            events = [event async for event in self.query.ask(ask)]
            assert isinstance(events[-1], QueryReport)
            return events[-1]

        return run(last())


@pytest.fixture
def world(chroma_url: str) -> Iterator[Asked]:
    with new_world(chroma_url, kind=Asked) as made:
        assert isinstance(made, Asked)
        yield made


def test_an_overview_answers_for_its_live_version_and_is_replaced_deleted_and_erased_with_it(world: Asked) -> None:
    world.upload(KEY, "\f".join(PAGES))
    first = world.overview()
    assert first[Part.OPENING] == PAGES[:2]
    assert all(f"Pump {number}" in " ".join(first[Part.STATEMENT]) for number in range(2, 6))
    report = world.ask(ABOUT)
    assert (report.answer.status, report.answer.mode) == (AnswerStatus.ANSWERED, Mode.OVERVIEW)
    assert [citation.page for citation in report.answer.citations] == [1]
    assert sorted(passage.chunk.page for passage in report.inquiry.prompted) == [1, 2, 3, 4, 5, 6]
    assert sum(world.run(force=True).drift.values()) == 0

    world.upload(KEY, "\f".join(page.replace("Pump", "Lamp") for page in PAGES))
    texts = [text for pieces in world.overview().values() for text in pieces]
    assert "Lamp" in " ".join(texts)
    assert "Pump" not in " ".join(texts)
    assert "Pump" not in " ".join(passage.chunk.text for passage in world.ask(ABOUT).inquiry.prompted)
    assert sum(world.run(force=True).drift.values()) == 0

    live = world.ledger().get(KEY)
    assert live is not None
    world.remove(KEY)
    erase = Erase(world.store, world.queue, [(world.ledger(), world.index())])
    assert erase.check([KEY])["left"] == []
    assert world.index().marked(KEY, str(live.live_generation)) == []
    assert world.index().ids("plant", KEY) == {}


NORTH, SOUTH = "plant/north.pdf", "plant/süd+1.pdf"
PUMPS = "The pumps of the plant are oiled by {} crews at night."
CREWS = Question("How many crews oil the pumps of plant north and of plant süd?")


def test_a_comparison_asks_each_document_in_its_live_version_while_it_is_there(world: Asked) -> None:
    modes = world.query.modes
    comparison = Comparison(world.retrieval, load_prompt("compare"), world.model)
    sources = {**modes.sources, Mode.COMPARE: comparison}
    world.query = replace(world.query, modes=replace(modes, sources=sources))
    world.model.says = "The pumps are oiled by crews at night [1]."
    world.upload(NORTH, PUMPS.format("seven"))
    world.upload(SOUTH, PUMPS.format("nine"))
    world.upload("plant/office.pdf", "The office opens at eight.")
    answer = world.ask(CREWS).answer
    assert (answer.status, answer.mode) == (AnswerStatus.ANSWERED, Mode.COMPARE)
    assert [citation.document for citation in answer.citations] == [NORTH, SOUTH]
    assert [line.partition(":")[0] for line in answer.answer.splitlines()] == ["- north", "- süd 1"]
    world.upload(SOUTH, PUMPS.format("eleven"))
    quotes = [citation.quote for citation in world.ask(CREWS).answer.citations]
    assert quotes == [PUMPS.format("seven"), PUMPS.format("eleven")]
    world.remove(SOUTH)
    assert world.ask(CREWS).answer.mode is Mode.PASSAGES
