"""`docwell chat` and `docwell open`, against a fake API and without a browser."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner, Result

from docwell.cli.app import app
from docwell.cli.remote import Api, Json
from docwell.cli.settings import Settings
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import ANSWER, BUCKET, FakeApi

RECEIPT = "0b62f3f2-6a0c-4f4e-9c65-6f2a4d3c8f10"
KEY = "handbooks/a & b é.pdf"
VIEW = "/source?document=handbooks%2Fa+%26+b+%C3%A9.pdf&page="


class Browser:
    """Opens nothing. `opens` says whether there is a browser; without one, Python's module raises or says no."""

    def __init__(self) -> None:
        self.opens: bool | Exception = True
        self.opened: list[str] = []

    def open(self, address: str) -> bool:
        if isinstance(self.opens, Exception):
            raise self.opens
        self.opened += [address] if self.opens else []
        return self.opens


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch, api: FakeApi) -> Browser:
    browser = Browser()
    monkeypatch.setattr(webbrowser, "open", browser.open)
    api.others = {"/": "<!doctype html>", f"/v1/receipts/{RECEIPT}": {"request_id": RECEIPT}}
    api.documents[KEY] = [{"document": KEY, "status": "INDEXED"}]
    return browser


def chat(api: FakeApi, *lines: str, flags: tuple[str, ...] = ()) -> Result:
    arguments = ["chat", *flags, "--endpoint", api.endpoint, "--bucket", BUCKET]
    return CliRunner().invoke(app, arguments, input="".join(f"{line}\n" for line in lines))


def bodies(api: FakeApi) -> list[dict[str, Any]]:
    return [body for _, path, body, _ in api.requests if path == "/v1/query"]


def test_a_question_carries_the_conversation_before_it_and_the_end_of_input_ends(api: FakeApi) -> None:
    result = chat(api, "When?", "", "   ", "And then?", flags=("--collection", "handbooks"))
    assert result.exit_code == 0
    scope = {"collection": "handbooks"}
    turn = {"question": "When?", "answer": ANSWER["answer"]}
    assert bodies(api) == [{"question": "When?"} | scope, {"question": "And then?", "history": [turn]} | scope]
    assert result.stdout.count("Roll back after five minutes [1].") == 2
    assert "[1] handbooks/é.pdf, page 9 (printed 6)" in result.stdout


def test_the_history_has_follow_ups_as_they_were_searched_for(api: FakeApi) -> None:
    api.answer = (200, ANSWER | {"rewritten_question": "When in 2015? And in 2017?"})
    result = chat(api, "And in 2017?", "And in 2018?")
    assert "searched for: When in 2015? And in 2017?\n" in result.stdout
    assert bodies(api)[1]["history"][0]["question"] == "When in 2015? And in 2017?"


def test_the_history_stays_within_the_limits_of_the_api(api: FakeApi) -> None:
    chat(api, *(f"Question {number}?" for number in range(1, 14)))
    assert [turn["question"] for turn in bodies(api)[-1]["history"]] == [f"Question {n}?" for n in range(3, 13)]
    api.answer = (200, ANSWER | {"answer": "long " * 900})
    chat(api, "One?", "Two?", "Three?")
    assert [turn["question"] for turn in bodies(api)[-1]["history"]] == ["Two?"]
    api.answer = (200, ANSWER | {"answer": " "})  # no turn
    chat(api, "One?", "Two?")
    assert "history" not in bodies(api)[-1]


def test_new_forgets_the_conversation(api: FakeApi) -> None:
    result = chat(api, "When?", "/new", "/sources", "Who?")
    assert bodies(api)[-1] == {"question": "Who?"}
    assert "the last answer cites no page" in result.stderr


def test_sources_shows_the_quotes_of_the_last_answer(api: FakeApi) -> None:
    assert "“more than 2 % for five minutes”" not in chat(api, "When?").stdout
    assert "“more than 2 % for five minutes”" in chat(api, "When?", "/sources").stdout


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
    assert [set(body) for body in bodies(api)] == [{"question"}, {"question"}]


def test_a_line_in_another_encoding_does_not_end_the_conversation(api: FakeApi) -> None:
    lines = "caf\u00e9?\nnext?\n".encode("latin-1")
    result = CliRunner().invoke(app, ["chat", "--endpoint", api.endpoint], input=lines)
    assert result.exit_code == 0
    assert [body["question"] for body in bodies(api)] == ["caf\ufffd?", "next?"]


def test_ctrl_c_stops_an_answer_and_clears_a_line_but_does_not_end(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    post, stops = Api.post, [True, False]

    def interrupted(self: Api, path: str, body: Json | None = None) -> Json:
        if stops.pop(0):
            raise KeyboardInterrupt
        return post(self, path, body)

    lines: Iterator[str | type[BaseException]] = iter(["When?", KeyboardInterrupt, "Who?", EOFError])

    def read_line(_: str) -> str:
        line = next(lines)
        if isinstance(line, str):
            return line
        raise line

    monkeypatch.setattr(Api, "post", interrupted)
    monkeypatch.setattr("builtins.input", read_line)
    result = chat(api)
    assert result.exit_code == 0
    assert "stopped" in result.stdout
    assert bodies(api) == [{"question": "Who?"}]


# --- open ---


@pytest.mark.parametrize(
    ("arguments", "view"),
    [
        ([], "/ask"),
        ([KEY], f"{VIEW}1"),
        ([KEY, "--page", "7"], f"{VIEW}7"),
        ([RECEIPT], f"/receipt/{RECEIPT}"),
    ],
)
def test_the_console_opens_at_its_view_with_the_key_in_the_fragment(
    run: Run, api: FakeApi, browser: Browser, arguments: list[str], view: str
) -> None:
    result = run("open", *arguments, "--api-key", "a&b", api=api)
    assert result.exit_code == 0, result.stderr
    parts = urlsplit(browser.opened.pop())
    assert (f"{parts.scheme}://{parts.netloc}", parts.path, parts.query) == (api.endpoint, "/", "")
    assert parse_qs(parts.fragment) == {"key": ["a&b"], "view": [view]}
    assert "a&b" not in result.output  # a key stays off the screen
    run("open", *arguments, api=api)
    assert browser.opened == [f"{api.endpoint}/#{view}"]


@pytest.mark.parametrize("opens", [False, webbrowser.Error("no browser")])
def test_without_a_browser_the_address_is_printed(
    run: Run, api: FakeApi, browser: Browser, opens: bool | Exception
) -> None:
    browser.opens = opens
    result = run("open", "--api-key", "k", api=api)
    assert (result.exit_code, result.stdout) == (0, f"{api.endpoint}/#key=k&view=%2Fask\n")


@pytest.mark.parametrize("target", ["none.pdf", RECEIPT.replace("0", "1")])
def test_a_missing_document_or_receipt_is_an_error_with_a_hint(
    run: Run, api: FakeApi, browser: Browser, target: str
) -> None:
    result = run("open", target, api=api)
    assert (result.exit_code, target in result.stderr) == (1, True)
    assert "`docwell status` lists the documents" in result.stderr
    assert browser.opened == []


def test_the_key_of_a_local_stack_is_not_for_the_console_of_another_stack() -> None:
    settings = Settings(endpoint="http://127.0.0.1:1", console="https://console", local=True)
    assert Api(settings, 1).console == "http://127.0.0.1:1"
    assert Api(replace(settings, local=False), 1).console == "https://console"
