"""A body with thousands of errors costs as much as one with a single error, and gets a short answer."""

from __future__ import annotations

from typing import Any

import pytest

from docwell.http import edges
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import call
from tests.unit.query.query_world import QUESTION

MANY = 3000
CHAT = "/v1/chat/completions"


def asked(**fields: Any) -> dict[str, Any]:
    return {"question": QUESTION, **fields}


def conversation(*messages: Any) -> dict[str, Any]:
    return {"model": "docwell", "messages": list(messages)}


LISTS = {
    "turns that are numbers": ("/v1/query", asked(history=[0] * MANY)),
    "empty turns": ("/v1/query", asked(history=[{}] * MANY)),
    "collections": ("/v1/query", asked(collections=[0] * MANY)),
    "documents": ("/v1/search", asked(filter={"documents": [0] * MANY})),
    "messages": (CHAT, conversation(*[0] * 900)),
    "empty messages": (CHAT, conversation(*[{}] * 900)),
    "too many messages": (CHAT, conversation(*[0] * MANY)),
    "parts": (CHAT, conversation({"role": "user", "content": [0] * MANY})),
    "parts of many messages": (CHAT, conversation(*[{"role": "user", "content": [{}] * 10}] * 300)),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_wrong_entries_is_read_up_to_the_first(world: HttpWorld, name: str) -> None:
    path, body = LISTS[name]
    status, problem, _ = call("POST", path, body)
    assert status == 400
    told = problem["error"]["message"] if path == CHAT else problem["detail"]
    assert len(told.split("; ")) <= 4  # of a union, each kind


@pytest.mark.parametrize("path", ["/v1/query", "/v1/search", "/v1/feedback", "/v1/uploads"])
def test_of_thousands_of_unknown_fields_an_answer_names_some(world: HttpWorld, path: str) -> None:
    status, problem, _ = call("POST", path, {str(number): 1 for number in range(MANY)})
    assert (status, len(problem["errors"])) == (400, edges.MOST_ERRORS)


def test_of_thousands_of_unknown_arguments_a_tool_names_some(world: HttpWorld) -> None:
    params = {"name": "search", "arguments": asked(**{str(number): 1 for number in range(MANY)})}
    _, answer, _ = call("POST", "/v1/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    (content,) = answer["result"]["content"]
    assert answer["result"]["isError"]
    assert len(content["text"].split("; ")) == edges.MOST_ERRORS
