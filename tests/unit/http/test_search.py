"""`POST /v1/search` through the handler on ports in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from docwell.audit import Action
from docwell.citation_units import CitationUnit, UnitKind
from docwell.errors import QuotaExceeded, Unavailable
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


@pytest.mark.parametrize("name", ["query", "search", "ask"])
def test_an_empty_list_of_collections_is_no_search_of_all(pages: HttpWorld, name: str) -> None:
    """A program has one key, and names the collections of its user: here none."""
    body: dict[str, Any] = {"question": QUESTION, "collections": []}
    if name == "ask":
        params = {"name": name, "arguments": body}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        assert call("POST", "/v1/mcp", message)[1]["result"]["isError"]
    else:
        assert call("POST", f"/v1/{name}", body)[0] == 400
    assert (pages.model.asked, pages.audit.events) == ([], [])


def test_the_passages_are_those_of_the_answer_in_their_order(pages: HttpWorld) -> None:
    found = search({"top_k": 5})
    assert call("POST", "/v1/query", {"question": QUESTION, "top_k": 5}, "house")[0] == 200
    (receipt,) = pages.receipts.kept.values()
    assert [one["document"] for one in found["passages"]] == [document for _, document, _ in receipt.passages]
    assert {one["document"] for one in found["passages"]} == {"house/rules.pdf", "house/notes.pdf"}


def test_a_passage_has_its_page_quote_score_and_link(pages: HttpWorld) -> None:
    (one,) = search({"document": "house/rules.pdf"})["passages"]
    assert (one["page"], one["page_label"], one["text"], one["quote"]) == (7, "iv", BOILER, BOILER)
    assert (one["start"], one["end"]) == (0, len(BOILER))
    assert one["unit"] == {"kind": "page", "label": "iv", "anchor": "page=7"}
    assert one["link"] == "https://bucket/house/rules.pdf?versionId=v1#page=7"
    assert 0 < one["score"] <= 1


def test_a_passage_of_a_sheet_has_its_range(pages: HttpWorld) -> None:
    pages.add("house/budget.xlsx", BOILER, unit=CitationUnit(UnitKind.RANGE, "Budget!A5:D5", "Budget!A5:D5"))
    (one,) = search({"document": "house/budget.xlsx"})["passages"]
    assert one["unit"] == {"kind": "range", "label": "Budget!A5:D5", "anchor": "Budget!A5:D5"}


def test_the_quote_is_the_sentence_nearest_to_the_question(pages: HttpWorld) -> None:
    (one,) = search({"document": "house/notes.pdf"})["passages"]
    assert one["quote"] == "Another boiler is inspected in the cellar."


def test_passages_come_by_document_on_request(pages: HttpWorld) -> None:
    pages.add("house/notes.pdf", "A boiler is inspected by two people.", page=4)
    found = search({"group_by": "document"})
    assert found["passages"] is None
    pages_of = {one["document"]: [hit["page"] for hit in one["passages"]] for one in found["documents"]}
    assert {name: sorted(each) for name, each in pages_of.items()} == {
        "house/rules.pdf": [7],
        "house/notes.pdf": [3, 4],
    }


def test_the_model_is_not_called_and_one_request_is_charged_and_audited(pages: HttpWorld) -> None:
    search({})
    assert pages.model.asked == []
    assert (pages.principals.requests, pages.principals.tokens) == (1, 0)
    (event,) = pages.audit.events
    assert (event.actor, event.action) == ("key:house", Action.SEARCHED)
    assert event.documents == {"house/rules.pdf", "house/notes.pdf"}
    assert pages.receipts.kept == {}


def test_a_filter_narrows_the_search(pages: HttpWorld) -> None:
    found = search({"filter": {"prefix": "house/n"}})
    assert [one["document"] for one in found["passages"]] == ["house/notes.pdf"]


@pytest.mark.parametrize("more", [{"collection": "cellar"}, {"document": "cellar/a.pdf"}])
def test_what_the_caller_may_not_read_looks_missing(pages: HttpWorld, more: dict[str, Any]) -> None:
    absent = {name: value.replace("cellar", "attic") for name, value in more.items()}
    answers = [call("POST", "/v1/search", {"question": QUESTION, **body}, "house") for body in (more, absent)]
    assert answers[0][0] == 404
    assert masked(answers[0]) == masked(answers[1])


def test_a_used_up_quota_finds_nothing(pages: HttpWorld) -> None:
    pages.principals.fails = QuotaExceeded("the requests of today are used up", 60)
    assert call("POST", "/v1/search", {"question": QUESTION, "document": "house/none.pdf"})[0] == 429


@pytest.mark.parametrize("more", [{"top_k": 10_000}, {"question": "x" * 2001}, {"mode": "list"}, {"group_by": 1}])
def test_a_wrong_search_is_bad_input(pages: HttpWorld, more: dict[str, Any]) -> None:
    assert call("POST", "/v1/search", {"question": QUESTION, **more})[0] == 400


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
