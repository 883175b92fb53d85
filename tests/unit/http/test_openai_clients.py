"""Requests of chat clients, as their sources build them: each is answered, or rejected by name before a search."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from docwell.config import RuntimeSettings
from docwell.http import openai as chat
from docwell.http.streaming import StreamedResponse
from functions.query.handler import handler
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import CONTEXT, KEY_OF_ALL, HandlerTransport, event_of
from tests.unit.query.query_world import QUESTION

USER = {"role": "user", "content": QUESTION}
_TOOL = {"type": "function", "function": {"name": "read_file", "parameters": {"type": "object"}}}
QUESTIONS: dict[str, dict[str, Any]] = {
    "Open WebUI": {
        "stream": True,
        "messages": [{"role": "system", "content": "Today is Friday."}, USER],
        "stream_options": {"include_usage": True},
        "user": {"name": "Ada", "id": "1", "email": "ada@house.example", "role": "user"},
        "max_completion_tokens": 1000,
        "temperature": 0.8,
        "seed": 7,
        "logit_bias": None,
        "reasoning_effort": "low",
    },
    "LibreChat": {
        "model": "docwell/house",
        "temperature": 1,
        "top_p": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "user": "6650",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "name": "Ada", "content": [{"type": "text", "text": QUESTION}]},
        ],
    },
    "LangChain": {"messages": [USER], "n": 1, "stream": False, "stop": None, "max_tokens": 99},
    "an agent of an editor": {
        "messages": [{"role": "system", "content": "You are a coding agent."}, USER],
        "tools": [_TOOL],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "store": False,
    },
}
_TALK = f"<chat_history>\nUSER: {QUESTION}\nASSISTANT: Every March [1].\n</chat_history>"
TASKS = {
    "Open WebUI's title": "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat "
    f"history.\n### Guidelines:\n- Keep it clear.\n### Chat History:\n{_TALK}",
    "Open WebUI's next questions": "### Task:\nSuggest 3-5 relevant follow-up questions or prompts that the user "
    f"might naturally ask next.\n### Chat History:\n{_TALK}{'x' * 3000}",
    "LibreChat's title": "Provide a concise, 5-word-or-less title for the conversation, using title case "
    f"conventions. Only return the title itself.\n\nConversation:\nUser: {QUESTION}\nAI: Every March [1].",
    "LibreChat's title in a language": "Analyze this conversation and provide:\n1. The detected language of the "
    f"conversation\n2. A concise title in the detected language\n\nUser: {QUESTION}",
}


def complete(world: HttpWorld, **body: Any) -> httpx2.Response:
    world.runtime = RuntimeSettings(can_stream=True)
    headers = {"authorization": f"Bearer {KEY_OF_ALL}"}
    with httpx2.Client(transport=HandlerTransport(), base_url="http://docwell/v1", headers=headers) as client:
        return client.post("/chat/completions", json={"model": "docwell", **body})


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_question_of_a_client_is_answered(world: HttpWorld, name: str) -> None:
    answer = complete(world, **QUESTIONS[name])
    assert answer.status_code == 200, answer.text
    assert "Every March [1]." in answer.text
    assert answer.text.endswith("data: [DONE]\n\n") == bool(QUESTIONS[name].get("stream"))


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_clients_own_task_is_rejected_before_a_search(world: HttpWorld, name: str, stream: bool) -> None:
    answer = complete(world, messages=[{"role": "user", "content": TASKS[name]}], stream=stream)
    error = {"message": chat.SIDE_TASK, "type": "invalid_request_error", "param": "messages", "code": "bad-input"}
    assert (answer.status_code, answer.json()) == (400, {"error": error})
    assert (world.principals.requests, world.principals.tokens) == (1, 0)
    assert (world.receipts.kept, world.audit.events) == ({}, [])


@pytest.mark.parametrize(
    "question",
    [
        f"Provide a title of 5 words. {QUESTION}",
        f"### Task:\n{QUESTION}",
        f"{QUESTION} {_TALK}",
        f"Analyze this conversation and provide:\n1. The month of the inspection\n\nAnn: {QUESTION}",
    ],
)
def test_a_question_with_words_of_a_task_is_a_question(world: HttpWorld, question: str) -> None:
    assert complete(world, messages=[{"role": "user", "content": question}]).status_code == 200
    assert world.receipts.kept


def test_a_conversation_may_be_longer_than_other_requests(world: HttpWorld) -> None:
    turn = [{"role": "user", "content": "And then?"}, {"role": "assistant", "content": "It is so [1]. " * 100}]
    answer = complete(world, messages=[*turn * 200, USER])
    assert answer.status_code == 200
    ((_, receipt),) = world.receipts.kept.items()
    assert len(receipt.request["history"]) == 5


@pytest.mark.parametrize("path", ["/v1/query", "/v1/chat/completions"])
@pytest.mark.parametrize("body", [{"model": "docwell", "messages": [USER]}, {"question": QUESTION}, "{"])
def test_a_slash_at_the_end_of_a_path_changes_nothing(world: HttpWorld, path: str, body: object) -> None:
    """API Gateway passes the slash on, and expects a stream of both forms."""
    world.runtime = RuntimeSettings(can_stream=True)
    found = []
    for end in ("", "/"):
        answer = handler(event_of("POST", path + end, body), CONTEXT)
        assert isinstance(answer, StreamedResponse)
        found.append((answer.status, answer.headers["Content-Type"], [*json.loads(b"".join(answer.body))]))
        answer.close()
    assert found[0] == found[1]
