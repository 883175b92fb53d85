"""OpenAI's protocol with the official client, and with the requests that chat clients send.

`chat_requests.jsonl` has requests as Open WebUI (backend/open_webui/routers/openai.py), LibreChat
(packages/api/src/endpoints/openai/llm.ts) and others build them; `chat_tasks.jsonl` their prompts for titles.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from docwell.answers import CORRECTION, NOT_SUPPORTED, REFUSALS
from docwell.audit import Action
from docwell.errors import Overloaded
from docwell.http import openai as chat
from docwell.http import shapes
from docwell.identity import ORIGIN_HEADER, Principal, Rule
from docwell.models import CitationUnit, UnitKind
from tests.unit.cases import rows
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import KEY_OF_ALL, HandlerTransport, call
from tests.unit.query.query_world import BOILER, QUESTION

CHAT = "/v1/chat/completions"
LINK = "https://bucket/house/rules.pdf?versionId=v1#page=7"
SOURCES = f"\n\nSources:\n\n1. [house/rules.pdf, page 7 (printed iv)]({LINK}): “{BOILER}”"
USER: ChatCompletionMessageParam = {"role": "user", "content": QUESTION}
TWO = "The boiler is inspected every March [1]. Every March, the boiler is inspected [1]."
UNSUPPORTED = "Ada paints 45 pumps [1]. The boiler is inspected every March [1]. Bob sells 12 horses [1]."
BOTH = pytest.mark.parametrize("stream", [False, True])


def client_of(key: str) -> openai.OpenAI:
    http = httpx2.Client(transport=HandlerTransport())
    return openai.OpenAI(api_key=key, base_url="http://docwell/v1", http_client=http, max_retries=0)


@pytest.fixture
def client(world: HttpWorld) -> Iterator[openai.OpenAI]:
    with client_of(KEY_OF_ALL) as client:
        yield client


def content(client: openai.OpenAI, *, stream: bool, messages: Any = (USER,)) -> str:
    """Return the text of an answer as a client keeps it, as far as it came."""
    request: Any = {"model": "docwell", "messages": list(messages)}
    if not stream:
        return client.chat.completions.create(**request).choices[0].message.content or ""
    text = ""
    with suppress(openai.APIError):  # an answer that broke off
        for chunk in client.chat.completions.create(**request, stream=True):
            text += chunk.choices[0].delta.content or "" if chunk.choices else ""
    return text


def test_the_models_are_all_documents_and_each_readable_collection(
    world: HttpWorld, client: openai.OpenAI
) -> None:
    world.add("cellar/a.pdf", "The cellar is dry.")
    world.principals.known["key:tagged"] = Principal("key:tagged", rules=frozenset({Rule("cellar", "cellar/b")}))
    ids = {key: [model.id for model in client_of(key).models.list()] for key in (KEY_OF_ALL, "house", "tagged")}
    assert ids == {
        KEY_OF_ALL: ["docwell", "docwell/cellar", "docwell/house"],
        "house": ["docwell", "docwell/house"],
        "tagged": ["docwell"],
    }
    assert [client.models.retrieve(id_).id for id_ in ids[KEY_OF_ALL]] == ids[KEY_OF_ALL]


def test_a_whole_answer_has_text_sources_annotations_and_usage(world: HttpWorld, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="docwell", messages=[USER])
    (choice,) = answer.choices
    assert choice.message.content == "Every March [1]." + SOURCES
    assert (choice.finish_reason, choice.message.refusal, answer.model) == ("stop", None, "docwell")
    (annotation,) = choice.message.annotations or []
    place = annotation.url_citation
    assert (place.title, place.url) == ("house/rules.pdf, page 7 (printed iv)", LINK)
    assert choice.message.content[place.start_index : place.end_index] == "[1]"
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
    assert (event.action, event.request_id, event.documents) == (Action.ASKED, id_, frozenset({"house/rules.pdf"}))


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
    assert (streamed.choices[0].finish_reason, streamed.usage) == ("stop", whole.usage)


def test_each_sentence_comes_once_it_is_checked_while_the_model_writes(
    world: HttpWorld, client: openai.OpenAI
) -> None:
    world.model.says = TWO
    world.model.fails, world.model.fails_after = Overloaded("ollama", "overloaded"), 10
    texts: list[str] = []
    chunks = client.chat.completions.create(model="docwell", messages=[USER], stream=True)
    with chunks, pytest.raises(openai.APIError) as caught:
        texts.extend(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert [*filter(None, texts)] == ["The boiler is inspected every March [1]."]
    assert caught.value.code == "overloaded"
    (receipt,) = world.receipts.kept.values()
    assert (receipt.answer["answer"], receipt.answer["status"]) == ("".join(texts), "failed")


def test_an_unsupported_sentence_says_so_in_both_forms(world: HttpWorld, client: openai.OpenAI) -> None:
    world.model.says = f"{BOILER[:-1]} [1]. Ada Lovelace paints 45 pumps [1]. {BOILER[:-1]} today [1]."
    text = content(client, stream=False)
    assert f"Ada Lovelace paints 45 pumps.{NOT_SUPPORTED} The" in text
    assert content(client, stream=True) == text


@BOTH
def test_a_refusal_is_content_and_says_its_cause(world: HttpWorld, client: openai.OpenAI, stream: bool) -> None:
    world.model.says = "Not found."
    cause = REFUSALS["not_in_documents"]
    assert content(client, stream=stream) == cause
    with client.chat.completions.stream(model="docwell", messages=[USER]) as chunks:
        assert chunks.get_final_completion().choices[0].message.refusal == cause


@BOTH
@pytest.mark.parametrize("says", [TWO, UNSUPPORTED, "- March [1].\n- Bob sells 12 horses [1].\n\nMarch [1]."])
def test_an_answer_comes_back_as_history_without_the_additions_of_docwell(
    world: HttpWorld, client: openai.OpenAI, says: str, stream: bool
) -> None:
    world.model.says = says
    comes_back(world, client, content(client, stream=stream))


def test_a_corrected_answer_says_so_and_comes_back_as_the_one_that_counts(
    world: HttpWorld, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.model.says = TWO
    end = chat.ChatStream._end

    def changed(stream: chat.ChatStream, response: Any) -> Iterator[bytes]:
        stream._sent_pieces[:] = ["Something else."]
        return end(stream, response)

    monkeypatch.setattr(chat.ChatStream, "_end", changed)
    with client.chat.completions.stream(model="docwell", messages=[USER]) as stream:
        message = stream.get_final_completion().choices[0].message
    text = message.content or ""
    assert text == f"The boiler is inspected every March [1].{CORRECTION}{TWO}{SOURCES}"
    (annotation,) = message.annotations or []
    assert annotation.url_citation.start_index == text.index("[1]", text.index(CORRECTION))
    comes_back(world, client, text)


def comes_back(world: HttpWorld, client: openai.OpenAI, text: str) -> None:
    """Check that the answer of the only receipt is the history of a question after it: an erasure finds it so."""
    ((_, first),) = world.receipts.kept.items()
    content(client, stream=False, messages=[USER, {"role": "assistant", "content": text}, USER])
    *_, second = world.receipts.kept.values()
    (turn,) = second.request["history"]
    assert turn["answer"] == first.answer["answer"]


def test_a_long_conversation_keeps_its_last_turns(world: HttpWorld, client: openai.OpenAI) -> None:
    messages: list[Any] = []
    for number in range(200):
        messages += [{"role": "user", "content": f"q{number}"}, {"role": "assistant", "content": "a" * 1500}]
    content(client, stream=False, messages=[*messages, USER])
    (receipt,) = world.receipts.kept.values()
    assert [turn["question"] for turn in receipt.request["history"]] == ["q195", "q196", "q197", "q198", "q199"]


@pytest.mark.parametrize("case", rows(__file__, "chat_requests"), ids=lambda case: case["client"])
def test_the_request_of_a_chat_client_is_answered_with_its_source(
    world: HttpWorld, client: openai.OpenAI, case: dict[str, Any]
) -> None:
    world.rewriter.says = QUESTION
    body = client._client.post("http://docwell" + CHAT, json=case["body"], headers=client.auth_headers).text
    if case["body"].get("stream"):
        *lines, done = [line.removeprefix("data: ") for line in body.splitlines() if line]
        assert done == "[DONE]"
        chunks = [json.loads(line) for line in lines]
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        text = "".join(choice["delta"].get("content", "") for choice in choices)
        annotations = [place for choice in choices for place in choice["delta"].get("annotations", [])]
        assert sum(bool(chunk.get("usage")) for chunk in chunks) == ("stream_options" in case["body"])
    else:
        whole = json.loads(body)
        (choice,) = whole["choices"]
        text, annotations = choice["message"]["content"], choice["message"]["annotations"]
        assert whole["usage"]["total_tokens"] > 0
    assert text == "Every March [1]." + SOURCES
    assert [place["url_citation"]["url"] for place in annotations] == [LINK]
    (receipt,) = world.receipts.kept.values()
    assert receipt.request["question"] == QUESTION
    # Instructions are ignored, and the sources of an earlier answer are no part of it.
    assert [turn["answer"] for turn in receipt.request["history"]] in ([], ["A boiler [1]."])
    assert "kind" not in str(world.model.asked + world.rewriter.asked)


@BOTH
@pytest.mark.parametrize("case", rows(__file__, "chat_tasks"), ids=lambda case: case["task"])
def test_a_title_or_tags_for_a_chat_are_rejected_before_a_search(
    world: HttpWorld, client: openai.OpenAI, case: dict[str, str], stream: bool
) -> None:
    messages: Any = [{"role": "user", "content": case["prompt"]}]
    with pytest.raises(openai.BadRequestError, match="choose another model") as caught:
        client.chat.completions.create(model="docwell", messages=messages, stream=stream)
    assert (caught.value.code, caught.value.param) == ("bad-input", "messages")
    assert (world.principals.requests, world.principals.tokens) == (1, 0)
    assert (world.receipts.kept, world.audit.events) == ({}, [])


@pytest.mark.parametrize(
    "question",
    [
        f"Provide a title of 5 words. {QUESTION}",
        f"### Task:\n{QUESTION}",
        f"{QUESTION} <chat_history>\nUSER: {QUESTION}\n</chat_history>",
        f"Analyze this conversation and provide:\n1. The month of the inspection\n\nAnn: {QUESTION}",
    ],
)
def test_a_question_with_words_of_a_task_is_a_question(
    world: HttpWorld, client: openai.OpenAI, question: str
) -> None:
    content(client, stream=False, messages=[{"role": "user", "content": question}])
    assert world.receipts.kept


@BOTH
@pytest.mark.parametrize(
    "model", ["gpt-4o", "docwell/", "docwell/cellar", "docwell/attic", "docwell/" + "x" * 2000]
)
def test_an_unknown_model_is_404_in_openais_shape(
    world: HttpWorld, client: openai.OpenAI, model: str, stream: bool
) -> None:
    world.add("cellar/a.pdf", "The cellar is dry.")
    with pytest.raises(openai.NotFoundError) as caught:
        client_of("house").chat.completions.create(model=model, messages=[USER], stream=stream)
    error = {"message": shapes.NO_MODEL, "type": "invalid_request_error", "param": None, "code": "model_not_found"}
    assert caught.value.body == error
    assert (world.principals.requests, world.principals.tokens) == (1, 0)


@pytest.mark.parametrize(("method", "path", "status", "code"), rows(__file__, "openai_missing_endpoints"))
def test_a_missing_endpoint_is_an_unknown_address_and_no_missing_model(
    world: HttpWorld, method: str, path: str, status: int, code: str
) -> None:
    got, body, headers = call(method, path)
    assert (got, body["error"]["code"], "Allow" in headers) == (status, code, status == 405)
    assert ("/v1/openapi.json" in body["error"]["message"]) is (code != "model_not_found")


@pytest.mark.parametrize(("model", "more", "status", "param"), rows(__file__, "openai_own_parameters"))
def test_docwells_parameters_of_a_question_count_or_are_refused_by_name(
    world: HttpWorld, model: str, more: dict[str, Any], status: int, param: str | None
) -> None:
    got, answer, _ = call("POST", CHAT, {"model": model, "messages": [USER]} | more)
    assert (got, answer.get("error", {}).get("param")) == (status, param)
    for receipt in world.receipts.kept.values():
        assert all(receipt.request[name] == value for name, value in more.items() if name != "filter")
        assert ("filter" in more) == (answer["choices"][0]["message"]["refusal"] is not None)


@pytest.mark.parametrize(("more", "param"), rows(__file__, "openai_unsupported"))
def test_an_unsupported_parameter_is_400_by_name(
    world: HttpWorld, client: openai.OpenAI, more: dict[str, Any], param: str | None
) -> None:
    body = {"model": "docwell", "messages": [USER]} | more
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", body=body, cast_to=object)
    assert (caught.value.type, caught.value.code) == ("invalid_request_error", "bad-input")
    assert param is None or (caught.value.param or "").startswith(param[:18])
    assert world.model.asked == []


def test_a_key_with_markup_stays_inside_its_link(world: HttpWorld, client: openai.OpenAI) -> None:
    world.add("house/[x](http://evil.test/a) <b>.pdf", "The pump is inspected every April.")
    world.model.says = "The pump is inspected every April [1]."
    messages = [{"role": "user", "content": "how often is the pump inspected"}]
    line = content(client, stream=False, messages=messages).rpartition("\n")[2]
    assert line.startswith("1. [house/")
    assert "](http://evil" not in line


# --- links to the console ---


CONSOLE = "https://d1.cloudfront.net"
SOURCE = {"document": "house/rules.pdf", "version": "v1", "page": "7", "quote": BOILER}
CHAT_BODY = {"model": "docwell", "messages": [{"role": "user", "content": QUESTION}]}
ASK = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "ask", "arguments": {"question": QUESTION}},
}


def link(body: dict[str, Any], origin: str | None = CONSOLE) -> str:
    """Return the link of the only source in a chat completion."""
    headers = {ORIGIN_HEADER: origin} if origin is not None else {}
    message = call("POST", "/v1/chat/completions", body, **headers)[1]["choices"][0]["message"]
    (annotation,) = message["annotations"]
    url = str(annotation["url_citation"]["url"])
    assert f"]({url}): “" in message["content"]
    return url


def source(url: str) -> dict[str, str]:
    console, _, query = url.partition("/#/source?")
    assert console == CONSOLE
    return dict(parse_qsl(query, strict_parsing=True))


def test_a_source_of_a_chat_opens_the_console_at_its_quote(world: HttpWorld) -> None:
    assert source(link(CHAT_BODY)) == SOURCE


def test_a_source_that_has_no_pages_names_its_place(world: HttpWorld) -> None:
    unit = CitationUnit(UnitKind.RANGE, "Budget!A5:D5", "Budget!A5:D5")
    text = "The pump (of the [yard](x) & cellar) is inspected every April."
    world.add("house/50% & more.xlsx", text, unit=unit)
    world.model.says = "The pump is inspected every April [1]."
    body = {**CHAT_BODY, "messages": [{"role": "user", "content": "how often is the pump inspected"}]}
    opened = source(link(body))
    assert (opened["document"], opened["place"]) == ("house/50% & more.xlsx", "Budget!A5:D5")


def test_an_answer_to_a_tool_links_to_the_console_too(world: HttpWorld) -> None:
    result = call("POST", "/v1/mcp", ASK, **{ORIGIN_HEADER: CONSOLE})[1]["result"]
    (citation,) = result["structuredContent"]["citations"]
    assert source(citation["link"]) == SOURCE
    assert f"]({citation['link']}): “" in result["content"][0]["text"]


@pytest.mark.parametrize("origin", rows(__file__, "no_console_origins"))
def test_without_the_consoles_address_a_source_links_to_its_file(world: HttpWorld, origin: str | None) -> None:
    assert link(CHAT_BODY, origin).startswith("https://bucket/house/rules.pdf?versionId=v1")


@pytest.mark.parametrize(
    ("origin", "status"), [(CONSOLE, 200), ("https://evil.example", 403), ("null", 403), ("", 403)]
)
def test_pages_of_other_origins_call_no_tools(world: HttpWorld, origin: str, status: int) -> None:
    got, body, _ = call("POST", "/v1/mcp", ASK, **{ORIGIN_HEADER: CONSOLE, "Origin": origin})
    assert (got, "error" in body) == (status, status == 403)
    assert world.principals.requests == (status == 200)
    assert call("POST", "/v1/mcp", ASK, Origin="https://evil.example")[0] == 403
