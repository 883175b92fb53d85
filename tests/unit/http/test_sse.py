from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docwell.http import sse

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
