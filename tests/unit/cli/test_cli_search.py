"""`docwell search`: passages, their groups and failures."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import FakeApi

HIT: dict[str, Any] = {
    "document": "handbooks/é.pdf",
    "page": 9,
    "page_label": "6",
    "quote": "more than 2 %\nfor five minutes",
    "score": 0.812,
    "suspicious": False,
}
OTHER = HIT | {"document": "handbooks/b.pdf", "page": 1, "page_label": None, "suspicious": True}


def test_passages_are_shown_with_page_quote_and_score(run: Run, api: FakeApi) -> None:
    api.answer = (200, {"passages": [HIT, OTHER], "documents": None})
    result = run("search", "When?", "--collection", "handbooks", "--tag", "a=b", "--top-k", "3", api=api)
    assert result.exit_code == 0
    assert "[1] handbooks/é.pdf, page 9 (printed 6)\n    “more than 2 % for five minutes”" in result.stdout
    assert "[2] handbooks/b.pdf, page 1" in result.stdout
    assert "score 0.81\n" in result.stdout
    assert "score 0.81; it gives its reader orders" in result.stdout
    body = {"question": "When?", "collection": "handbooks", "filter": {"tags": {"a": "b"}}, "top_k": 3}
    assert api.requests[-1][1:3] == ("/v1/search", body)


def test_passages_by_document_are_asked_for(run: Run, api: FakeApi) -> None:
    groups = [{"document": one["document"], "passages": [one]} for one in (OTHER, HIT)]
    api.answer = (200, {"passages": None, "documents": groups})
    result = run("search", "When?", "--by-document", api=api)
    assert result.stdout.index("b.pdf") < result.stdout.index("é.pdf")
    assert api.requests[-1][2] == {"question": "When?", "group_by": "document"}
    assert json.loads(run("search", "When?", "--by-document", "--json", api=api).stdout) == api.answer[1]


def test_a_search_without_passages_says_so(run: Run, api: FakeApi) -> None:
    api.answer = (200, {"passages": [], "documents": None})
    result = run("search", "When?", api=api)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no passages match\n")


def test_a_search_of_a_part_of_the_documents_says_so(run: Run, api: FakeApi) -> None:
    api.answer = (200, {"passages": [], "documents": None, "partial": True})
    result = run("search", "When?", api=api)
    assert "some documents were not searched" in result.stderr
    assert json.loads(run("search", "When?", "--json", api=api).stdout)["partial"]


def test_a_search_of_an_unknown_collection_fails(run: Run, api: FakeApi) -> None:
    api.answer = (404, {"title": "Not found", "detail": "no such collection"})
    result = run("search", "When?", "--collection", "x", api=api)
    assert result.exit_code == 1
    assert "no such collection" in result.stderr
