"""The conformance suite of model hosts, which each adapter inherits, on scripted hosts of every kind."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
import tomllib
import traceback
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docwell.adapters.model_hosts import TOKEN_CHARACTERS, ModelServer
from docwell.adapters.model_profiles import profile_of
from docwell.adapters.thinking import AnswerText
from docwell.answers import Completion, Message
from docwell.deadline import run
from docwell.errors import (
    DeadlineExceeded,
    DocwellError,
    ModelMissing,
    ModelWaking,
    NoAnswer,
    PromptTooLong,
    Unavailable,
)
from docwell.query.prompting import load_prompt

from .model_hosts import (
    ASK,
    LLAMA_CPP,
    LM_STUDIO,
    OLLAMA,
    SECRET,
    SLACK,
    VLLM,
    Dialect,
    Script,
    answer,
    balancer_without_hosts,
    raw,
    stall,
    stream,
    then,
    trickle,
    whole,
)

FOLDER = Path(__file__).parent
ROWS: list[dict[str, Any]] = tomllib.loads((FOLDER / "thinking.toml").read_text("utf-8"))["row"]
HOSTS: dict[str, list[dict[str, Any]]] = tomllib.loads((FOLDER / "hosts.toml").read_text("utf-8"))
PROFILES: list[dict[str, Any]] = tomllib.loads((FOLDER / "profiles.toml").read_text("utf-8"))["row"]


def failure(model: ModelServer, ask: Sequence[Message] = ASK) -> DocwellError:
    """Return the error of a chat; it must quote no text."""
    with pytest.raises(DocwellError) as caught:
        answer(model, ask=ask)
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    assert "answer-text" not in shown
    return caught.value


# Each takes a dialect: its piece of an answer, or its tokens without end.
SLOW: dict[str, Callable[[Dialect], Script]] = {
    "no header": lambda _: stall,
    "no text": lambda _: then(stream(end=False), stall),
    "half a text": lambda dialect: then(stream(dialect.piece("answer-text"), end=False), stall),
    "bytes of a line": lambda _: then(stream(end=False), trickle),
    "endless text": lambda dialect: then(stream(end=False), dialect.endless),
}


@pytest.fixture(autouse=True, scope="module")
def proxy() -> Iterator[None]:
    """Set a proxy that does not answer: a host of this machine is asked without it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        yield


class HostSuite:
    """The behaviour that docwell relies on, for any kind of host."""

    dialect: ClassVar[Dialect]

    @pytest.mark.parametrize("reason", ["stop", "length"])
    def test_an_answer_is_joined_and_its_figures_are_kept(self, reason: str) -> None:
        dialect = self.dialect
        pieces = (dialect.piece(""), dialect.piece("Nine"), dialect.piece(" [1]"), dialect.last(reason, 40, 2))
        with dialect.playing(stream(*pieces)) as (host, model):
            seen, completion = answer(model)
        assert completion == Completion("Nine [1]", 40, 2, reason)
        assert seen == ["Nine", " [1]"]
        (request,) = [request for request in host.requests if "messages" in request]
        assert request["model"] == model.name == "m"
        sent = {"stream": True, **self.dialect.sends}
        assert {name: request[name] for name in sent} == sent
        assert model.options.items() <= {**request, **request.get("options", {})}.items()
        assert request["messages"] == [
            {"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Say:\n{SECRET}"}
        ]  # fmt: skip

    @pytest.mark.parametrize("indent", [None, 1])
    @pytest.mark.parametrize("cut", [0, 1, 7])
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_a_value_may_take_many_lines(self, end: str, cut: int, indent: int | None) -> None:
        parts = map(self.dialect.piece, ("", "Größe\u2028", " 9 [1]"))
        field, notes = ("", "") if self.dialect is OLLAMA else ("data: ", ": ping\nevent: message\nid: 7\n")
        lines = b"".join([*parts, self.dialect.last("stop", 40, 2)]).decode().split("\n")
        values = [line.removeprefix(field) for line in lines if line]
        texts = [json.dumps(json.loads(text), indent=indent) if text[0] == "{" else text for text in values]
        events = [notes + "".join(f"{field}{line}\n" for line in text.split("\n")) for text in texts]
        many_lines = "" if cut else "{\n" + '"x":\n[\n9\n],\n' * 2_000 + '"x": 9}\n\n'
        stream_text = "\ufeff" + (many_lines + "\n".join(events)).replace("\n", end)
        with self.dialect.playing(raw(stream_text, "", cut)) as (_, model):
            assert answer(model)[1] == Completion("Größe\u2028 9 [1]", 40, 2, "stop")
        with self.dialect.playing(raw(stream_text[: stream_text.rindex("}")], "", cut)) as (_, model):
            assert "does not speak the protocol" in failure(model).detail

    @pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error"])
    @pytest.mark.parametrize(
        ("begins", "goes_on"), [("", "{\n"), ('{"x": "', "x"), ("[\n", '"x",\n'), ("", "x"), ("", ":x\n")]
    )
    def test_a_body_without_end_is_left(self, status: str, begins: str, goes_on: str) -> None:
        def body(connection: socket.socket) -> None:
            connection.sendall(f"HTTP/1.1 {status}\r\nConnection: close\r\n\r\n{begins}".encode())
            while True:
                connection.sendall(goes_on.encode() * 9_999)

        limit = patch("docwell.adapters.model_hosts.MOST_BYTES", 8_192)
        with limit, self.dialect.playing(body) as (host, model):
            assert type(failure(model)) is Unavailable
            assert host.closed_by_client.wait(SLACK)

    @pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
    def test_thinking_never_reaches_a_reader_and_is_charged(self, row: dict[str, Any]) -> None:
        dialect, pieces = self.dialect, row["pieces"]
        lines = [
            dialect.thought(text.removeprefix("{t}")) if text.startswith("{t}") else dialect.piece(text)
            for text in pieces
        ]
        last = dialect.last(row.get("reason", "stop"), 40, 77)
        with dialect.playing(stream(*lines, last), thinking_tokens=5) as (_, model):
            if "answer" in row:
                seen, completion = answer(model)
                assert (completion.text.strip(), completion.thought) == (row["answer"], not row.get("blank"))
                assert row["name"] == "only the closing mark" or "".join(seen).strip() == row["answer"]
                # Count the pieces of thinking if the answer breaks off.
                assert row["name"] != "in a field" or len(seen) == len(pieces)
                assert completion.completion_tokens == 77
                return
            error = failure(model)
        assert isinstance(error, NoAnswer)
        assert (error.read, error.written, error.retry_after) == (40, 77, None)
        assert "DOCWELL_THINK " in error.detail
        assert "DOCWELL_THINKING_TOKENS (now 5)" in error.detail

    @pytest.mark.parametrize("pieces", [["word "] * 400, ["word " * 400]])
    def test_a_host_that_ignores_the_limit_of_tokens_is_cut(self, pieces: list[str]) -> None:
        lines = map(self.dialect.piece, pieces)
        with self.dialect.playing(stream(*lines, self.dialect.last("stop", 40, 400))) as (_, model):
            _, completion = answer(model)
        assert (len(completion.text), completion.done_reason) == (99 * TOKEN_CHARACTERS, "length")

    @pytest.mark.parametrize("row", PROFILES, ids=lambda row: f"{row['model']} {row.get('think', '')}")
    def test_thinking_is_switched_off_as_the_model_needs_it(self, row: dict[str, Any]) -> None:
        script = stream(self.dialect.piece("Nine"), self.dialect.last("stop", 40, 2))
        settings = {"name": row["model"], "think": row.get("think", "auto"), "thinking_tokens": 500}
        with self.dialect.playing(script, **settings) as (host, model):
            answer(model)
            answer(model.writing_at_most(12))
        names = ("think", "reasoning_effort", "chat_template_kwargs")
        for request in host.requests:
            assert {name: request[name] for name in names if name in request} == row[self.dialect.protocol]
        limits = [(request.get("options") or request)[model._limit] for request in host.requests]
        assert limits == [599, 512]

    def test_a_host_that_states_no_tokens_loses_no_answer(self) -> None:
        lines = (self.dialect.thought("hm"), self.dialect.piece("Nine"), self.dialect.piece(" [1]"))
        with self.dialect.playing(stream(*lines, self.dialect.last("stop"))) as (_, model):
            _, completion = answer(model)
        assert (completion.text, completion.completion_tokens) == ("Nine [1]", 3)
        assert 5 < completion.prompt_tokens < 60

    @pytest.mark.parametrize("status", ["400 Bad Request", "422 Unprocessable Entity"])
    def test_a_refusal_keeps_the_hosts_reason_without_words_of_the_prompt(self, status: str) -> None:
        reason = f"maximum context length is 512 tokens; got: {SECRET.upper()!r}"
        with self.dialect.playing(whole(status, self.dialect.error(reason))) as (host, model):
            error = failure(model)
        assert type(error) is PromptTooLong
        assert error.retry_after is None
        assert f"status {status[:3]}: maximum context length is 512 tokens; got: '…'" in error.detail
        assert len([request for request in host.requests if "messages" in request]) == 1

    def test_a_missing_model_is_not_retried(self) -> None:
        script = whole("404 Not Found", self.dialect.error(f"model 'm' not found {SECRET}"))
        with self.dialect.playing(script) as (_, model):
            error = failure(model)
            with pytest.raises(ModelMissing):
                run(model.check())
        assert (type(error), "'m'" in error.detail, getattr(error, "retry_after", 0)) == (ModelMissing, True, None)

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize(
        ("header", "seconds"), [("Retry-After: 7", 7), ("Retry-After: 9999", 300), ("X: 1", 5)]
    )
    def test_a_busy_host_says_when_to_come_back(self, status: int, header: str, seconds: float) -> None:
        script = whole(f"{status} Busy", self.dialect.error("busy"), header)
        with self.dialect.playing(script, sleeps=True) as (_, model):
            error = failure(model)
        assert isinstance(error, Unavailable)
        assert (type(error), error.retry_after) == (Unavailable, seconds)
        assert error.dependency == self.dialect.protocol

    def test_a_load_balancer_without_hosts_means_that_they_sleep(self) -> None:
        with self.dialect.playing(balancer_without_hosts, sleeps=True) as (_, model):
            assert isinstance(failure(model), ModelWaking)
            for call in (model.check, model.facts):
                with pytest.raises(ModelWaking):
                    run(call())
        assert isinstance(failure(model), ModelWaking)  # nothing listens, as behind the name of a single host

    @pytest.mark.parametrize(("late_s", "first_token_s"), [(0.0, 60), (1.0, 15)])
    def test_a_host_that_reads_slowly_gets_less_of_the_passages(self, late_s: float, first_token_s: int) -> None:
        loaded = stream(self.dialect.thought("Hm"), self.dialect.last("stop", 40, 2))
        late = then(lambda _: time.sleep(late_s), loaded)
        with self.dialect.playing(loaded, late, name="llama3.1:8b") as (host, model):
            _, room = run(model.measure(load_prompt("answer").turns, first_token_s, 20, 9))
        assert (room is None) == (late_s == 0.0)
        assert len({str(request["messages"]) for request in host.requests}) == 2

    @pytest.mark.parametrize("slow", ["no header", "half a text", "endless text"])
    def test_a_client_that_leaves_closes_the_connection_at_once(self, slow: str) -> None:
        async def read(model: ModelServer) -> None:
            async for _ in model.chat(ASK, 20):
                pass

        async def leave(model: ModelServer) -> None:
            chat = asyncio.create_task(read(model))
            await asyncio.sleep(0.3)
            chat.cancel()
            with pytest.raises(asyncio.CancelledError):
                await chat

        with self.dialect.playing(SLOW[slow](self.dialect)) as (host, model):
            run(leave(model))
            assert host.closed_by_client.wait(SLACK)

    @pytest.mark.parametrize("slow", SLOW)
    def test_a_slow_answer_ends_at_the_deadline_and_closes_its_connection(self, slow: str) -> None:
        with self.dialect.playing(SLOW[slow](self.dialect)) as (host, model):
            assert isinstance(failure(model), DeadlineExceeded)
            assert host.closed_by_client.wait(SLACK)

    def test_check_finds_a_dead_and_a_slow_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with self.dialect.playing(stall) as (host, model):
            monkeypatch.setattr("docwell.adapters.model_hosts.CHECK_TIMEOUT_S", 0.3)
            with pytest.raises(DeadlineExceeded):
                run(model.check())
            host.close()
            with pytest.raises(Unavailable):
                run(model.check())
            error = failure(model)
        assert getattr(error, "retry_after", None)

    def test_the_facts_are_read_once(self) -> None:
        with self.dialect.playing(whole("200 OK", self.dialect.card)) as (host, model):
            run(model.check())
            assert run(model.facts()) == run(model.facts()) == (32768, None)
            assert len(host.requests) == 1 + (self.dialect is OLLAMA)


class TestOllama(HostSuite):
    """`OllamaModel` on Ollama."""

    dialect = OLLAMA

    @pytest.mark.parametrize("row", HOSTS["thinking"], ids=str)
    def test_an_unknown_model_thinks_as_little_as_its_card_allows(self, row: dict[str, Any]) -> None:
        script = stream(OLLAMA.piece("Nine"), OLLAMA.last("stop", 40, 2))
        with OLLAMA.playing(whole("200 OK", row["card"]), script, name="never-seen") as (host, model):
            answer(model)
            answer(model.writing_at_most(12))
        assert [request["path"] for request in host.requests] == ["/api/show", *["/api/chat"] * 2]
        sent = [(chat["think"], chat["options"]["num_predict"]) for chat in host.requests[1:]]
        assert sent == [(row["think"], limit + row.get("room", 0)) for limit in (99, 12)]

    @pytest.mark.parametrize("listed", ["m", "m:latest"])
    def test_the_digest_is_read_from_the_list_of_models(self, listed: str) -> None:
        tags = {"models": [{"model": "other", "digest": "00"}, {"model": listed, "digest": "ab12"}]}
        info = {"general.architecture": "qwen2", "qwen2.context_length": 32768}
        with OLLAMA.playing(whole("200 OK", {"model_info": info, **tags})) as (_, model):
            assert run(model.facts()).digest == "ab12"


class TestVllm(HostSuite):
    """`OpenAiModel` on vLLM."""

    dialect = VLLM


class TestLlamaCpp(HostSuite):
    """`OpenAiModel` on llama.cpp. `tests/integration/test_openai_server.py` asks llama.cpp itself."""

    dialect = LLAMA_CPP


class TestLmStudio(HostSuite):
    """`OpenAiModel` on LM Studio."""

    dialect = LM_STUDIO


@pytest.mark.parametrize("card", HOSTS["card"], ids=lambda card: card["name"])
def test_the_context_of_a_host_is_read_from_its_list_of_models(card: dict[str, Any]) -> None:
    with VLLM.playing(raw(card["body"], "", 0)) as (_, model):
        try:
            length: object = run(model.facts()).context_length
        except DocwellError as error:
            length = type(error).__name__
    assert length == card.get("length")


@pytest.mark.parametrize("row", HOSTS["row"], ids=lambda row: row["name"])
def test_a_host_may_answer_in_the_forms_that_are_in_use(row: dict[str, Any]) -> None:
    dialect = OLLAMA if row["protocol"] == "ollama" else VLLM
    scripts = [raw(body, row.get("head", ""), row.get("cut", 0)) for body in row["body"]]
    if len(scripts) > 1:
        scripts[-1] = raw(row["body"][-1], "", 0)
    with dialect.playing(*scripts, name=row.get("model", "llama3.1:8b")) as (host, model):
        if "answer" in row:
            _, completion = answer(model)
            assert (completion.text, completion.done_reason) == (row["answer"], row.get("reason", "stop"))
        else:
            error = failure(model, [Message("user", row["question"])] if "question" in row else ASK)
            assert isinstance(error, Unavailable)
            assert type(error).__name__ == row.get("type", "Unavailable")
            assert row["error"] in error.detail
            assert (error.retry_after is not None) == row["retry"]
            assert len([request for request in host.requests if "messages" in request]) == row.get("requests", 1)
    assert row.get("sent", {}).items() <= host.requests[-1].items()
    assert host.requests[-1].keys().isdisjoint(row.get("unsent", ()))


def test_a_host_without_tls_does_not_sleep() -> None:
    def answers() -> None:
        with listener.accept()[0] as connection:
            connection.recv(9_999)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.recv(9_999)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answers, daemon=True).start()
        error = failure(VLLM.model(f"https://127.0.0.1:{listener.getsockname()[1]}", sleeps=True))
    assert (type(error), "SSLError" in error.detail) == (Unavailable, True)


def test_an_address_that_does_not_answer_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow_lookup(*_: object, **__: object) -> None:
        time.sleep(4)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", slow_lookup)
    monkeypatch.delenv("HTTP_PROXY")
    assert isinstance(failure(VLLM.model("http://model.invalid:11434")), DeadlineExceeded)


@given(
    row=st.sampled_from([row for row in ROWS if not any("{t}" in text for text in row["pieces"])]), data=st.data()
)
def test_the_answer_does_not_depend_on_how_its_text_is_cut(row: dict[str, Any], data: st.DataObject) -> None:
    text, cut = "".join(row["pieces"]), row.get("reason") == "length"
    ends = sorted(data.draw(st.sets(st.integers(0, len(text)))) | {0, len(text)})
    answers = []
    for pieces in ([text], [text[start:end] for start, end in pairwise(ends)]):
        body = AnswerText(begins_thinking=data.draw(st.booleans()) and "only the closing" in row["name"])
        for piece in pieces:
            body.feed(piece)
        body.finish(cut=cut)
        answers.append((body.text.strip(), body.thought))
    assert answers[0] == answers[1]
    assert answers[0][0] == row.get("answer", "")


def test_a_model_that_begins_with_thinking_shows_nothing_before_it_ends() -> None:
    body = AnswerText(begins_thinking=True)
    assert [body.feed(text) for text in ("Let me", " see.</think>", "\nNine")] == ["", "", "Nine"]
    unmarked = AnswerText(begins_thinking=True)
    assert (unmarked.feed("Nine"), unmarked.finish(cut=False)) == ("", "Nine")
    fielded = AnswerText(begins_thinking=True)
    assert (fielded.feed("", thinks=True), fielded.feed("Nine")) == ("", "Nine")


def test_every_profile_leaves_room_for_its_passages() -> None:
    for name in ("qwen3:8b", "qwen3:4b", "gpt-oss:20b", "deepseek-r1:8b", "never-seen", "qwen2.5-coder:1.5b"):
        profile = profile_of(name)
        assert profile.top_k * 250 + profile.thinking_tokens + 400 < profile.num_ctx
