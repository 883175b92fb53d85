"""OpenAI's protocol with the official client, through the handler on ports in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from docwell.audit import Action
from docwell.citation_units import CitationUnit, UnitKind
from docwell.config import RuntimeSettings
from docwell.errors import Overloaded, QuotaExceeded
from docwell.http import openai as chat
from docwell.identity import Principal, Rule
from docwell.query.reports import REFUSAL
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import KEY_OF_ALL, HandlerTransport, call
from tests.unit.query.query_world import BOILER, QUESTION

LINK = "https://bucket/house/rules.pdf?versionId=v1#page=7"
SOURCES = f"\n\nSources:\n\n1. [house/rules.pdf, page 7 (printed iv)]({LINK}): “{BOILER}”"
USER: ChatCompletionMessageParam = {"role": "user", "content": QUESTION}


def client_of(key: str) -> openai.OpenAI:
    http = httpx2.Client(transport=HandlerTransport())
    return openai.OpenAI(api_key=key, base_url="http://docwell/v1", http_client=http, max_retries=0)


@pytest.fixture
def client(world: HttpWorld) -> Iterator[openai.OpenAI]:
    world.runtime = RuntimeSettings(can_stream=True)
    with client_of(KEY_OF_ALL) as client:
        yield client


def test_the_models_are_all_documents_and_each_readable_collection(
    world: HttpWorld, client: openai.OpenAI
) -> None:
    world.add("cellar/a.pdf", "The cellar is dry.")
    world.principals.known["key:tagged"] = Principal("key:tagged", rules=frozenset({Rule("cellar", "cellar/b")}))
    assert [one.id for one in client.models.list()] == ["docwell", "docwell/cellar", "docwell/house"]
    assert [one.id for one in client_of("house").models.list()] == ["docwell", "docwell/house"]
    assert [one.id for one in client_of("tagged").models.list()] == ["docwell"]


def test_a_whole_answer_has_text_sources_annotations_and_usage(world: HttpWorld, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="docwell", messages=[USER])
    (choice,) = answer.choices
    assert choice.message.content == "Every March [1]." + SOURCES
    assert (choice.finish_reason, choice.message.refusal, answer.model) == ("stop", None, "docwell")
    (annotation,) = choice.message.annotations or []
    cited = annotation.url_citation
    assert (cited.title, cited.url) == ("house/rules.pdf, page 7 (printed iv)", LINK)
    assert choice.message.content[cited.start_index : cited.end_index] == "[1]"
    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 3 == world.principals.tokens


def test_an_answer_has_a_receipt_under_its_request_id_and_an_audit_event(
    world: HttpWorld, client: openai.OpenAI
) -> None:
    answer = client.chat.completions.create(model="docwell/house", messages=[USER])
    ((_, id_),) = world.receipts.kept
    assert answer.id == f"chatcmpl-{id_}"
    status, receipt, _ = call("GET", f"/v1/receipts/{id_}")
    assert (status, receipt["request"]["collection"]) == (200, "house")
    assert call("POST", f"/v1/receipts/{id_}/replay")[0] == 200
    event, *_of_the_receipt = world.audit.events
    assert (event.action, event.request_id) == (Action.ASKED, id_)
    assert event.documents == {"house/rules.pdf"}


TWO = "The boiler is inspected every March [1]. Every March, the boiler is inspected [1]."


def test_the_streaming_helper_gives_the_same_answer_as_the_whole_one(
    world: HttpWorld, client: openai.OpenAI
) -> None:
    world.model.says = TWO
    whole = client.chat.completions.create(model="docwell", messages=[USER])
    options: Any = {"include_usage": True}
    with client.chat.completions.stream(model="docwell", messages=[USER], stream_options=options) as stream:
        for _ in stream:
            pass
        streamed = stream.get_final_completion()
    assert streamed.choices[0].message.content == whole.choices[0].message.content == TWO + SOURCES
    assert streamed.choices[0].message.annotations == whole.choices[0].message.annotations
    assert streamed.choices[0].finish_reason == "stop"
    assert streamed.usage == whole.usage


def test_each_sentence_comes_once_it_is_checked_while_the_model_writes(
    world: HttpWorld, client: openai.OpenAI
) -> None:
    world.model.says = TWO
    world.model.fails, world.model.fails_after = Overloaded("ollama", "overloaded"), 10
    seen: list[str] = []
    chunks = client.chat.completions.create(model="docwell", messages=[USER], stream=True)
    with chunks, pytest.raises(openai.APIError) as caught:
        seen.extend(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert [*filter(None, seen)] == ["The boiler is inspected every March [1]."]
    assert caught.value.code == "overloaded"
    (receipt,) = world.receipts.kept.values()
    assert (receipt.answer["answer"], receipt.answer["status"]) == ("".join(seen), "failed")


def test_an_unsupported_sentence_says_so_in_both_forms(world: HttpWorld, client: openai.OpenAI) -> None:
    world.model.says = f"{BOILER[:-1]} [1]. Ada Lovelace paints 45 pumps [1]. {BOILER[:-1]} today [1]."
    whole = client.chat.completions.create(model="docwell", messages=[USER]).choices[0].message.content or ""
    assert f"Ada Lovelace paints 45 pumps [1].{chat.NOT_SUPPORTED} The" in whole
    chunks = client.chat.completions.create(model="docwell", messages=[USER], stream=True)
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == whole
    assert f" Ada Lovelace paints 45 pumps [1].{chat.NOT_SUPPORTED}" in pieces


def test_a_check_of_the_whole_that_changes_what_was_sent_is_told(
    world: HttpWorld, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.model.says = TWO
    end = chat.ChatStream._end

    def changed(stream: chat.ChatStream, response: Any) -> Iterator[bytes]:
        return end(stream, response.model_copy(update={"answer": "In March [1].", "sentences": []}))

    monkeypatch.setattr(chat.ChatStream, "_end", changed)
    chunks = client.chat.completions.create(model="docwell", messages=[USER], stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == f"The boiler is inspected every March [1].{chat.CORRECTION}In March [1].{SOURCES}"


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_ordinary_content(world: HttpWorld, client: openai.OpenAI, stream: bool) -> None:
    world.model.says = "Not found."
    text: str | None = ""
    if stream:
        chunks = client.chat.completions.create(model="docwell", messages=[USER], stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    else:
        (choice,) = client.chat.completions.create(model="docwell", messages=[USER]).choices
        text = choice.message.content
        assert choice.finish_reason == "stop"
    assert text == REFUSAL


def test_messages_become_history_and_question(world: HttpWorld, client: openai.OpenAI) -> None:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "assistant", "content": "Hello! Ask me."},
        {"role": "user", "content": "When is the boiler inspected?"},
        {"role": "assistant", "content": "Every March [1]." + SOURCES},
        {"role": "user", "content": [{"type": "text", "text": "And"}, {"type": "text", "text": "how?"}]},
    ]
    client.chat.completions.create(model="docwell", messages=messages, temperature=0.3, user="ada", max_tokens=5)
    (receipt,) = world.receipts.kept.values()
    turn = {"question": "When is the boiler inspected?", "answer": "Every March [1]."}
    assert (receipt.request["history"], receipt.request["question"]) == ([turn], "And\nhow?")
    assert "pirate" not in str(world.model.asked + world.rewriter.asked)


def test_a_long_conversation_keeps_its_last_turns(world: HttpWorld, client: openai.OpenAI) -> None:
    messages: list[ChatCompletionMessageParam] = []
    for number in range(30):
        messages += [{"role": "user", "content": f"q{number}"}, {"role": "assistant", "content": "a" * 1500}]
    client.chat.completions.create(model="docwell", messages=[*messages, USER])
    (receipt,) = world.receipts.kept.values()
    assert [turn["question"] for turn in receipt.request["history"]] == ["q25", "q26", "q27", "q28", "q29"]


@pytest.mark.parametrize(
    "model", ["gpt-4o", "docwell/", "docwell/cellar", "docwell/attic", "docwell/" + "x" * 2000]
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model_is_404_in_openais_shape(
    world: HttpWorld, client: openai.OpenAI, model: str, stream: bool
) -> None:
    world.add("cellar/a.pdf", "The cellar is dry.")
    with pytest.raises(openai.NotFoundError) as caught:
        client_of("house").chat.completions.create(model=model, messages=[USER], stream=stream)
    assert caught.value.body == {
        "message": chat.NO_MODEL,
        "type": "invalid_request_error",
        "param": None,
        "code": "model_not_found",
    }
    assert world.principals.requests == 1
    assert world.principals.tokens == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/models"),
        ("GET", "/v1/chat/completions"),
        ("GET", "/v1/models/docwell"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/completions"),
    ],
)
def test_an_endpoint_that_docwell_has_not_is_an_unknown_address_and_no_missing_model(
    world: HttpWorld, method: str, path: str
) -> None:
    status, body, _ = call(method, path)
    assert (status, body["error"]["code"]) == (404, "unknown_url")
    assert "/v1/openapi.json" in body["error"]["message"]


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"tools": [{"type": "function"}], "tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "title"}}}, "tool_choice"),
        ({"function_call": {"name": "title"}}, "function_call"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"stop": "."}, "stop"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages.0.content.0.type"),
        ({"messages": [{"role": "tool", "content": "x"}, USER]}, "messages.0.role"),
        ({"messages": [CALLS, USER]}, "messages.0.tool_calls"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [USER, {"role": "assistant", "content": "x"}]}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content.constrained-str"),
        ({"messages": [{"role": "user", "content": "x" * 2001}]}, None),
    ],
)
def test_what_docwell_has_not_is_400_by_name(
    world: HttpWorld, client: openai.OpenAI, more: dict[str, Any], param: str | None
) -> None:
    body = {"model": "docwell", "messages": [USER]} | more
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", body=body, cast_to=object)
    assert (caught.value.type, caught.value.code) == ("invalid_request_error", "bad-input")
    assert param is None or (caught.value.param or "").startswith(param[:18])
    assert world.model.asked == []


def test_parameters_that_ask_for_nothing_special_are_accepted(world: HttpWorld, client: openai.OpenAI) -> None:
    """Open WebUI and LibreChat send some of these with each question."""
    client.chat.completions.create(
        model="docwell",
        messages=[USER],
        n=1,
        tools=[],
        tool_choice="auto",
        stop=None,
        presence_penalty=0,
        response_format={"type": "text"},
        extra_body={"chat_id": "1", "metadata": {}},
    )


@pytest.mark.parametrize("key", ["", "revoked"])
def test_an_unknown_key_is_401_for_any_model(world: HttpWorld, key: str) -> None:
    for model in ("docwell", "gpt-4o"):
        body = {"model": model, "messages": [USER]}
        status, error, headers = call("POST", "/v1/chat/completions", body, key or None)
        assert (status, error["error"]["code"]) == (401, "invalid_api_key")
        assert headers["WWW-Authenticate"]
    assert call("GET", "/v1/models", key=key or None)[0] == 401


def test_a_used_up_quota_is_429_in_openais_shape(world: HttpWorld, client: openai.OpenAI) -> None:
    world.principals.fails = QuotaExceeded("the requests of today are used up", 3599.2)
    for model in ("docwell", "gpt-4o"):
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model=model, messages=[USER])
        assert (caught.value.code, caught.value.response.headers["retry-after"]) == ("insufficient_quota", "3600")


def test_a_body_that_is_no_json_is_an_error_in_openais_shape(world: HttpWorld) -> None:
    status, error, _ = call("POST", "/v1/chat/completions", "{")
    assert (status, error["error"]["code"]) == (400, "bad-input")


def test_a_key_of_a_document_cannot_break_out_of_its_link(world: HttpWorld, client: openai.OpenAI) -> None:
    world.add("house/[x](http://evil.test/a) <b>.pdf", "The pump is inspected every April.")
    world.model.says = "The pump is inspected every April [1]."
    message = {"role": "user", "content": "how often is the pump inspected"}
    answer = client.chat.completions.create(model="docwell", messages=[message])  # type: ignore[list-item]
    listed = (answer.choices[0].message.content or "").rpartition("\n")[2]
    assert "](http://evil" not in listed
    assert listed.startswith("1. [house/")


def test_a_source_that_has_no_pages_names_its_place(world: HttpWorld, client: openai.OpenAI) -> None:
    unit = CitationUnit(UnitKind.RANGE, "Budget!A5:D5", "Budget!A5:D5")
    world.add("house/budget.xlsx", "The pump is inspected every April.", unit=unit)
    world.model.says = "The pump is inspected every April [1]."
    message = {"role": "user", "content": "how often is the pump inspected"}
    answer = client.chat.completions.create(model="docwell", messages=[message])  # type: ignore[list-item]
    listed = (answer.choices[0].message.content or "").rpartition("\n")[2]
    assert listed.startswith("1. [house/budget.xlsx, Budget!A5:D5](")


def test_without_streaming_the_chunks_come_in_one_body(world: HttpWorld) -> None:
    with client_of(KEY_OF_ALL) as client:
        chunks = [*client.chat.completions.create(model="docwell", messages=[USER], stream=True)]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Every March [1]." + SOURCES
