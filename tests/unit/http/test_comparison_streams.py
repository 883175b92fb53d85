"""A streamed comparison, and its charge, audit and receipt where its client leaves."""

from __future__ import annotations

from contextlib import closing

import pytest

from docwell.config import RuntimeSettings
from docwell.http import sse
from docwell.http.streaming import StreamedResponse
from functions.query.handler import handler
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import CONTEXT, call, event_of

NORTH, SOUTH = "house/north.pdf", "house/south.pdf"
ASKED = {"question": "What is inspected in north and in south?"}


@pytest.fixture
def comparing(world: HttpWorld) -> HttpWorld:
    world.add(NORTH, "The pump is inspected each spring.")
    world.add(SOUTH, "The pump is inspected each autumn.")
    world.row_model.says = "The pump is inspected [1]."
    return world


def streamed(world: HttpWorld) -> StreamedResponse:
    world.runtime = RuntimeSettings(can_stream=True)
    answer = handler(event_of("POST", "/v1/query", ASKED | {"stream": True}), CONTEXT)
    assert isinstance(answer, StreamedResponse)
    return answer


def test_a_stream_has_the_rows_of_the_answer(comparing: HttpWorld) -> None:
    with closing(streamed(comparing)) as answer:
        events = list(sse.read(b"".join(answer.body).decode().split("\n")))
    assert [name for name, _ in events] == ["passages", "token", "token", "answer"]
    assert {one["document"] for one in events[0][1]["passages"]} == {NORTH, SOUTH}
    told = "".join(data["text"] for name, data in events if name == "token")
    assert (
        events[-1][1]["answer"]
        == told.strip()
        == ("- north: The pump is inspected [1].\n- south: The pump is inspected [2].")
    )
    assert events[-1][1]["mode"] == "compare"


def test_a_client_that_leaves_after_a_row_is_charged_for_what_was_read_and_written(comparing: HttpWorld) -> None:
    with closing(streamed(comparing)) as answer:
        for piece in answer.body:
            if b"event: token" in piece:
                break
    assert len(comparing.row_model.asked) == 1
    (receipt,) = comparing.receipts.kept.values()
    assert (receipt.answer["status"], receipt.answer["mode"]) == ("abandoned", "compare")
    assert receipt.answer["answer"].startswith("- north: The pump")
    usage = receipt.answer["usage"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == comparing.principals.tokens > 300
    assert usage["completion_tokens"] == 5
    (event,) = comparing.audit.events
    assert event.documents == {NORTH, SOUTH}


def test_a_replay_compares_again_and_names_a_change_of_mode(comparing: HttpWorld) -> None:
    id_ = call("POST", "/v1/query", ASKED)[1]["request_id"]
    assert call("POST", f"/v1/receipts/{id_}/replay")[1]["changes"] == []
    comparing.row_model.says = "NOT FOUND"
    comparing.model.says = "The pump is inspected each spring [1]."
    changes = {change["what"]: change for change in call("POST", f"/v1/receipts/{id_}/replay")[1]["changes"]}
    assert (changes["mode"]["then"], changes["mode"]["now"]) == ("compare", "passages")
