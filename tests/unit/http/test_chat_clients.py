"""The requests that Open WebUI and LibreChat send to a server with OpenAI's protocol, read from their sources.

Open WebUI: backend/open_webui/routers/openai.py and tasks.py. LibreChat: packages/api/src/endpoints/openai/llm.ts,
whose client is LangChain's for JavaScript.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from docwell.query.reports import REFUSAL
from functions.query.handler import handler
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import CONTEXT, call, event_of
from tests.unit.query.query_world import BOILER, QUESTION

CHAT = "/v1/chat/completions"
Body = dict[str, Any]
BEFORE = [
    {"role": "user", "content": "What is in the house?"},
    {"role": "assistant", "content": "A boiler [1].\n\nSources:\n\n1. [house/rules.pdf, page 7](https://b/k)"},
]


def text(value: str) -> list[Body]:
    return [{"type": "text", "text": value}]


# From version 0.10 on, a chat offers the tools that Open WebUI has itself, whatever its user chose.
CLOCK = {
    "type": "function",
    "function": {
        "name": "get_current_timestamp",
        "description": "Return the time.",
        "parameters": {"type": "object", "properties": {}, "required": []},
    },
}
OPEN_WEBUI: dict[str, Body] = {
    "a first question": {
        "stream": True,
        "model": "docwell",
        "messages": [{"role": "user", "content": QUESTION}],
        "stream_options": {"include_usage": True},
        "tools": [CLOCK],
    },
    "no tools": {
        "stream": True,
        "model": "docwell",
        "messages": [{"role": "user", "content": QUESTION}],
        "tools": [],
    },
    "a model with a system prompt and parameters": {
        "stream": True,
        "model": "docwell/house",
        "messages": [
            {"role": "system", "content": "Answer briefly."},
            *BEFORE,
            {"role": "user", "content": QUESTION},
        ],
        "temperature": 0.8,
        "top_p": 0.9,
        "max_tokens": 128,
        "frequency_penalty": 1.1,
        "presence_penalty": 0.0,
        "seed": 42,
        "logit_bias": {},
        "reasoning_effort": "medium",
    },
    "parts with a cache mark": {
        "stream": False,
        "model": "docwell",
        "messages": [
            *BEFORE,
            {"role": "user", "content": [{**text(QUESTION)[0], "cache_control": {"type": "ephemeral"}}]},
        ],
        "reasoning": {"effort": "low"},
        "chat_id": "7d",
    },
    "a user of a pipeline": {
        "stream": False,
        "model": "docwell",
        "messages": [{"role": "user", "content": QUESTION}],
        "user": {"name": "x", "id": "1", "email": "x@example.org", "role": "user"},
    },
}
LIBRECHAT: dict[str, Body] = {
    "a first question": {
        "model": "docwell",
        "user": "66f0",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": QUESTION}],
    },
    "an agent with instructions": {
        "model": "docwell/house",
        "temperature": 1,
        "top_p": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "max_tokens": 500,
        "n": 1,
        "user": "66f0",
        "tools": [CLOCK],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "system", "content": text("You help the caretaker.")},
            {"role": "user", "name": "ada", "content": text("What is in the house?")},
            {"role": "assistant", "content": text("A boiler [1].")},
            {"role": "user", "name": "ada", "content": text(QUESTION)},
        ],
    },
    "a reasoning model's names": {
        "model": "docwell",
        "max_completion_tokens": 500,
        "reasoning_effort": "low",
        "verbosity": "low",
        "stream": False,
        "messages": [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": QUESTION}],
    },
}
SHAPES = [
    pytest.param(body, id=f"{client}: {name}")
    for client, shapes in (("Open WebUI", OPEN_WEBUI), ("LibreChat", LIBRECHAT))
    for name, body in shapes.items()
]


def streamed(body: Body) -> list[Body]:
    """The chunks of a streamed answer, as both clients split it: a JSON object on each `data:` line."""
    answer = handler(event_of("POST", CHAT, body, accept="text/event-stream"), CONTEXT)
    assert answer["statusCode"] == 200, answer["body"]
    assert answer["multiValueHeaders"]["Content-Type"] == ["text/event-stream"]
    lines = [line.removeprefix("data: ") for line in answer["body"].splitlines() if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("body", SHAPES)
def test_a_question_of_a_chat_client_is_answered_with_its_source(world: HttpWorld, body: Body) -> None:
    world.rewriter.says = QUESTION
    if body["stream"]:
        chunks = streamed(body)
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        answer = "".join(choice["delta"].get("content", "") for choice in choices)
        assert choices[-1]["finish_reason"] == "stop"
        annotations = [one for choice in choices for one in choice["delta"].get("annotations", [])]
        used = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
        assert len(used) == ("stream_options" in body)
    else:
        status, whole, _ = call("POST", CHAT, body)
        assert status == 200, whole
        (choice,) = whole["choices"]
        answer, annotations = choice["message"]["content"], choice["message"]["annotations"]
        assert whole["usage"]["total_tokens"] > 0
    assert answer.startswith("Every March [1].\n\nSources:\n\n1. ")
    assert BOILER in answer
    (annotation,) = annotations
    # Open WebUI lists these two as a source.
    assert annotation["url_citation"]["title"].startswith("house/rules.pdf")
    assert annotation["url_citation"]["url"].startswith("https://")


@pytest.mark.parametrize("body", SHAPES)
def test_instructions_and_old_sources_are_not_in_the_question(world: HttpWorld, body: Body) -> None:
    world.rewriter.says = QUESTION
    handler(event_of("POST", CHAT, body), CONTEXT)
    (receipt,) = world.receipts.kept.values()
    assert receipt.request["question"] == QUESTION
    assert [turn["answer"] for turn in receipt.request.get("history") or []] in ([], ["A boiler [1]."])


def test_both_list_the_models_with_a_bearer_key(world: HttpWorld) -> None:
    status, listed, _ = call("GET", "/v1/models", authorization="Bearer all")
    assert status == 200
    assert [one["id"] for one in listed["data"]] == ["docwell", "docwell/house"]
    assert all(one["object"] == "model" and one["owned_by"] for one in listed["data"])


TASK = "### Task:\nWrite a title of three words for the chat, as JSON.\n### Chat:\nUSER: {}\nASSISTANT: {}"


def test_a_title_of_a_short_chat_is_a_refusal_that_no_client_takes_for_json(world: HttpWorld) -> None:
    world.model.says = REFUSAL
    content = TASK.format("Who won the cup?", REFUSAL)
    body = {
        "model": "docwell",
        "messages": [{"role": "user", "content": content}],
        "stream": False,
        "max_completion_tokens": 1000,
    }
    status, answer, _ = call("POST", CHAT, body)
    assert (status, answer["choices"][0]["finish_reason"]) == (200, "stop")
    assert "{" not in answer["choices"][0]["message"]["content"]


def test_a_title_of_a_long_chat_is_an_error_before_the_model_is_asked(world: HttpWorld) -> None:
    body = {"model": "docwell", "messages": [{"role": "user", "content": TASK.format("x" * 1000, "y" * 2000)}]}
    status, answer, _ = call("POST", CHAT, body | {"stream": False})
    assert (status, answer["error"]["type"], answer["error"]["code"]) == (
        400,
        "invalid_request_error",
        "bad-input",
    )
    assert world.model.asked == []
    assert world.principals.tokens == 0
