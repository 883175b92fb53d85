"""Callers, streamed answers, feedback and receipts, through the handler on ports in memory."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from docwell.answers import Receipt
from docwell.audit import Action, AuditEvent
from docwell.config import RuntimeSettings
from docwell.errors import QuotaExceeded, Unavailable
from docwell.http import answering, sse
from docwell.http.streaming import StreamedResponse, stream_events
from docwell.identity import NO_CREDENTIAL, Principal
from docwell.query.retrieval.gates import OPEN
from functions.query.handler import handler
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import CONTEXT, KEY_OF_ALL, call, event_of, masked
from tests.unit.query.query_world import BOILER, EVERYTHING, QUESTION

ROUTES = [
    ("POST", "/v1/query", {"question": QUESTION}),
    ("POST", "/v1/feedback", {"request_id": "r", "verdict": "good"}),
    ("GET", "/v1/receipts/r", None),
    ("POST", "/v1/receipts/r/replay", None),
    ("GET", "/v1/documents", None),
    ("GET", "/v1/documents/house%2Frules.pdf", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
@pytest.mark.parametrize("key", [None, "revoked"])
def test_nobody_gets_nothing(world: HttpWorld, method: str, path: str, body: Any, key: str | None) -> None:
    status, problem, headers = call(method, path, body, key)
    assert (status, problem["type"]) == (401, "urn:docwell:problem:unauthenticated")
    assert headers["WWW-Authenticate"]
    assert world.principals.requests == 0


def test_the_status_of_one_document_costs_nothing(world: HttpWorld) -> None:
    world.principals.fails = QuotaExceeded("the requests of today are used up", 3599.2)
    assert call("GET", "/v1/documents/house%2Frules.pdf")[0] in {200, 404}
    assert world.principals.requests == 0


@pytest.mark.parametrize(("method", "path", "body"), [one for one in ROUTES if "/documents/" not in one[1]])
def test_a_used_up_quota_says_when_there_is_more(world: HttpWorld, method: str, path: str, body: Any) -> None:
    world.principals.fails = QuotaExceeded("the requests of today are used up", 3599.2)
    status, problem, headers = call(method, path, body)
    assert (status, problem["type"], headers["Retry-After"]) == (
        429,
        "urn:docwell:problem:quota-exceeded",
        ["3600"],
    )


@pytest.mark.parametrize(
    "more", [{"collection": "none"}, {"document": "house/none.pdf"}, {"top_k": 10_000}, {"stream": True}]
)
def test_a_used_up_quota_goes_before_whatever_else_is_wrong(world: HttpWorld, more: dict[str, Any]) -> None:
    world.principals.fails = QuotaExceeded("the requests of today are used up", 3599.2)
    status, _, _ = call("POST", "/v1/query", {"question": QUESTION, **more})
    assert status == 429
    assert world.model.asked == []


def test_a_question_that_cannot_be_answered_is_counted_before_it_is_told(world: HttpWorld) -> None:
    assert call("POST", "/v1/query", {"question": QUESTION, "collection": "none"})[0] == 404
    assert world.principals.requests == 1


def test_a_receipt_is_kept_although_its_charge_cannot_be_settled(
    world: HttpWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def settle(*_: object) -> None:
        raise Unavailable("principals", "throttled")

    monkeypatch.setattr(world.principals, "settle", settle)
    assert call("POST", "/v1/query", {"question": QUESTION})[0] == 200
    assert world.receipts.kept


def test_an_answer_whose_receipt_cannot_be_kept_is_given(
    world: HttpWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keep(_receipt: Receipt) -> None:
        raise Unavailable("receipts", "receipts: throttled")

    monkeypatch.setattr(world.receipts, "keep", keep)
    assert call("POST", "/v1/query", {"question": QUESTION})[0] == 200
    assert world.principals.tokens > 0
    assert not world.receipts.kept


def test_an_answer_is_charged_to_whoever_asked(world: HttpWorld) -> None:
    _, answer, _ = call("POST", "/v1/query", {"question": QUESTION})
    usage = answer["usage"]
    assert world.principals.tokens == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert world.principals.requests == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/query", {"question": QUESTION, "collection": "cellar"}),
        ("POST", "/v1/query", {"question": QUESTION, "document": "cellar/a.pdf"}),
        ("GET", "/v1/documents?collection=cellar", None),
        ("GET", "/v1/documents/cellar%2Fa.pdf", None),
    ],
)
def test_a_foreign_collection_looks_like_one_that_does_not_exist(
    world: HttpWorld, method: str, path: str, body: Any
) -> None:
    missing = masked(call(method, path, body, "house"))
    world.add("cellar/a.pdf", BOILER)
    foreign = masked(call(method, path, body, "house"))
    assert missing == foreign
    assert foreign[0] == 404


def test_documents_are_listed_for_the_principals_collections_alone(world: HttpWorld) -> None:
    world.add("cellar/a.pdf", BOILER)
    _, page, _ = call("GET", "/v1/documents", key="house")
    assert [one["document"] for one in page["documents"]] == ["house/rules.pdf"]


def streamed(world: HttpWorld, body: dict[str, Any], **headers: str) -> tuple[int, list[tuple[str, Any]]]:
    world.runtime = RuntimeSettings(can_stream=True)
    answer = handler(event_of("POST", "/v1/query", body, **headers), CONTEXT)
    assert isinstance(answer, StreamedResponse)
    with closing(answer):
        text = b"".join(answer.body).decode()
    return answer.status, list(sse.read(text.split("\n")))


@pytest.mark.parametrize("by_header", [True, False])
def test_a_stream_has_passages_then_tokens_then_the_whole_answer(world: HttpWorld, *, by_header: bool) -> None:
    body = {"question": QUESTION} | ({} if by_header else {"stream": True})
    status, events = streamed(world, body, **({"accept": "text/event-stream"} if by_header else {}))
    names = [name for name, _ in events]
    assert status == 200
    assert names == ["passages", *["token"] * (len(names) - 2), "answer"]
    assert "".join(data["text"] for name, data in events if name == "token") == "Every March [1]."
    assert events[0][1]["passages"][0]["number"] == 1
    assert events[-1][1]["answer"] == "Every March [1]."
    assert (EVERYTHING.id, events[-1][1]["request_id"]) in world.receipts.kept


def test_the_passages_of_a_stream_mark_the_sentence_that_most_likely_answers(world: HttpWorld) -> None:
    world.add("house/cellar.pdf", "The cellar of the house has a green door. It is often open.")
    events = streamed(world, {"question": QUESTION, "stream": True})[1]
    passages = events[0][1]["passages"]
    assert len(passages) == 2
    assert {one["document"]: one["likely"] for one in passages if one["likely"]} == {"house/rules.pdf": BOILER}


def test_a_stream_that_fails_before_its_first_event_is_an_ordinary_problem(world: HttpWorld) -> None:
    world.runtime = RuntimeSettings(can_stream=True)
    body = {"question": QUESTION, "stream": True, "collection": "none"}
    answer = handler(event_of("POST", "/v1/query", body), CONTEXT)
    assert isinstance(answer, StreamedResponse)
    assert answer.status == 404
    assert json.loads(b"".join(answer.body))["type"] == "urn:docwell:problem:not-found"


def test_a_model_that_fails_in_mid_stream_gives_an_error_event(world: HttpWorld) -> None:
    world.model.fails, world.model.fails_after = Unavailable("ollama", "it broke off"), 2
    _, events = streamed(world, {"question": QUESTION, "stream": True})
    assert [name for name, _ in events] == ["passages", "token", "error"]
    assert events[-1][1]["type"] == "urn:docwell:problem:dependency-unavailable"


def test_a_stream_is_a_whole_answer_where_the_runtime_cannot_stream(world: HttpWorld) -> None:
    answer = handler(event_of("POST", "/v1/query", {"question": QUESTION, "stream": True}), CONTEXT)
    assert not isinstance(answer, StreamedResponse)
    assert answer["multiValueHeaders"]["Content-Type"][0].startswith("text/event-stream")
    assert [name for name, _ in sse.read(answer["body"].split("\n"))][-1] == "answer"


def test_an_answer_without_events_goes_to_a_streaming_route_as_one_piece(world: HttpWorld) -> None:
    world.runtime = RuntimeSettings(can_stream=True)
    answer = handler(event_of("POST", "/v1/query", {"question": QUESTION}), CONTEXT)
    assert isinstance(answer, StreamedResponse)
    assert json.loads(b"".join(answer.body))["status"] == "answered"


def test_an_answer_is_written_down_after_it_was_sent_where_the_runtime_can_stream(world: HttpWorld) -> None:
    world.runtime = RuntimeSettings(can_stream=True)
    answer = handler(event_of("POST", "/v1/query", {"question": QUESTION}), CONTEXT)
    assert isinstance(answer, StreamedResponse)
    assert list(answer.body)
    assert not world.receipts.kept
    answer.close()
    assert world.receipts.kept


@pytest.mark.parametrize("stream", [True, False])
def test_the_audit_trail_names_the_caller_and_the_cited_documents_after_the_answer_was_sent(
    world: HttpWorld, *, stream: bool
) -> None:
    world.runtime = RuntimeSettings(can_stream=True)
    answer = handler(event_of("POST", "/v1/query", {"question": QUESTION, "stream": stream}), CONTEXT)
    assert isinstance(answer, StreamedResponse)
    assert list(answer.body)
    assert not world.audit.events
    answer.close()
    (event,) = world.audit.events
    assert (event.actor, event.action) == (f"key:{KEY_OF_ALL}", Action.ASKED)
    assert event.documents == {"house/rules.pdf"}
    assert QUESTION not in repr(event)
    assert "March" not in repr(event)


@pytest.mark.parametrize("says", ["I do not know.", "Every March [1].", "", "March"])
def test_the_audit_trail_names_each_document_whose_passages_a_stream_has_shown(
    world: HttpWorld, says: str
) -> None:
    world.runtime = RuntimeSettings(can_stream=True)
    world.add("house/cellar.pdf", "The boiler in the cellar is inspected often.")
    world.model.says = says
    answer = handler(event_of("POST", "/v1/query", {"question": QUESTION, "stream": True}), CONTEXT)
    assert isinstance(answer, StreamedResponse)
    with closing(answer):
        events = dict(sse.read(b"".join(answer.body).decode().split("\n")))
    shown = {passage["document"] for passage in events["passages"]["passages"]}
    assert shown == {"house/cellar.pdf", "house/rules.pdf"}
    (event,) = world.audit.events
    assert event.documents == shown


def test_an_answer_whose_audit_event_cannot_be_kept_is_given(
    world: HttpWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def append(_event: AuditEvent) -> None:
        raise Unavailable("audit", "audit: throttled")

    monkeypatch.setattr(world.audit, "append", append)
    assert call("POST", "/v1/query", {"question": QUESTION})[0] == 200
    assert world.receipts.kept


def test_a_streamed_answer_leaves_metrics_and_a_receipt(
    world: HttpWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    streamed(world, {"question": QUESTION, "stream": True})
    assert '"TimeToFirstToken"' in capsys.readouterr().out
    assert world.receipts.kept
    assert world.principals.tokens > 0


def test_a_client_that_leaves_while_its_answer_is_checked_is_charged(
    world: HttpWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def digest() -> str:
        await asyncio.sleep(0.1)
        return "weights"

    world.runtime = RuntimeSettings(can_stream=True)
    monkeypatch.setattr(world.model, "digest", digest)
    monkeypatch.setattr(answering, "stream_events", partial(stream_events, silence_s=0.02))
    answer = handler(event_of("POST", "/v1/query", {"question": QUESTION, "stream": True}), CONTEXT)
    assert isinstance(answer, StreamedResponse)
    assert sse.WAITING in answer.body
    answer.close()
    assert world.principals.tokens > 0
    assert world.receipts.kept


def test_links_in_tokens_are_left_out(world: HttpWorld) -> None:
    world.model.says = "Every March [1]. ![x](https://evil.example/?q=1) Indeed."
    _, events = streamed(world, {"question": QUESTION, "stream": True})
    assert "evil" not in json.dumps([data for name, data in events if name == "token"])


def test_an_answer_is_kept_and_can_be_judged_and_made_again(world: HttpWorld) -> None:
    one = call("POST", "/v1/query", {"question": QUESTION})[1]["request_id"]
    assert call("POST", "/v1/feedback", {"request_id": one, "verdict": "bad"})[0] == 200
    status, receipt, _ = call("GET", f"/v1/receipts/{one}")
    assert (status, receipt["verdict"], receipt["request"]["question"]) == (200, "bad", QUESTION)
    world.model.says = "The boiler is inspected every March [1]."
    charged, kept = world.principals.tokens, dict(world.receipts.kept)
    status, replay, _ = call("POST", f"/v1/receipts/{one}/replay")
    assert status == 200
    assert world.principals.tokens > charged
    assert world.receipts.kept == kept
    assert replay["then"]["answer"] == "Every March [1]."
    assert "answer" in {change["what"] for change in replay["changes"]}
    assert replay["now"]["answer"] == world.model.says


def test_a_refusal_before_the_model_is_explained_by_its_receipt_and_its_replay(world: HttpWorld) -> None:
    _, answer, _ = call("POST", "/v1/query", {"question": "quarterly revenue"})
    assert (answer["status"], world.model.asked) == ("refused", [])
    _, receipt, _ = call("GET", f"/v1/receipts/{answer['request_id']}")
    assert receipt["fit"] < receipt["options"]["min_fit"] == 0.4
    world.add("house/report.pdf", "The quarterly revenue is four.")
    world.model.says = "Four [1]."
    _, replay, _ = call("POST", f"/v1/receipts/{answer['request_id']}/replay")
    assert replay["fit"] >= replay["min_fit"] == 0.4
    (change,) = [one for one in replay["changes"] if one["what"] == "fit"]
    assert change["then"] == round(receipt["fit"], 3) < change["now"] == round(replay["fit"], 3)


@pytest.mark.parametrize("top_k", [1, 5, 20])
def test_an_answer_has_the_fit_that_the_gate_let_through(world: HttpWorld, top_k: int) -> None:
    _, answer, _ = call("POST", "/v1/query", {"question": QUESTION, "top_k": top_k})
    (receipt,) = world.receipts.kept.values()
    assert answer["status"] == "answered"
    assert receipt.fit is not None
    assert receipt.fit >= receipt.options["min_fit"]


def test_a_model_without_calibration_has_a_fit_and_no_threshold(world: HttpWorld) -> None:
    world.query = replace(world.query, gate=OPEN)
    call("POST", "/v1/query", {"question": QUESTION})
    (receipt,) = world.receipts.kept.values()
    assert (receipt.fit is None, "min_fit" in receipt.options, receipt.gate_refused) == (False, False, False)


def test_a_receipt_is_nobody_elses(world: HttpWorld) -> None:
    one = call("POST", "/v1/query", {"question": QUESTION})[1]["request_id"]
    assert call("GET", f"/v1/receipts/{one}", key="house")[0] == 404
    assert call("POST", f"/v1/receipts/{one}/replay", key="house")[0] == 404
    assert call("POST", "/v1/feedback", {"request_id": one, "verdict": "bad"}, "house")[0] == 404


def test_a_repeated_request_id_of_the_client_overwrites_nothing(world: HttpWorld) -> None:
    ids = [
        call("POST", "/v1/query", {"question": QUESTION}, **{"x-request-id": "one"})[1]["request_id"]
        for _ in range(3)
    ]
    assert {request_id for _, request_id in world.receipts.kept} == set(ids)
    assert len(set(ids)) == 3
    assert call("GET", "/v1/receipts/one")[0] == 404


@pytest.mark.parametrize("whose", ["none's", "another's"])
def test_feedback_without_an_own_receipt_is_a_404_and_moves_no_metric(
    world: HttpWorld, capsys: pytest.CaptureFixture[str], whose: str
) -> None:
    id_ = call("POST", "/v1/query", {"question": QUESTION})[1]["request_id"] if whose == "another's" else "none"
    told = call("POST", "/v1/feedback", {"request_id": id_, "verdict": "good"}, "house")
    assert (told[0], told[1]["detail"]) == (404, f"no receipt of request {id_!r} is kept")
    assert '"Feedback"' not in capsys.readouterr().out
    assert {receipt.verdict for receipt in world.receipts.kept.values()} <= {None}


def test_feedback_on_an_own_receipt_moves_the_metric(world: HttpWorld, capsys: pytest.CaptureFixture[str]) -> None:
    id_ = call("POST", "/v1/query", {"question": QUESTION})[1]["request_id"]
    assert call("POST", "/v1/feedback", {"request_id": id_, "verdict": "good"})[0] == 200
    assert '"Feedback"' in capsys.readouterr().out


def test_a_comment_goes_to_the_receipt_and_not_to_the_log_and_counts_no_second_verdict(
    world: HttpWorld, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    id_ = call("POST", "/v1/query", {"question": QUESTION})[1]["request_id"]
    verdict = {"request_id": id_, "verdict": "bad"}
    assert call("POST", "/v1/feedback", verdict)[0] == 200
    capsys.readouterr()
    assert call("POST", "/v1/feedback", {**verdict, "comment": "It is in April"})[0] == 200
    receipt = call("GET", f"/v1/receipts/{id_}")[1]
    assert (receipt["verdict"], receipt["comment"]) == ("bad", "It is in April")
    printed = capsys.readouterr().out
    assert '"Feedback"' not in printed
    assert "April" not in printed + caplog.text
    assert call("POST", "/v1/feedback", {**verdict, "comment": "x" * 1001})[0] == 400


def test_an_unknown_key_and_none_get_the_same_answer(world: HttpWorld) -> None:
    for sent in ({}, {"x-api-key": "wrong"}, {"authorization": "Bearer wrong"}):
        status, problem, headers = call("GET", "/v1/documents", None, None, **sent)
        assert (status, problem["detail"], headers["WWW-Authenticate"]) == (401, NO_CREDENTIAL, ["Bearer"])


def test_sam_local_asks_as_a_principal_of_its_own_that_has_what_it_was_given(world: HttpWorld) -> None:
    world.runtime = RuntimeSettings(AWS_SAM_LOCAL=True)
    assert call("POST", "/v1/query", {"question": QUESTION}, None)[0] == 401
    world.principals.known["key:sam-local"] = Principal("key:sam-local", frozenset({"house"}))
    assert call("POST", "/v1/query", {"question": QUESTION}, None)[0] == 200
