"""`POST /v1/search` through the handler on ports in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from docwell.audit import Action
from docwell.errors import Unavailable
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import call, masked
from tests.unit.query.query_world import BOILER, QUESTION


@pytest.fixture
def pages(world: HttpWorld) -> HttpWorld:
    world.add("house/notes.pdf", "Another boiler is inspected in the cellar. It never snows.", page=3)
    world.add("house/old.pdf", "The old boiler is inspected every May.", live=False)
    world.add("cellar/a.pdf", "The boiler of the cellar is inspected every June.")
    return world


def search(body: dict[str, Any], key: str = "house") -> dict[str, Any]:
    status, found, _ = call("POST", "/v1/search", {"question": QUESTION, **body}, key)
    assert status == 200, found
    assert isinstance(found, dict)
    return found


def test_the_passages_are_those_of_the_answer_in_their_order(pages: HttpWorld) -> None:
    found = search({"top_k": 5})
    assert call("POST", "/v1/query", {"question": QUESTION, "top_k": 5}, "house")[0] == 200
    (receipt,) = pages.receipts.kept.values()
    assert [passage["document"] for passage in found["passages"]] == [
        document for _, document, _ in receipt.passages
    ]
    assert {passage["document"] for passage in found["passages"]} == {"house/rules.pdf", "house/notes.pdf"}


def test_a_passage_has_its_page_quote_score_and_link(pages: HttpWorld) -> None:
    (passage,) = search({"document": "house/rules.pdf"})["passages"]
    assert (passage["page"], passage["page_label"], passage["text"], passage["quote"]) == (7, "iv", BOILER, BOILER)
    assert (passage["start"], passage["end"]) == (0, len(BOILER))
    assert passage["unit"] == {"kind": "page", "label": "iv", "anchor": "page=7"}
    assert passage["link"] == "https://bucket/house/rules.pdf?versionId=v1#page=7"
    assert 0 < passage["score"] <= 1


def test_the_quote_is_the_sentence_nearest_to_the_question(pages: HttpWorld) -> None:
    (passage,) = search({"document": "house/notes.pdf"})["passages"]
    assert passage["quote"] == "Another boiler is inspected in the cellar."


def test_passages_come_by_document_on_request(pages: HttpWorld) -> None:
    pages.add("house/notes.pdf", "A boiler is inspected by two people.", page=4)
    found = search({"group_by": "document"})
    assert found["passages"] is None
    groups = {group["document"]: {hit["page"] for hit in group["passages"]} for group in found["documents"]}
    assert groups == {"house/rules.pdf": {7}, "house/notes.pdf": {3, 4}}


def test_the_model_is_not_called_and_one_request_is_charged_and_audited(pages: HttpWorld) -> None:
    search({})
    assert pages.model.asked == []
    assert (pages.principals.requests, pages.principals.tokens) == (1, 0)
    (event,) = pages.audit.events
    assert (event.actor, event.action) == ("key:house", Action.SEARCHED)
    assert event.documents == {"house/rules.pdf", "house/notes.pdf"}
    assert pages.receipts.kept == {}


@pytest.mark.parametrize("more", [{"collection": "cellar"}, {"document": "cellar/a.pdf"}])
def test_what_the_caller_may_not_read_looks_missing(pages: HttpWorld, more: dict[str, Any]) -> None:
    absent = {name: value.replace("cellar", "attic") for name, value in more.items()}
    answers = [call("POST", "/v1/search", {"question": QUESTION, **body}, "house") for body in (more, absent)]
    assert answers[0][0] == 404
    assert masked(answers[0]) == masked(answers[1])


def test_an_audit_that_fails_hides_no_passages(pages: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def append(_event: object) -> None:
        raise Unavailable("audit", "throttled")

    monkeypatch.setattr(pages.audit, "append", append)
    assert search({})["passages"]


class Reversing:
    """A reranker that turns the order around."""

    async def rerank(self, question: str, texts: Sequence[str], timeout_s: float) -> Sequence[float]:
        return [float(number) for number, _ in enumerate(texts)]


def test_a_cross_encoder_ranks_a_search(pages: HttpWorld) -> None:
    before = [hit["document"] for hit in search({})["passages"]]
    pages.query = replace(pages.query, reranker=Reversing())
    assert [hit["document"] for hit in search({})["passages"]] == before[::-1]
