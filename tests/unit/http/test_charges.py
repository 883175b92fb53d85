"""Every question is charged before the model is asked, then settled, logged and kept, however its answer ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any
from unittest.mock import Mock

import pytest

from docwell.answers import Completion, Message
from docwell.config import QueryLimits
from docwell.deadline import Deadline, run
from docwell.errors import DeadlineExceeded, ModelMissing, Overloaded, Unavailable
from docwell.http import answering, sse
from docwell.http.bodies import QueryRequest, most_model_calls
from docwell.http.edges import RequestAdmission
from docwell.http.streaming import stream_events
from docwell.identity import Identity, Principal
from docwell.ports import Reservation
from docwell.query.checking.check import NO_SOURCE, Checked, Checker
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import begin, call
from tests.unit.query.query_world import QUESTION

CONTEXT_TOKENS = QueryLimits().num_ctx
ASKED = {"question": QUESTION}
FOLLOW_UP = {"question": "how often?", "history": [{"question": "Is the boiler inspected?", "answer": "Yes [1]."}]}
BROKEN = Unavailable("ollama", "it broke off")


class Ending:
    """The traces of one question: its log line, its receipt, its charge."""

    def __init__(self, world: HttpWorld, caplog: pytest.LogCaptureFixture) -> None:
        self.lines = [vars(record) for record in caplog.records if record.message == "answered"]
        self.receipts = list(world.receipts.kept.values())
        self.tokens = world.principals.tokens
        assert not world.principals.in_flight
        assert world.principals.requests == 1

    def is_(self, outcome: str, reason: str | None = None) -> None:
        """Check that all traces tell this ending, and the same tokens."""
        (line,), (receipt,) = self.lines, self.receipts
        assert (line["outcome"], line.get("fallback_reason")) == (outcome, reason)
        assert (receipt.answer["status"], receipt.answer["fallback_reason"]) == (outcome, reason)
        assert receipt.answer["usage"]["prompt_tokens"] == line["prompt_tokens"]
        assert line["prompt_tokens"] + line["completion_tokens"] == self.tokens


@pytest.fixture
def ending(world: HttpWorld, caplog: pytest.LogCaptureFixture) -> partial[Ending]:
    caplog.set_level("INFO", "docwell-test")
    world.rewriter.says = QUESTION
    return partial(Ending, world, caplog)


@pytest.mark.parametrize(
    ("body", "calls"),
    [
        (ASKED, 3),
        (FOLLOW_UP, 4),
        (ASKED | {"mode": "passages"}, 1),
        (FOLLOW_UP | {"mode": "passages"}, 2),
        (ASKED | {"mode": "overview"}, 2),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_the_most_that_a_question_can_use_is_charged_before_the_model_is_asked(
    world: HttpWorld, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any], calls: int, *, stream: bool
) -> None:
    charged: list[int] = []

    async def chat(
        self: object, messages: Sequence[Message], timeout_s: float
    ) -> AsyncGenerator[str | Completion]:
        charged.append(world.principals.tokens)
        yield "Every March [1]."
        yield Completion("Every March [1].", 700, 9, "stop")

    for model in (world.model, world.rewriter):
        monkeypatch.setattr(model, "chat", partial(chat, model))
    call("POST", "/v1/query", body) if not stream else list(begin(body | {"stream": True}).body)
    assert set(charged) == {calls * CONTEXT_TOKENS}


# A stream has its passages, two words, the last one once the answer is checked, and the answer.
@pytest.mark.parametrize("pieces_read", range(6))
@pytest.mark.parametrize("body", [ASKED, FOLLOW_UP], ids=["question", "follow-up"])
def test_a_client_that_leaves_a_stream_anywhere_is_charged_logged_and_has_its_receipt(
    world: HttpWorld, ending: partial[Ending], body: dict[str, Any], pieces_read: int
) -> None:
    answer = begin(body | {"stream": True})
    with closing(answer):
        pieces = list(islice(answer.body, pieces_read))
    traces = ending()
    traces.is_("abandoned" if pieces_read < 4 else "answered")
    assert world.model.finished == (pieces_read > 3)  # who leaves earlier stops the model
    assert (traces.tokens > 0) == bool(world.model.asked or world.rewriter.asked)
    assert traces.tokens < CONTEXT_TOKENS
    text = "".join(data.get("text", "") for _, data in sse.read(b"".join(pieces).decode().split("\n")))
    assert text in traces.receipts[0].answer["answer"]


@pytest.mark.parametrize("checks", [True, False])
def test_a_client_that_leaves_while_it_waits_is_charged_what_the_model_used(
    world: HttpWorld, ending: partial[Ending], monkeypatch: pytest.MonkeyPatch, *, checks: bool
) -> None:
    async def reads(messages: Sequence[Message], timeout_s: float) -> AsyncGenerator[str | Completion]:
        await asyncio.sleep(60)
        yield ""

    def check(*_: object) -> Checked:
        time.sleep(1)
        return NO_SOURCE

    monkeypatch.setattr(answering, "stream_events", partial(stream_events, silence_s=0.2))
    monkeypatch.setattr(Checker, "check", check)
    if not checks:
        monkeypatch.setattr(world.model, "chat", reads)
    world.model.prompt_tokens = 777
    answer = begin(ASKED | {"stream": True})
    assert sse.WAITING in answer.body  # neither model nor check holds the loop
    answer.close()
    traces = ending()
    traces.is_("abandoned")
    assert checks or traces.lines[0]["model_host_s"] > 0  # the model of `checks` answers at once
    assert 100 < traces.tokens < 777 or traces.tokens == 777 + len(world.model.says.split())
    assert (traces.tokens > 777) == checks


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DeadlineExceeded("ollama", "too slow"), "deadline-exceeded"),
        (BROKEN, "dependency-unavailable"),
        (RuntimeError("a bug"), "internal-error"),
    ],
)
def test_an_answer_that_fails_is_charged_logged_and_kept(
    world: HttpWorld, ending: partial[Ending], error: Exception, reason: str, after: int, *, stream: bool
) -> None:
    world.model.fails, world.model.fails_after = error, after
    if stream:
        with closing(begin(ASKED | {"stream": True})) as answer:
            assert b"event: error" in b"".join(answer.body)
    else:
        assert call("POST", "/v1/query", ASKED)[0] >= 500
    traces = ending()
    traces.is_("failed", reason)
    assert traces.tokens > 100
    assert traces.lines[0]["completion_tokens"] == after


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("error", [DeadlineExceeded("ollama", "too slow"), BROKEN])
def test_an_extractive_answer_is_charged_what_the_model_has_read_and_written(
    world: HttpWorld, ending: partial[Ending], error: Unavailable, after: int
) -> None:
    world.model.fails, world.model.fails_after = error, after
    _, answer, _ = call("POST", "/v1/query", ASKED | {"fallback": "extractive"})
    traces = ending()
    traces.is_("extractive", error.problem)
    assert traces.tokens > 100 + after
    assert answer["usage"]["completion_tokens"] == after


@pytest.mark.parametrize("error", [Overloaded("ollama", "it rests", 7.5), ModelMissing("ollama", "pull it")])
@pytest.mark.parametrize("fallback", ["none", "extractive"])
def test_a_host_that_read_nothing_is_not_charged(
    world: HttpWorld, ending: partial[Ending], error: Unavailable, fallback: str
) -> None:
    world.model.fails = error
    call("POST", "/v1/query", ASKED | {"fallback": fallback})
    traces = ending()
    traces.is_("failed" if fallback == "none" else "extractive", error.problem)
    assert traces.tokens == 0


@pytest.mark.parametrize(("question", "asked"), [(QUESTION, True), ("zebra?", False)])
def test_a_refusal_is_charged_only_where_the_model_was_asked(
    world: HttpWorld, ending: partial[Ending], question: str, asked: bool
) -> None:
    world.model.says = "NOT FOUND"
    assert call("POST", "/v1/query", {"question": question})[1]["status"] == "refused"
    traces = ending()
    traces.is_("refused")
    assert (traces.tokens > 100) == (traces.tokens > 0) == asked


def test_a_rewriting_that_fails_is_charged_too(world: HttpWorld, ending: partial[Ending]) -> None:
    world.rewriter.fails = BROKEN
    _, answer, _ = call("POST", "/v1/query", FOLLOW_UP)
    alone = world.model.asked[0]
    assert answer["usage"]["prompt_tokens"] > answer["usage"]["estimated_prompt_tokens"] * 1.2 > len(alone)
    ending().is_("answered")


@pytest.mark.parametrize(
    "body",
    [
        {"question": QUESTION, "collection": "none"},
        {"question": QUESTION, "top_k": 10_000},
        {"question": f"{QUESTION} {chr(0x1F525) * 1900}"},
        {"question": "x", "history": [{"question": "\U0001f525", "answer": "b"}] * 11},
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_question_that_begins_no_answer_gives_back_its_tokens_and_its_slot(
    world: HttpWorld, ending: partial[Ending], body: dict[str, Any], *, stream: bool
) -> None:
    world.query = replace(world.query, limits=QueryLimits(num_ctx=4096))
    if stream:
        begin(body | {"stream": True}).close()
    else:
        call("POST", "/v1/query", body)
    traces = ending()
    assert (traces.lines, traces.receipts, traces.tokens) == ([], [], 0)


@pytest.mark.parametrize("known", [True, False])
def test_a_replay_is_reserved_and_settled(world: HttpWorld, *, known: bool) -> None:
    id_ = call("POST", "/v1/query", ASKED)[1]["request_id"]
    before = world.principals.tokens
    status, _, _ = call("POST", f"/v1/receipts/{id_ if known else 'none'}/replay")
    assert (status, not world.principals.in_flight) == (200 if known else 404, True)
    assert world.principals.tokens == before * (2 if known else 1)


def test_a_replay_that_fails_is_charged_and_logged(world: HttpWorld, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "docwell-test")
    id_ = call("POST", "/v1/query", ASKED)[1]["request_id"]
    before, world.model.fails = world.principals.tokens, BROKEN
    assert call("POST", f"/v1/receipts/{id_}/replay")[0] == 503
    assert world.principals.tokens > before
    outcomes = [vars(record)["outcome"] for record in caplog.records if record.message == "answered"]
    assert outcomes == ["answered", "failed"]
    assert len(world.receipts.kept) == 1


def test_a_question_that_ends_after_its_rewriting_pays_the_rewriting_alone(
    world: HttpWorld, ending: partial[Ending]
) -> None:
    def down() -> None:
        raise Unavailable("chroma", "chroma cannot be reached")

    world.rewriter.prompt_tokens = 77
    world.index.before_search = down
    assert call("POST", "/v1/query", FOLLOW_UP)[0] == 503
    traces = ending()
    traces.is_("failed", "dependency-unavailable")
    assert traces.tokens == 77 + len(QUESTION.split())


def test_a_list_reserves_no_more_than_the_passages_that_may_answer_in_its_place() -> None:
    modes = ("passages", "list", "auto")
    calls = [most_model_calls(QueryRequest.model_validate({"question": "q", "mode": mode})) for mode in modes]
    assert calls[0] == calls[1] < calls[2]


# --- the admission of one request ---


ANN = Principal("key:ann", frozenset({"house"}))
PATIENT_S = 30.0


def admission(principals: Mock, seconds: float, tokens: int = 0) -> RequestAdmission:
    return RequestAdmission(Identity(ANN.id), principals, Deadline(seconds), tokens)


def test_a_lookup_that_hangs_ends_within_its_share_of_the_deadline() -> None:
    answers = threading.Event()
    principals = Mock(find=lambda *_: answers.wait(PATIENT_S) and ANN)
    try:
        with pytest.raises(DeadlineExceeded):
            run(admission(principals, 0.2).identified())
    finally:
        answers.set()


def test_a_caller_that_waits_no_longer_does_not_stop_the_charge() -> None:
    answers = threading.Event()
    principals = Mock(find=lambda *_: answers.wait(PATIENT_S) and ANN)

    async def work() -> None:
        request = admission(principals, PATIENT_S)
        waiting = asyncio.create_task(request.admitted())
        await asyncio.sleep(0.01)
        waiting.cancel()
        answers.set()
        await request.admitted()

    run(work())
    principals.charge.assert_called_once_with(ANN)


def test_tokens_that_are_reserved_after_the_time_is_up_are_given_back_once() -> None:
    reserves, settled = threading.Event(), threading.Event()
    reservation = Reservation(ANN.id, "today", "1", 4096)
    principals = Mock(find=lambda *_: ANN, reserve=lambda *_: reserves.wait(PATIENT_S) and reservation)
    principals.settle.side_effect = lambda *_: settled.set()
    request = admission(principals, 0.5, tokens=4096)
    try:
        with pytest.raises(DeadlineExceeded):
            run(request.admitted())
        request.settle(0)  # the follow-up
        principals.settle.assert_not_called()
    finally:
        reserves.set()
    assert settled.wait(PATIENT_S)
    principals.settle.assert_called_once_with(reservation, 0)
