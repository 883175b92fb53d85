from __future__ import annotations

import pytest

from docwell.answers import Usage
from docwell.deadline import run
from docwell.errors import ModelMissing, Unavailable
from docwell.identity import Principal
from docwell.models import Chunk, Passage
from docwell.query.prompting import load_prompt
from docwell.query.retrieval.expansion import Expanded, Expansion, Wording, fuse, wordings_of
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope
from tests.unit.query.query_fakes import FakeModel
from tests.unit.query.query_world import EVERYTHING, World

QUESTION = "What does the firm owe?"


def expansion(says: str = "Balance sheet\nTotal liabilities", budget: int = 4000) -> tuple[Expansion, FakeModel]:
    model = FakeModel(says)
    return Expansion(model, load_prompt("expand"), budget), model


@pytest.mark.parametrize(
    ("says", "texts"),
    [
        ("Balance sheet\nTotal liabilities", ("Balance sheet", "Total liabilities")),
        ("1. Balance sheet\n- Notes\n\n• Debt\n2) Fourth", ("Balance sheet", "Notes", "Debt")),
        ("2023 results\n2023 results", ("2023 results",)),
        ("x" * 121, ()),
        ("\n \n", ()),
        ("", ()),
    ],
)
def test_a_wording_is_a_short_line_and_there_are_three_at_most(says: str, texts: tuple[str, ...]) -> None:
    assert wordings_of(says) == texts


def test_the_model_is_asked_once_for_an_asker_and_a_question() -> None:
    built, model = expansion()
    first = run(built.expand("ann", QUESTION, 5.0))
    again = run(built.expand("ann", QUESTION, 5.0))
    assert (first.texts, first.usage.tokens > 0) == (again.texts, True)
    assert (again.usage, built.reading("ann", QUESTION), len(model.asked)) == (Usage(), Usage(), 1)


def test_another_asker_learns_nothing_from_what_was_asked_before() -> None:
    built, model = expansion()
    run(built.expand("ann", QUESTION, 5.0))
    assert built.reading("ben", QUESTION).tokens > 0
    run(built.expand("ben", QUESTION, 5.0))
    assert len(model.asked) == 2


@pytest.mark.parametrize(
    ("error", "is_charged"),
    [(Unavailable("ollama", "it broke off"), True), (ModelMissing("ollama", "ollama pull it"), False)],
)
def test_a_host_that_fails_gives_no_wordings_and_is_asked_again(error: Unavailable, *, is_charged: bool) -> None:
    built, model = expansion()
    model.fails = error
    reading = built.reading("ann", QUESTION)
    assert run(built.expand("ann", QUESTION, 5.0)) == Expanded((), reading if is_charged else Usage())
    model.fails = None
    assert run(built.expand("ann", QUESTION, 5.0)).texts


def test_a_question_that_fills_the_context_is_not_sent() -> None:
    built, model = expansion(budget=400)
    long = "word " * 400
    assert built.reading("ann", long) == Usage()
    assert run(built.expand("ann", long, 5.0)) == Expanded()
    assert model.asked == []


def passage(name: str, score: float) -> Passage:
    return Passage(name, "d", "g", "v", Chunk(name, 1, 0, 1, 1), score)


def test_fused_passages_come_by_the_sum_of_their_reciprocal_ranks() -> None:
    one, two, three = passage("1", 0.9), passage("2", 0.8), passage("3", 0.7)
    assert fuse([[one, two, three], [two, one], [two]]) == [two, one, three]
    assert fuse([[one, two]]) == [one, two]
    assert fuse([[], []]) == []


def test_another_wording_gives_no_passage_a_higher_score_than_the_question_gives_its_last() -> None:
    own = [passage("1", 0.5), passage("2", 0.3)]
    fused = fuse([own, [passage("3", 0.9), passage("1", 0.8)]])
    assert {one.id: one.score for one in fused} == {"1": 0.5, "2": 0.3, "3": 0.3}


def found(world: World, principal: Principal, wording: str) -> set[str]:
    vectors = world.embedder.embed_queries(["boiler", wording]).tolist()
    scope = Scope(principal, dict.fromkeys(sorted(principal.collections or ("house", "safe"))))
    wordings = [Wording(wording, vectors[1])]
    retrieval = Retrieval(world.ledger, world.index)
    return {one.document for one in retrieval.search(scope, vectors[0], 5, "boiler", wordings=wordings).passages}


def test_each_wording_is_searched_for_in_what_the_asker_may_read_and_what_is_live() -> None:
    world = World()
    world.add("house/boiler.pdf", "the boiler is warm")
    world.add("house/ledger.pdf", "the green ledger of the owner")
    world.add("house/old.pdf", "the green ledger of last year", live=False)
    world.add("safe/ledger.pdf", "the green ledger of the bank")
    ann = Principal("key:ann", frozenset({"house"}))
    assert found(world, ann, "green ledger") == {"house/boiler.pdf", "house/ledger.pdf"}
    assert "safe/ledger.pdf" in found(world, EVERYTHING, "green ledger")


def test_spare_passages_come_after_those_asked_for() -> None:
    world = World()
    for page in range(1, 9):
        world.add("house/a.pdf", f"the boiler number{page}", page=page)
    vector = world.embedder.embed_queries(["boiler"])[0].tolist()
    retrieval, scope = Retrieval(world.ledger, world.index), Scope(EVERYTHING, {"house": None})
    few = retrieval.search(scope, vector, 2, "boiler").passages
    more = retrieval.search(scope, vector, 2, "boiler", spare=4).passages
    assert (len(few), len(more), more[:2]) == (2, 6, few)
