"""The query use case on ports in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from docwell.errors import BadInput, ModelMissing
from docwell.models import AnswerStatus, Chunk, DocumentRecord, IndexRecord, Status, collection_of
from docwell.prompting import load_prompt
from docwell.query import REFUSAL, Query, QueryLimits, Question
from tests.unit.fakes import FakeEmbedder, FakeIndex, FakeLedger, FakeModel

QUESTION = "how often is the boiler inspected"
BOILER = "The boiler is inspected every March."


class World:
    """An index with some passages, and a model that says what it is told."""

    def __init__(self, **limits: Any) -> None:
        self.ledger, self.index, self.model = FakeLedger(), FakeIndex(), FakeModel()
        self.embedder = FakeEmbedder()
        self.query = Query(
            catalogue=self.ledger,
            index=self.index,
            embedder=self.embedder,
            model=self.model,
            prompt=load_prompt("answer"),
            limits=replace(QueryLimits(), **limits),
        )

    def add(self, key: str, text: str, *, page: int = 1, live: bool = True) -> None:
        generation = "live" if live else "old"
        vector = self.embedder.embed_passages([text])[0].tolist()
        chunk = Chunk(text, page, page, 0, len(text), len(text.split()), label="iv")
        id_ = f"{key}-{page}-{generation}"
        self.index.upsert(collection_of(key), [IndexRecord(id_, key, generation, "v1", chunk, vector)])
        self.ledger.records[key] = DocumentRecord(key, Status.INDEXED, live_generation="live")


def test_an_answer_cites_the_page_that_says_it() -> None:
    world = World()
    world.add("house/rules.pdf", BOILER, page=7)
    world.add("house/other.pdf", "Bicycles stand in the yard.", page=2)
    world.model.says = "Every March [1]."
    answer = world.query.ask(Question(QUESTION)).answer
    assert (answer.status, answer.answer) == (AnswerStatus.ANSWERED, "Every March [1].")
    (citation,) = answer.citations
    assert (citation.document, citation.page, citation.page_label) == ("house/rules.pdf", 7, "iv")
    assert citation.quote == BOILER
    assert answer.timings_ms.total >= answer.timings_ms.retrieve


def test_the_model_is_not_asked_when_nothing_relevant_is_found() -> None:
    world = World()
    world.add("house/rules.pdf", "Bicycles stand outside.")
    answer = world.query.ask(Question("quarterly revenue")).answer
    assert (answer.status, answer.answer, answer.citations) == (AnswerStatus.REFUSED, REFUSAL, ())
    assert world.model.asked == []


def test_an_empty_index_gives_a_refusal() -> None:
    assert World().query.ask(Question(QUESTION)).answer.status is AnswerStatus.REFUSED


def test_a_generation_that_is_not_live_is_never_shown() -> None:
    world = World()
    world.add("house/rules.pdf", BOILER, live=False)
    assert world.query.ask(Question(QUESTION)).answer.status is AnswerStatus.REFUSED


def test_many_hits_that_are_not_live_do_not_hide_a_live_one() -> None:
    world = World()
    for page in range(1, 60):
        world.add("house/old.pdf", BOILER, page=page, live=False)
    world.add("house/rules.pdf", "The boiler is inspected, it is said, every year in March.")
    world.model.says = "Every March [1]."
    (citation,) = world.query.ask(Question(QUESTION)).answer.citations
    assert citation.document == "house/rules.pdf"


def test_a_question_to_one_collection_sees_nothing_of_another() -> None:
    world = World()
    world.add("house/rules.pdf", BOILER)
    world.add("garden/rules.pdf", BOILER)
    passages = world.query.retrieve(
        Question(QUESTION, collections=("garden",)), world.embedder.embed_queries([QUESTION])[0].tolist()
    )
    assert {passage.document for passage in passages} == {"garden/rules.pdf"}


def test_a_question_to_one_document_sees_nothing_of_another() -> None:
    world = World()
    world.add("house/rules.pdf", BOILER)
    world.add("house/more.pdf", BOILER)
    vector = world.embedder.embed_queries([QUESTION])[0].tolist()
    inside = world.query.retrieve(Question(QUESTION, document="house/more.pdf"), vector)
    assert {passage.document for passage in inside} == {"house/more.pdf"}
    outside = Question(QUESTION, collections=("garden",), document="house/more.pdf")
    assert world.query.retrieve(outside, vector) == []


@pytest.mark.parametrize("says", ["NOT FOUND", "not found.", "  ", '"NOT FOUND"'])
def test_a_model_that_finds_nothing_gives_the_refusal(says: str) -> None:
    world = World()
    world.add("house/rules.pdf", BOILER)
    world.model.says = says
    answer = world.query.ask(Question(QUESTION)).answer
    assert (answer.status, answer.answer) == (AnswerStatus.REFUSED, REFUSAL)


def test_an_answer_that_no_passage_supports_is_refused() -> None:
    world = World()
    world.add("house/rules.pdf", BOILER)
    world.model.says = "Paris has many wonderful museums."
    assert world.query.ask(Question(QUESTION)).answer.status is AnswerStatus.REFUSED


def test_passages_that_do_not_fit_are_dropped_lowest_rank_first_and_reported() -> None:
    world = World(num_ctx=1200, num_predict=100)
    world.add("house/best.pdf", BOILER)
    for number in range(4):
        filler = "The boiler is inspected by somebody " + "x1y2z3 " * 40
        world.add(f"house/{number}.pdf", filler)
    report = world.query.ask(Question(QUESTION))
    assert 0 < report.answer.dropped_passages < 5
    assert BOILER in world.model.asked[0][-1].content


def test_a_host_that_read_less_than_half_is_reported() -> None:
    world = World()
    world.add("house/rules.pdf", BOILER)
    world.model.prompt_tokens = 20
    assert world.query.ask(Question(QUESTION)).truncated
    world.model.prompt_tokens = 10_000
    assert not world.query.ask(Question(QUESTION)).truncated


def test_a_question_larger_than_the_context_is_bad_input() -> None:
    world = World(num_ctx=700)
    world.add("house/rules.pdf", BOILER)
    with pytest.raises(BadInput):
        world.query.ask(Question(QUESTION + " boiler inspected" * 500))


def test_a_missing_model_is_told_as_such() -> None:
    world = World()
    world.add("house/rules.pdf", BOILER)
    world.model.fails = ModelMissing("ollama", "ollama pull it")
    with pytest.raises(ModelMissing):
        world.query.ask(Question(QUESTION))
