"""`docwell chat`: questions, commands and failures of one conversation."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from docwell.cli.app import app
from docwell.cli.remote import Api, Json
from tests.unit.cli.fake_api import ANSWER, BUCKET, FakeApi

LINK = "https://bucket/handbook.pdf?v=1#page=9"
LINKED = ANSWER | {"citations": [ANSWER["citations"][0] | {"link": LINK}]}


def chat(api: FakeApi, *lines: str, flags: tuple[str, ...] = ()) -> Result:
    arguments = ["chat", *flags, "--endpoint", api.endpoint, "--bucket", BUCKET]
    return CliRunner().invoke(app, arguments, input="".join(f"{line}\n" for line in lines))


def asked(api: FakeApi) -> list[dict[str, Any]]:
    return [body for _, path, body, _ in api.requests if path == "/v1/query"]


def test_a_question_carries_the_conversation_before_it_and_the_end_of_input_ends(api: FakeApi) -> None:
    result = chat(api, "When?", "And then?", flags=("--collection", "handbooks", "--fallback"))
    assert result.exit_code == 0
    where = {"collection": "handbooks", "fallback": "extractive"}
    turn = {"question": "When?", "answer": ANSWER["answer"]}
    assert asked(api) == [{"question": "When?"} | where, {"question": "And then?", "history": [turn]} | where]
    assert result.stdout.count("Roll back after five minutes [1].") == 2
    assert "[1] handbooks/é.pdf, page 9 (printed 6)" in result.stdout


def test_the_history_has_follow_ups_as_they_were_searched_for(api: FakeApi) -> None:
    api.answer = (200, ANSWER | {"rewritten_question": "When in 2015? And in 2017?"})
    result = chat(api, "And in 2017?", "And in 2018?")
    assert "searched for: When in 2015? And in 2017?\n" in result.stdout
    assert asked(api)[1]["history"][0]["question"] == "When in 2015? And in 2017?"


def test_the_history_stays_within_the_limits_of_the_api(api: FakeApi) -> None:
    chat(api, *(f"Question {number}?" for number in range(1, 14)))
    assert [turn["question"] for turn in asked(api)[-1]["history"]] == [f"Question {n}?" for n in range(3, 13)]
    api.answer = (200, ANSWER | {"answer": "long " * 900})
    chat(api, "One?", "Two?", "Three?")
    assert [turn["question"] for turn in asked(api)[-1]["history"]] == ["Two?"]


def test_an_answer_without_text_is_no_turn(api: FakeApi) -> None:
    api.answer = (200, ANSWER | {"answer": " "})
    chat(api, "One?", "Two?")
    assert "history" not in asked(api)[-1]


def test_new_forgets_the_conversation(api: FakeApi) -> None:
    result = chat(api, "When?", "/new", "/sources", "Who?")
    assert asked(api)[-1] == {"question": "Who?"}
    assert "the last answer cites no page" in result.stderr


def test_sources_shows_the_quotes_of_the_last_answer(api: FakeApi) -> None:
    assert "“more than 2 % for five minutes”" not in chat(api, "When?").stdout
    assert "“more than 2 % for five minutes”" in chat(api, "When?", "/sources").stdout


@pytest.mark.parametrize("browser", [True, False])
def test_open_shows_the_page_in_a_browser_or_prints_its_address(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, *, browser: bool
) -> None:
    opened: list[str] = []

    def show(link: str) -> bool:
        opened.append(link)
        return browser

    monkeypatch.setattr(webbrowser, "open", show)
    api.answer = (200, LINKED)
    result = chat(api, "When?", "/open 1", "/open [1]")
    assert opened == [LINK, LINK]
    assert result.stdout.count(LINK) == (0 if browser else 2)


@pytest.mark.parametrize(
    ("link", "command", "says"),
    [
        (LINK, "/open 2", "/open takes one of 1"),
        (LINK, "/open", "/open takes one of 1"),
        (None, "/open 1", "has no link"),
        ("file:///etc/passwd", "/open 1", "has no link"),
    ],
)
def test_open_refuses_what_it_cannot_open(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, link: str | None, command: str, says: str
) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda link: pytest.fail(f"opened {link}"))
    api.answer = (200, ANSWER | {"citations": [ANSWER["citations"][0] | {"link": link}]})
    result = chat(api, "When?", command, "Who?")
    assert says in result.stderr
    assert len(asked(api)) == 2


@pytest.mark.parametrize(
    ("status", "problem"),
    [(429, {"title": "Too many requests", "detail": "a quota is used up"}), (503, {"title": "Not available"})],
)
def test_an_error_is_printed_and_the_conversation_goes_on(
    api: FakeApi, status: int, problem: dict[str, str]
) -> None:
    api.answer = (status, problem)
    result = chat(api, "When?", "Who?")
    assert result.exit_code == 0
    assert result.stderr.count(f"docwell: {problem['title']}") == 2
    assert [set(body) for body in asked(api)] == [{"question"}, {"question"}]


def test_an_api_that_cannot_be_reached_does_not_end_the_conversation(api: FakeApi) -> None:
    result = CliRunner().invoke(app, ["chat", "--endpoint", "http://127.0.0.1:9"], input="When?\nWho?\n")
    assert result.exit_code == 0
    assert result.stderr.count("cannot reach") == 2


def test_help_and_an_unknown_command_list_the_commands(api: FakeApi) -> None:
    for command in ("/help", "/what"):
        shown = chat(api, command).stdout
        assert all(name in shown for name in ("/sources", "/open N", "/new", "Ctrl-D"))
    assert asked(api) == []


def test_a_line_in_another_encoding_does_not_end_the_conversation(api: FakeApi) -> None:
    lines = "caf\u00e9?\nnext?\n".encode("latin-1")
    result = CliRunner().invoke(app, ["chat", "--endpoint", api.endpoint], input=lines)
    assert result.exit_code == 0
    assert [body["question"] for body in asked(api)] == ["caf\ufffd?", "next?"]


def test_an_empty_line_asks_nothing(api: FakeApi) -> None:
    assert chat(api, "", "   ").exit_code == 0
    assert asked(api) == []


def test_ctrl_c_stops_an_answer_and_clears_a_line_but_does_not_end(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    post, stops = Api.post, [True, False]

    def stopped(self: Api, path: str, body: Json | None = None) -> Json:
        if stops.pop(0):
            raise KeyboardInterrupt
        return post(self, path, body)

    lines: Iterator[str | type[BaseException]] = iter(["When?", KeyboardInterrupt, "Who?", EOFError])

    def line(_: str) -> str:
        found = next(lines)
        if isinstance(found, str):
            return found
        raise found

    monkeypatch.setattr(Api, "post", stopped)
    monkeypatch.setattr("builtins.input", line)
    result = chat(api)
    assert result.exit_code == 0
    assert "stopped" in result.stdout
    assert asked(api) == [{"question": "Who?"}]
