"""OpenAI's protocol with the official client, and with the requests that chat clients send.

`response_requests.jsonl` has the requests of openai-agents (src/agents/models/openai_responses.py) and the AI SDK
(packages/openai/src/responses/openai-responses-api.ts), and of n8n's and LibreChat's model libraries as they were
recorded. `chat_requests.jsonl` has those of Open WebUI and LibreChat, recorded too, of RAGFlow and others;
`chat_tasks.jsonl` their prompts for titles.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from docwell.answers import CORRECTION, NOT_SUPPORTED, REFUSALS, STILL_INDEXING
from docwell.audit import Action
from docwell.errors import Overloaded
from docwell.http import openai as chat
from docwell.http import shapes
from docwell.identity import ORIGIN_HEADER, Principal, Rule
from docwell.models import CitationUnit, DocumentRecord, UnitKind
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
APIS = pytest.mark.parametrize("api", ["chat", "responses"])


def client_of(key: str) -> openai.OpenAI:
    http = httpx2.Client(transport=HandlerTransport())
    return openai.OpenAI(api_key=key, base_url="http://docwell/v1", http_client=http, max_retries=0)


@pytest.fixture
def client(world: HttpWorld) -> Iterator[openai.OpenAI]:
    with client_of(KEY_OF_ALL) as client:
        yield client


def request(client: openai.OpenAI, api: str, messages: Any = (USER,)) -> tuple[Any, dict[str, Any]]:
    """Return the client's methods of an API, and their parameters."""
    door: Any = client.chat.completions if api == "chat" else client.responses
    return door, {"model": "docwell", "messages" if api == "chat" else "input": [*messages]}


def content(client: openai.OpenAI, *, stream: bool, messages: Any = (USER,), api: str = "chat") -> str:
    """Return the text of an answer as a client keeps it."""
    door, parameters = request(client, api, messages)
    if not stream:
        answer = door.create(**parameters)
    else:
        with door.stream(**parameters) as events:
            answer = events.get_final_completion() if api == "chat" else events.get_final_response()
    return str(answer.choices[0].message.content if api == "chat" else answer.output_text)


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


def test_a_whole_answer_and_a_streamed_one_have_text_sources_annotations_and_usage(
    world: HttpWorld, client: openai.OpenAI
) -> None:
    whole = client.chat.completions.create(model="docwell", messages=[USER])
    (choice,) = whole.choices
    message, usage = choice.message, whole.usage
    assert (message.content, message.refusal, whole.model) == ("Every March [1]." + SOURCES, None, "docwell")
    (annotation,) = message.annotations or []
    place = annotation.url_citation
    assert (place.title, place.url) == ("house/rules.pdf, page 7 (printed iv)", LINK)
    assert (message.content or "")[place.start_index : place.end_index] == "[1]"
    assert usage
    assert usage.total_tokens == usage.prompt_tokens + 3 == world.principals.tokens
    options: Any = {"include_usage": True}
    with client.chat.completions.stream(model="docwell", messages=[USER], stream_options=options) as stream:
        streamed = stream.get_final_completion()
    assert (streamed.choices[0].message.content, streamed.usage) == (message.content, usage)
    assert streamed.choices[0].message.annotations == message.annotations
    assert streamed.choices[0].finish_reason == choice.finish_reason == "stop"


@APIS
def test_each_sentence_comes_once_it_is_checked_while_the_model_writes(
    world: HttpWorld, client: openai.OpenAI, api: str
) -> None:
    world.model.says = TWO
    world.model.fails, world.model.fails_after = Overloaded("ollama", "overloaded"), 10
    texts: list[str] = []
    door, parameters = request(client, api)
    events = door.create(**parameters, stream=True)
    with pytest.raises(openai.APIError) as caught:
        texts.extend(
            event.choices[0].delta.content if api == "chat" else event.to_dict().get("delta") for event in events
        )
    assert [*filter(None, texts)] == ["The boiler is inspected every March [1]."]
    assert caught.value.code == "overloaded"
    (receipt,) = world.receipts.kept.values()
    assert (receipt.answer["answer"], receipt.answer["status"]) == ("".join(filter(None, texts)), "failed")


@APIS
def test_an_unsupported_sentence_says_so_in_both_forms(world: HttpWorld, client: openai.OpenAI, api: str) -> None:
    world.model.says = f"{BOILER[:-1]} [1]. Ada Lovelace paints 45 pumps [1]. {BOILER[:-1]} today [1]."
    text = content(client, stream=False, api=api)
    assert f"Ada Lovelace paints 45 pumps.{NOT_SUPPORTED} The" in text
    assert content(client, stream=True, api=api) == text


@BOTH
def test_a_refusal_is_content_and_says_its_cause(world: HttpWorld, client: openai.OpenAI, stream: bool) -> None:
    world.model.says = "Not found."
    world.ledger.records["house/new.pdf"] = DocumentRecord("house/new.pdf")
    cause = REFUSALS["not_in_documents"]
    text = cause + STILL_INDEXING.format(1)
    assert content(client, stream=stream) == content(client, stream=stream, api="responses") == text
    whole = client.chat.completions.create(model="docwell", messages=[USER])
    assert whole.choices[0].message.refusal == cause
    with client.responses.stream(model="docwell", input=QUESTION) as events:
        assert events.get_final_response().output[0].to_dict()["refusal"] == cause


@APIS
@BOTH
@pytest.mark.parametrize("says", [TWO, UNSUPPORTED, "- March [1].\n- Bob sells 12 horses [1].\n\nMarch [1]."])
def test_an_answer_comes_back_as_history_without_the_additions_of_docwell(
    world: HttpWorld, client: openai.OpenAI, says: str, stream: bool, api: str
) -> None:
    world.model.says = says
    comes_back(world, client, content(client, stream=stream, api=api), api)


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


def comes_back(world: HttpWorld, client: openai.OpenAI, text: str, api: str = "chat") -> None:
    """Check that the answer of the only receipt is the history of a question after it: an erasure finds it so."""
    ((_, first),) = world.receipts.kept.items()
    content(client, stream=False, messages=[USER, {"role": "assistant", "content": text}, USER], api=api)
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
    stream = case["body"].get("stream")
    answer: Any = client.chat.completions.create(model="", messages=[], stream=stream, extra_body=case["body"])
    chunks = [*answer] if stream else [answer]
    messages = [choice.delta if stream else choice.message for chunk in chunks for choice in chunk.choices]
    text = "".join(message.content or "" for message in messages)
    annotations = [place for message in messages for place in message.to_dict().get("annotations", [])]
    assert sum(bool(chunk.usage) for chunk in chunks) == (not stream or "stream_options" in case["body"])
    assert text == "Every March [1]." + SOURCES
    assert [place["url_citation"]["url"] for place in annotations] == [LINK]
    (receipt,) = world.receipts.kept.values()
    assert receipt.request["question"] == QUESTION
    # Instructions are ignored, and the sources of an earlier answer are no part of it.
    assert [turn["answer"] for turn in receipt.request["history"]] in ([], ["A boiler [1]."])
    assert "kind" not in str(world.model.asked + world.rewriter.asked)


@pytest.mark.parametrize("case", rows(__file__, "response_requests"), ids=lambda case: case["client"])
def test_a_response_has_text_sources_annotations_and_usage_whole_and_streamed(
    world: HttpWorld, client: openai.OpenAI, case: dict[str, Any]
) -> None:
    world.rewriter.says = QUESTION
    whole = client.responses.create(**case["body"])
    events: Any = [*client.responses.create(**case["body"], stream=True)]
    created, *_, last = events
    assert [event.sequence_number for event in events] == [*range(len(events))]
    assert (created.type, last.type) == ("response.created", "response.completed")
    assert created.response.id == last.response.id != whole.id
    for response in (whole, last.response):
        assert response.output_text == "Every March [1]." + SOURCES
        ((place,),) = ([*part.annotations] for part in response.output[0].content)
        name = "house/rules.pdf, page 7 (printed iv)"
        assert (place.type, place.title, place.url) == ("url_citation", name, LINK)
        assert response.output_text[place.start_index : place.end_index] == "[1]"
        assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 3
    for receipt in world.receipts.kept.values():
        assert receipt.request["question"] == QUESTION
        assert [turn["answer"] for turn in receipt.request["history"]] in ([], ["A boiler [1]."])


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


@pytest.mark.parametrize("question", rows(__file__, "chat_questions"))
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


@APIS
@pytest.mark.parametrize(("model", "more", "status", "param", "code"), rows(__file__, "openai_own_parameters"))
def test_docwells_parameters_of_a_question_count_or_are_refused_by_name(
    world: HttpWorld, model: str, more: dict[str, Any], status: int, param: str | None, code: str | None, api: str
) -> None:
    path, asked = (CHAT, "messages") if api == "chat" else (shapes.RESPONSES, "input")
    got, answer, _ = call("POST", path, {"model": model, asked: [USER]} | more)
    error = answer.get("error") or {}
    assert (got, error.get("param"), error.get("code")) == (status, param, code)
    for receipt in world.receipts.kept.values():
        assert all(receipt.request[name] == value for name, value in more.items() if name != "filter")
        message = answer["choices"][0]["message"] if api == "chat" else answer["output"][0]
        assert ("filter" in more) == (message["refusal"] is not None)


@pytest.mark.parametrize(("more", "param"), rows(__file__, "openai_unsupported"))
def test_an_unsupported_parameter_is_400_by_name(
    world: HttpWorld, client: openai.OpenAI, more: dict[str, Any], param: str | None
) -> None:
    path, asked = ("/responses", "input") if "input" in more else ("/chat/completions", "messages")
    with pytest.raises(openai.BadRequestError) as caught:
        client.post(path, body={"model": "docwell", asked: [USER]} | more, cast_to=object)
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


def test_a_source_of_a_chat_and_of_a_tool_opens_the_console_at_its_quote(world: HttpWorld) -> None:
    assert source(link(CHAT_BODY)) == SOURCE
    result = call("POST", "/v1/mcp", ASK, **{ORIGIN_HEADER: CONSOLE})[1]["result"]
    (citation,) = result["structuredContent"]["citations"]
    assert source(citation["link"]) == SOURCE
    assert f"]({citation['link']}): “" in result["content"][0]["text"]
    page = {"name": "fetch", "arguments": {"id": "docwell://documents/house%2Frules.pdf/pages/7"}}
    fetched = call("POST", "/v1/mcp", ASK | {"params": page}, **{ORIGIN_HEADER: CONSOLE})[1]["result"]
    assert source(fetched["structuredContent"]["url"]) == {"document": "house/rules.pdf", "page": "7"}


def test_a_source_that_has_no_pages_names_its_place(world: HttpWorld) -> None:
    unit = CitationUnit(UnitKind.RANGE, "Budget!A5:D5", "Budget!A5:D5")
    text = "The pump (of the [yard](x) & cellar) is inspected every April."
    world.add("house/50% & more.xlsx", text, unit=unit)
    world.model.says = "The pump is inspected every April [1]."
    body = {**CHAT_BODY, "messages": [{"role": "user", "content": "how often is the pump inspected"}]}
    opened = source(link(body))
    assert (opened["document"], opened["place"]) == ("house/50% & more.xlsx", "Budget!A5:D5")


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
