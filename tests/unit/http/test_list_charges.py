"""The charge of a list over HTTP: no model is asked, and nothing is reserved for it."""

from __future__ import annotations

from docwell.http.bodies import QueryRequest, most_model_calls


def test_a_list_reserves_no_more_than_the_passages_that_may_answer_in_its_place() -> None:
    calls = {
        mode: most_model_calls(QueryRequest(question="q", mode=mode)) for mode in ("passages", "list", "auto")
    }
    assert calls["list"] == calls["passages"] < calls["auto"]
