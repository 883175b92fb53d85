from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator, Mapping
from contextvars import ContextVar
from typing import Any

import pytest

from docwell.errors import BadInput, Cancelled
from docwell.http import sse
from docwell.http.streaming import Emit, StreamedResponse, Work, stream_events

SILENCE_S = 0.05


def failed(error: Exception) -> Mapping[str, Any]:
    return {"title": str(error)}


def events(work: Work) -> Generator[bytes]:
    return stream_events(work, failed, SILENCE_S)


def threads() -> int:
    return threading.active_count()


def test_events_come_while_the_work_goes_on() -> None:
    go_on = threading.Event()

    def work(emit: Emit, _: threading.Event) -> None:
        emit("token", {"text": "a"})
        assert go_on.wait(5)
        emit("token", {"text": "b"})

    stream = events(work)
    assert next(stream) == sse.event("token", {"text": "a"})
    go_on.set()
    rest = [piece for piece in stream if not piece.startswith(b":")]
    assert rest == [sse.event("token", {"text": "b"})]


def test_what_goes_wrong_before_the_first_event_is_raised() -> None:
    def work(_emit: Emit, _: threading.Event) -> None:
        raise BadInput("too long")

    with pytest.raises(BadInput, match="too long"):
        events(work)


def test_what_goes_wrong_later_is_an_error_event_and_the_last() -> None:
    def work(emit: Emit, _: threading.Event) -> None:
        emit("token", {})
        raise BadInput("too long")

    assert list(events(work)) == [sse.event("token", {}), sse.event("error", {"title": "too long"})]


def test_work_without_events_is_an_empty_stream() -> None:
    assert list(events(lambda _emit, _cancel: None)) == []


def test_comments_are_sent_in_a_silence() -> None:
    go_on = threading.Event()

    def work(emit: Emit, _: threading.Event) -> None:
        emit("token", {})
        assert go_on.wait(5)
        emit("answer", {})

    stream = events(work)
    assert next(stream) == sse.event("token", {})
    begun = time.monotonic()
    comments = [next(stream) for _ in range(3)]
    assert time.monotonic() - begun > 2.9 * SILENCE_S  # each after a silence of its own
    go_on.set()
    *more, last = stream
    assert set(comments + more) == {b": waiting\n\n"}
    assert last == sse.event("answer", {})


@pytest.mark.parametrize("taken", [0, 1])
def test_closing_tells_the_work_to_stop_and_waits_for_it(taken: int) -> None:
    before, ended = threads(), threading.Event()

    def work(emit: Emit, cancel: threading.Event) -> None:
        emit("token", {})
        assert cancel.wait(5)
        time.sleep(0.1)
        ended.set()

    stream = events(work)
    for _ in range(taken):
        next(stream)
    stream.close()
    assert ended.is_set()
    assert threads() == before


def test_work_that_never_looks_is_stopped_at_its_next_event() -> None:
    stopped = threading.Event()

    def work(emit: Emit, _: threading.Event) -> None:
        try:
            while True:
                emit("token", {})
                time.sleep(0.01)
        except Cancelled:
            stopped.set()
            raise

    events(work).close()
    assert stopped.is_set()


def test_the_work_sees_the_context_of_the_caller() -> None:
    name = ContextVar("name", default="nobody")
    name.set("request-7")

    def work(emit: Emit, _: threading.Event) -> None:
        emit("token", {"text": name.get()})

    assert list(events(work)) == [sse.event("token", {"text": "request-7"})]


def test_a_prelude_is_json_and_eight_zero_bytes() -> None:
    response = StreamedResponse(200, {"Content-Type": "text/event-stream", "X": "\0"}, events(lambda *_: None))
    text, zeros = response.prelude()[:-8], response.prelude()[-8:]
    assert json.loads(text) == {"statusCode": 200, "headers": {"Content-Type": "text/event-stream", "X": "\0"}}
    assert zeros == bytes(8)
    assert 0 not in text


def test_a_runtime_that_cannot_stream_gets_all_at_once() -> None:
    def work(emit: Emit, _: threading.Event) -> None:
        emit("token", {"text": "é"})
        emit("answer", {})

    answer = StreamedResponse(200, {"A": "b"}, events(work)).buffered()
    body = (sse.event("token", {"text": "é"}) + sse.event("answer", {})).decode()
    assert answer == {"statusCode": 200, "headers": {"A": "b"}, "body": body, "isBase64Encoded": False}
