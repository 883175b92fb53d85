"""The traces of a streamed overview that refuses and is followed by passages."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

from docwell.config import RuntimeSettings
from docwell.http import sse
from docwell.http.streaming import StreamedResponse
from docwell.models import Mark, Part
from docwell.query.retrieval.gates import Gate
from functions.query.handler import handler
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import CONTEXT, event_of
from tests.unit.query.query_world import BOILER

KEY = "house/rules.pdf"


def refused(world: HttpWorld, **more: Any) -> StreamedResponse:
    """Return the stream of an answer from an overview that supports nothing of what the model says."""
    world.runtime = RuntimeSettings(can_stream=True)
    world.index.mark("house", {f"{KEY}-7-live": [Mark(Part.OPENING, 0, len(BOILER))]})
    world.model.says = "Elephants sleep."
    asked = {"question": "What is this document about?", "stream": True}
    answer = handler(event_of("POST", "/v1/query", asked | more), CONTEXT)
    assert isinstance(answer, StreamedResponse)
    return answer


def test_the_audit_trail_names_the_document_of_an_overview_after_which_the_gate_refuses(world: HttpWorld) -> None:
    world.query = replace(world.query, gate=Gate(2.0))
    with closing(refused(world)) as answer:
        events = list(sse.read(b"".join(answer.body).decode().split("\n")))
    assert [len(data["passages"]) for name, data in events if name == "passages"] == [1, 0]
    (event,) = world.audit.events
    assert event.documents == {KEY}


def test_the_receipt_of_a_stream_that_was_left_has_no_text_of_an_overview_that_refused(world: HttpWorld) -> None:
    with closing(refused(world, document=KEY)) as answer:
        for piece in answer.body:
            if world.model.finished and b"event: passages" in piece:
                break
    (receipt,) = world.receipts.kept.values()
    assert (receipt.answer["status"], receipt.answer["answer"]) == ("abandoned", "")
