"""The tokens of the optional stages are reserved, charged, logged and kept with those of the answer."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

from docwell.config import QueryLimits, QuerySettings, RuntimeSettings
from docwell.errors import ModelMissing, Unavailable
from docwell.http.streaming import StreamedResponse
from docwell.query.prompting import load_prompt
from docwell.query.retrieval.expansion import Expansion
from docwell.query.retrieval.reranking import ListwiseReranker
from docwell.wiring import query as wiring
from functions.query.handler import handler
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import CONTEXT, call, event_of
from tests.unit.query.query_fakes import FakeModel
from tests.unit.query.query_world import QUESTION

CONTEXT_TOKENS = QueryLimits().num_ctx
ASKED = {"question": QUESTION}
FOLLOW_UP = {"question": "how often?", "history": [{"question": "Is the boiler inspected?", "answer": "Yes [1]."}]}


class Staged:
    """A world whose questions have both stages, each with its own model."""

    def __init__(self, world: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.order, self.wordings = world, FakeModel("1"), FakeModel("boiler inspections")
        world.rewriter.says = QUESTION
        world.add("house/more.pdf", "The boiler is old.")
        world.query = replace(
            world.query,
            reranker=ListwiseReranker(self.order, load_prompt("rerank"), 4000),
            expansion=Expansion(self.wordings, load_prompt("expand"), 4000),
        )
        settings = wiring.query_settings().model_copy(update={"reranker": "model", "expansion": "on"})
        monkeypatch.setattr(wiring, "query_settings", lambda: settings)

    def reserved(self, body: dict[str, Any], path: str = "/v1/query") -> int:
        """Return the most tokens that were charged at once for a request."""
        charged: list[int] = []
        reserve = self.world.principals.reserve

        def kept(principal: Any, tokens: int) -> Any:
            charged.append(tokens)
            return reserve(principal, tokens)

        self.world.principals.reserve = kept  # type: ignore[method-assign]
        call("POST", path, body)
        return sum(charged)


@pytest.fixture
def staged(world: HttpWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Staged:
    caplog.set_level("INFO", "docwell-test")
    return Staged(world, monkeypatch)


def line_of(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    (line,) = [vars(record) for record in caplog.records if record.message == "answered"]
    return line


@pytest.mark.parametrize(("body", "calls"), [(ASKED, 5), (FOLLOW_UP, 6)])
def test_each_stage_at_the_model_reserves_a_context(staged: Staged, body: dict[str, Any], calls: int) -> None:
    assert staged.reserved(body) == calls * CONTEXT_TOKENS


def test_a_request_without_the_model_still_reserves_nothing(staged: Staged) -> None:
    assert call("GET", "/v1/documents")[0] == 200
    assert staged.world.principals.tokens == 0


def test_a_replay_reserves_the_stages_too(staged: Staged) -> None:
    id_ = call("POST", "/v1/query", ASKED)[1]["request_id"]
    assert staged.reserved({}, f"/v1/receipts/{id_}/replay") == 6 * CONTEXT_TOKENS


def test_all_calls_are_charged_logged_and_kept(staged: Staged, caplog: pytest.LogCaptureFixture) -> None:
    _, answer, _ = call("POST", "/v1/query", ASKED)
    models = (staged.order, staged.wordings, staged.world.model)
    assert [len(model.asked) for model in models] == [1, 1, 1]
    line, used = line_of(caplog), answer["usage"]
    assert line["prompt_tokens"] == used["prompt_tokens"] > used["estimated_prompt_tokens"] + 400
    assert staged.world.principals.tokens == used["prompt_tokens"] + used["completion_tokens"]
    (receipt,) = staged.world.receipts.kept.values()
    assert (receipt.options["reranker"], receipt.options["expansion"]) == ("model", "on")
    assert line["skipped_stages"] == ()


def test_skipped_stages_are_in_the_log_and_counted(
    staged: Staged, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    staged.order.fails = staged.wordings.fails = ModelMissing("ollama", "ollama pull it")
    _, answer, _ = call("POST", "/v1/query", ASKED)
    assert (answer["status"], line_of(caplog)["skipped_stages"]) == ("answered", ("expansion", "reranking"))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["SkippedStages"] for line in lines if "SkippedStages" in line] == [[2.0]]
    assert (
        answer["usage"]["prompt_tokens"] == staged.world.principals.tokens - answer["usage"]["completion_tokens"]
    )


@pytest.mark.parametrize("failing", ["order", "wordings"])
def test_a_stage_that_breaks_off_is_charged_what_the_host_may_have_read(staged: Staged, failing: str) -> None:
    getattr(staged, failing).fails = Unavailable("ollama", "it broke off")
    _, answer, _ = call("POST", "/v1/query", ASKED)
    assert answer["status"] == "answered"
    assert answer["usage"]["prompt_tokens"] > answer["usage"]["estimated_prompt_tokens"] + 200


@pytest.mark.parametrize("failing", ["order", "wordings"])
def test_an_error_within_a_stage_is_charged_and_logged(
    staged: Staged, caplog: pytest.LogCaptureFixture, failing: str
) -> None:
    getattr(staged, failing).fails = RuntimeError("a bug")
    assert call("POST", "/v1/query", ASKED)[0] == 500
    line = line_of(caplog)
    assert line["outcome"] == "failed"
    assert 100 < staged.world.principals.tokens == line["prompt_tokens"] + line["completion_tokens"]


def test_a_search_that_fails_after_a_stage_that_cost_nothing_charges_nothing(staged: Staged) -> None:
    staged.wordings.fails = ModelMissing("ollama", "ollama pull it")
    staged.world.index.before_search = lambda: (_ for _ in ()).throw(Unavailable("chroma", "it is down"))
    assert call("POST", "/v1/query", ASKED)[0] == 503
    assert staged.world.principals.tokens == 0


@pytest.mark.parametrize("taken", range(4))
def test_a_client_that_leaves_is_charged_for_the_stages_that_ran(staged: Staged, taken: int) -> None:
    staged.world.runtime = RuntimeSettings(can_stream=True)
    answer = handler(event_of("POST", "/v1/query", ASKED | {"stream": True}), CONTEXT)
    assert isinstance(answer, StreamedResponse)
    with closing(answer):
        list(islice(answer.body, taken))
    read = 100 * sum(len(model.asked) for model in (staged.order, staged.wordings, staged.world.model))
    assert read <= staged.world.principals.tokens < CONTEXT_TOKENS
    assert not staged.world.principals.in_flight


@pytest.mark.parametrize(
    ("settings", "stages"),
    [({}, 0), ({"reranker": "model"}, 1), ({"expansion": "on"}, 1), ({"reranker": "cross-encoder"}, 0)],
)
def test_only_stages_at_the_model_host_count_as_its_calls(settings: dict[str, Any], stages: int) -> None:
    given: dict[str, Any] = {"bucket": "b", "chroma_url": "http://c", "model_dir": ".", "ollama_url": "http://o"}
    assert QuerySettings(**given, **settings).model_stages == stages
