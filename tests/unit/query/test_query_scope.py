"""The documents that may answer a question: live, in scope, and allowed for the caller."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import pytest

from docwell.answers import STILL_INDEXING, AnswerStatus
from docwell.deadline import run
from docwell.errors import NotFound, StillIndexing, Unavailable
from docwell.identity import Principal, Rule
from docwell.models import Attributes, DocumentRecord, Status, StoredObject
from docwell.query.ask import Question
from docwell.query.retrieval.scope import Filter, may_see_record
from tests.unit.cases import rows
from tests.unit.query.query_world import BOILER, EVERYTHING, QUESTION, World


def test_a_generation_that_is_not_live_is_never_shown() -> None:
    world = World()
    world.add("house/rules.pdf", BOILER, live=False)
    with pytest.raises(Unavailable, match="docwell reconcile"):  # the live generation's chunks are missing
        world.ask(Question(QUESTION))
    assert world.model.asked == []


def test_many_hits_that_are_not_live_do_not_hide_a_live_one() -> None:
    world = World()
    for page in range(1, 60):
        world.add("house/old.pdf", BOILER, page=page, live=False)
    world.add("house/rules.pdf", "The boiler is inspected, it is said, every year in March.")
    world.model.says = "Every March [1]."
    (citation,) = world.ask(Question(QUESTION)).answer.citations
    assert citation.document == "house/rules.pdf"


@pytest.mark.parametrize("place", [{"collections": ("garden",)}, {"document": "garden/rules.pdf"}])
def test_a_question_to_one_collection_or_document_sees_nothing_of_another(place: dict[str, Any]) -> None:
    world = World()
    for key in ("house/rules.pdf", "garden/rules.pdf"):
        world.add(key, BOILER)
    report = world.ask(Question(QUESTION, **place))
    assert {passage.document for passage in report.inquiry.prompted} == {"garden/rules.pdf"}


def test_a_document_that_is_deleted_missing_or_outside_the_collections_gives_the_same_message() -> None:
    world = World()
    for key in ("house/rules.pdf", "garden/rules.pdf"):
        world.add(key, BOILER)
    world.ledger.records["house/rules.pdf"] = DocumentRecord("house/rules.pdf", Status.DELETED)
    details = set()
    for key in ("house/rules.pdf", "house/none.pdf", "garden/rules.pdf"):
        for place in ({"document": key}, {"filter": Filter(documents=(key,))}):
            with pytest.raises(NotFound) as refused:
                world.ask(Question(QUESTION, collections=("house",), **place))
            details.add(refused.value.detail)
    assert len(details) == 1


@pytest.mark.parametrize(("key", "status", "document", "reader", "waits"), rows(__file__, "new_objects"))
def test_a_question_to_documents_that_are_not_indexed_yet_says_so(
    key: str, status: str | None, document: str | None, reader: str, *, waits: bool
) -> None:
    world = world_of_new_objects(key, status)
    principal = Principal("key:reader", frozenset({reader})) if reader else EVERYTHING
    with pytest.raises(StillIndexing) if waits else nullcontext():
        assert world.ask(Question(QUESTION, document=document), principal).answer.refusal == "nothing_indexed"


@pytest.mark.parametrize(("key", "status", "document", "reader", "waits"), rows(__file__, "new_objects"))
def test_a_refusal_says_how_many_documents_are_not_indexed_yet(
    key: str, status: str | None, document: str | None, reader: str, *, waits: bool
) -> None:
    world = world_of_new_objects(key, status)
    for live in ("house/live.pdf", "live.pdf"):
        world.add(live, BOILER)
    if document:  # its older version is live
        world.add(document, BOILER)
        newest = Status((status if document == key else None) or "FAILED")
        world.ledger.records[document] = replace(world.ledger.records[document], status=newest)
    world.model.says = "NOT FOUND"
    principal = Principal("key:reader", frozenset({reader})) if reader else EVERYTHING
    report = world.ask(Question(QUESTION, document=document), principal)
    assert report.answer.refusal == "not_in_documents"
    answer = run(world.query.completed(report)).answer
    assert answer.still_indexing == waits
    assert answer.answer.endswith(STILL_INDEXING.format(1)) == waits


@pytest.mark.parametrize(
    ("principal", "condition", "waits"),
    [
        (EVERYTHING, Filter(prefix="house/"), True),
        (EVERYTHING, Filter(documents=("house/new.pdf",)), True),
        (EVERYTHING, Filter(prefix="attic/"), False),
        (EVERYTHING, Filter(tags={"stage": "final"}), False),
        (Principal("key:house", frozenset({"house"})), Filter(), True),
        (Principal("key:prefix", rules=frozenset({Rule("house", "house/n")})), Filter(), True),
        (Principal("key:other", rules=frozenset({Rule("house", "house/l")})), Filter(), False),
        (
            Principal("key:tag", rules=frozenset({Rule("house", tags=frozenset({("stage", "final")}))})),
            Filter(),
            False,
        ),
    ],
)
def test_a_refusal_counts_only_documents_that_the_caller_may_see_and_the_filter_allows(
    principal: Principal, condition: Filter, *, waits: bool
) -> None:
    world = world_of_new_objects("house/new.pdf", "PENDING")
    world.add("house/live.pdf", BOILER)
    report = world.ask(Question("quarterly revenue", filter=condition), principal)
    assert run(world.query.completed(report)).answer.still_indexing == waits


def world_of_new_objects(key: str, status: str | None) -> World:
    """Return a world with a document that failed and one in the bucket, with a row of this status if any."""
    world = World()
    records = {"house/rules.pdf": Status.FAILED} | ({key: Status(status)} if status else {})
    world.ledger.records |= {name: DocumentRecord(name, status) for name, status in records.items()}
    objects = [StoredObject(key, "etag", 1, 2.0), StoredObject("house/rules.pdf", "etag", 1, 1.0)]
    world.query = replace(world.query, listing=lambda after: ([row for row in objects if row.key > after], None))
    return world


@pytest.mark.parametrize("call", range(2, 6))
def test_a_document_that_goes_live_during_a_question_is_never_lost_or_missing(
    call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    world.ledger.records["house/rules.pdf"] = DocumentRecord("house/rules.pdf", Status.PENDING)
    calls = count(1)

    def watched(method: Callable[..., object], *given: object) -> object:
        if next(calls) == call:
            world.add("house/rules.pdf", BOILER)
        return method(*given)

    for port, names in ((world.index, ("search",)), (world.ledger, ("page", "get", "described", "under"))):
        for name in names:
            monkeypatch.setattr(port, name, partial(watched, getattr(port, name)))
    assert world.ask().answer.status is AnswerStatus.ANSWERED


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (Filter(tags={"stage": "final"}), "filter"),
        (Filter(documents=("house/rules.pdf",), title="garden"), "filter"),
        (Filter(prefix="cellar/"), "filter"),
        (Filter(prefix="house/"), "nothing_near"),
        (Filter(), "nothing_near"),
    ],
)
def test_a_filter_without_a_match_is_refused_in_words_of_its_cause(wanted: Filter, says: str) -> None:
    world = World()
    world.add("house/rules.pdf", "Bicycles stand outside.")
    world.add("cellar/rules.pdf", BOILER)
    reader = Principal("key:house", frozenset({"house"}))
    answer = world.ask(Question("quarterly revenue", filter=wanted), reader).answer
    assert (answer.status, answer.refusal, answer.citations) == (AnswerStatus.REFUSED, says, ())
    assert world.model.asked == []


@pytest.mark.parametrize("principal", [EVERYTHING, Principal("key:other", frozenset({"other"}))])
def test_an_empty_index_is_refused_as_empty(principal: Principal) -> None:
    world = World()
    if principal is not EVERYTHING:
        world.add("house/rules.pdf", BOILER)
    answer = world.ask(principal=principal).answer
    assert (answer.status, answer.refusal) == (AnswerStatus.REFUSED, "nothing_indexed")
    assert world.model.asked == []


@pytest.mark.parametrize("document", [None, "house/rules.pdf"])
def test_a_lost_index_is_an_error_and_not_a_refusal(document: str | None) -> None:
    world = World()
    world.add("house/rules.pdf", BOILER)
    world.index.chunks.clear()
    with pytest.raises(Unavailable, match="docwell reconcile"):
        world.ask(Question(QUESTION, document=document))
    assert world.model.asked == []


@pytest.mark.parametrize(
    ("principal", "question"),
    [
        (Principal("key:house", frozenset({"house"})), Question(QUESTION)),
        (Principal("key:rule", rules=frozenset({Rule(None, "house/")})), Question(QUESTION)),
        (Principal("key:all", None), Question(QUESTION, collections=("house",))),
    ],
)
def test_a_hit_that_the_search_should_not_have_is_dropped(
    principal: Principal, question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    world.add("house/rules.pdf", BOILER)
    world.add("cellar/plan.pdf", BOILER)
    careful = world.index.search
    monkeypatch.setattr(world.index, "search", lambda _places, vector, k: careful(None, vector, k))
    assert {passage.document for passage in world.ask(question, principal).inquiry.prompted} == {"house/rules.pdf"}


PUBLIC = Principal("key:public", rules=frozenset({Rule("hr", tags=frozenset({("public", "yes")}))}))


def record(observed: str) -> DocumentRecord:
    return DocumentRecord(
        "hr/plan.pdf",
        Status.PENDING,
        version="v2",
        title="the title of v2",
        live_version="v1",
        live_generation="g1",
        live_attributes=Attributes(tags={"public": "yes"}),
        observed_version=observed,
        observations=1,
    )


def test_the_tags_of_a_replaced_version_give_no_right_to_its_successor() -> None:
    assert may_see_record(PUBLIC, record("v1"))
    assert not may_see_record(PUBLIC, record("v2"))
