"""Server-sent events, streams of them, and the responses made of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docwell.errors import BadInput
from docwell.http import sse
from docwell.http.streaming import stream_events
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import begin
from tests.unit.query.query_world import QUESTION

SILENCE_S = 0.05
TOKEN = sse.event("token", {"text": "a"})


def failed(error: Exception) -> Mapping[str, Any]:
    return {"title": str(error)}


def streamed(events: AsyncGenerator[bytes]) -> Generator[bytes]:
    return stream_events(events, failed, SILENCE_S)


async def of(*pieces: bytes) -> AsyncGenerator[bytes]:
    for piece in pieces:
        yield piece


def test_comments_are_sent_in_a_silence_and_the_work_goes_on() -> None:
    waits, silent_until = 0, asyncio.Event()

    async def work() -> AsyncGenerator[bytes]:
        nonlocal waits
        yield TOKEN
        waits += 1
        await silent_until.wait()
        yield sse.event("answer", {})

    stream = streamed(work())
    assert next(stream) == TOKEN
    comments = [next(stream) for _ in range(3)]
    silent_until.set()
    *more, last = stream
    assert set(comments + more) == {b": waiting\n\n"}
    assert last == sse.event("answer", {})
    assert waits == 1


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_closing_cancels_the_work_and_waits_for_its_end(taken: int) -> None:
    ended: list[str] = []

    async def work() -> AsyncGenerator[bytes]:
        try:
            yield TOKEN
            await asyncio.sleep(3600)  # longer than a test may take
        finally:
            await asyncio.sleep(0.01)
            ended.append("ended")

    stream = streamed(work())
    for _ in range(taken):  # the second piece is a comment, because the work sleeps
        next(stream)
    stream.close()
    assert ended == ["ended"]


@pytest.mark.parametrize("expected", [[TOKEN], [TOKEN, b": waiting\n\n"]])
def test_work_that_fails_while_it_is_closed_is_closed(expected: list[bytes]) -> None:
    async def work() -> AsyncGenerator[bytes]:
        try:
            yield TOKEN
            await asyncio.sleep(60)
        finally:
            raise BadInput("too late for anybody")

    stream = streamed(work())
    assert [next(stream) for _ in expected] == expected
    stream.close()
    assert list(stream) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text(), JSON))
def test_events_are_read_again_by_clients_that_split_lines_at_any_separator(data: dict[str, Any]) -> None:
    lines = sse.event("answer", data).decode().splitlines()
    assert list(sse.read(lines)) == [("answer", data)]


@pytest.mark.parametrize("stream", [False, True])
def test_only_events_tell_proxies_to_pass_on_each_piece(world: HttpWorld, *, stream: bool) -> None:
    with closing(begin({"question": QUESTION, "stream": stream})) as answer:
        assert answer.headers.get("X-Accel-Buffering") == ("no" if stream else None)
