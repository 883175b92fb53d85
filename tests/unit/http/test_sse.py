from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docwell.config import RuntimeSettings
from docwell.http import sse
from docwell.http.streaming import StreamedResponse
from functions.query.handler import handler
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import CONTEXT, event_of
from tests.unit.query.query_world import QUESTION

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def test_an_event_has_its_name_and_one_line_of_json() -> None:
    assert sse.event("token", {"text": "é\n日本"}) == 'event: token\ndata: {"text":"é\\n日本"}\n\n'.encode()


@given(st.dictionaries(st.text(), JSON))
def test_whatever_is_sent_is_read_again_by_clients_that_part_lines_at_any_separator(data: dict[str, Any]) -> None:
    lines = sse.event("answer", data).decode().splitlines()
    assert list(sse.read(lines)) == [("answer", data)]


def test_a_lone_surrogate_is_escaped() -> None:
    assert b'"\\ud800"' in sse.event("token", {"text": "\ud800"})


def test_what_json_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        sse.event("answer", {"score": float("nan")})


def test_a_comment_is_no_event() -> None:
    assert list(sse.read(sse.WAITING.decode().splitlines())) == []


def test_a_reader_puts_lines_of_data_together_and_drops_what_is_cut_off() -> None:
    lines = ["retry: 3", "data:[1,", "data: 2]", "", ": comment", "event: answer", "data: {}"]
    assert list(sse.read(lines)) == [("message", [1, 2])]


def test_a_reader_says_so_when_data_is_not_json() -> None:
    with pytest.raises(json.JSONDecodeError):
        list(sse.read(["data: x", ""]))


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/query", {"question": QUESTION}),
        ("/v1/chat/completions", {"model": "docwell", "messages": [{"role": "user", "content": QUESTION}]}),
    ],
)
def test_only_events_tell_proxies_to_pass_on_each_piece(
    world: HttpWorld, path: str, body: dict[str, Any], *, streams: bool
) -> None:
    world.runtime = RuntimeSettings(can_stream=True)
    answer = handler(event_of("POST", path, {**body, "stream": streams}), CONTEXT)
    assert isinstance(answer, StreamedResponse)
    with closing(answer):
        assert answer.headers.get("X-Accel-Buffering") == ("no" if streams else None)
