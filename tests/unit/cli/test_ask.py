"""`docwell ask | search | replay | feedback`: requests, answers, streams in a terminal, and failures."""

from __future__ import annotations

import io
import json
import logging
import re
import socket
import sys
import time
import tomllib
import unicodedata
import webbrowser
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import parse_qs, urlsplit

import pytest
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner, Result

from docwell.cli import display
from docwell.cli.app import app
from docwell.cli.remote import Api
from docwell.cli.settings import Failure, Settings
from docwell.http import sse
from docwell.observability import logger
from docwell.text.visible import escape_json
from tests.unit.cases import rows
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import ANSWER, BUCKET, HIT, FakeApi

ANSWERS: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("answers.toml").read_text())["case"]
REQUESTS: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("requests.toml").read_text())["case"]
SUSPICIOUS = {"document": "handbooks/b.pdf", "page": 1, "score": 0.812, "suspicious": True}
TOKENS = [sse.event("token", {"text": text}) for text in ("Roll back ", "\x1b[2Jat once [9].")]
STREAM = [sse.event("passages", {"passages": []}), *TOKENS, sse.WAITING, sse.event("answer", ANSWER)]
PASSAGES = [
    {"number": 1, "document": "handbooks/é.pdf", "page": 9, "likely": "Roll back\nafter five minutes."},
    {"number": 2, "document": "reports/b\x1b[2J.pdf", "page": 2, "likely": None},
    {"number": 3, "document": "handbooks/é.pdf", "page": 4, "likely": None},
]
PROBLEM = {"title": "No answer within the time allowed", "status": 504, "detail": "too slow", "request_id": "r-9"}
PROBLEM_LINE = (
    "docwell: No answer within the time allowed: too slow (HTTP 504, request r-9);"
    " ask again, or use a faster model: docs/use/models.md\n"
)
# Format characters that readers see, such as signs around a number.
SHAPED = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
HIDDEN = {
    chr(code)
    for code in range(sys.maxunicode + 1)
    if unicodedata.category(chr(code)) in {"Cc", "Cf", "Zl", "Zp", "Co"} and chr(code) not in "\n" + SHAPED
}
# A C1 introducer, colours, a title, a bidirectional override, tags and a line separator, as in a key.
HOSTILE = "a\x9b31m\x1b[2J\x1b]0;owned\x07\u202etxt.fdp\U000e0041\u2028b\ue000"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    # rich reads these to detect a terminal.
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TTY_INTERACTIVE", "1")
    monkeypatch.setattr(display, "is_watched", lambda _: True)


def plain(text: str) -> str:
    """Return the text that a terminal shows, without colours and cursor moves."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.mark.parametrize("case", REQUESTS, ids=lambda case: str(case["line"])[:60])
def test_a_command_line_sends_its_body_or_is_wrong_usage(run: Run, api: FakeApi, case: dict[str, Any]) -> None:
    api.receipts = (200, {"request_id": "request-7", "verdict": "bad"})
    api.answer = (200, ANSWER | {"passages": []})
    result = run(*case["line"].split(), api=api)
    assert result.exit_code == (0 if "body" in case else 2), result.output
    assert [body for _, _, body, _ in api.requests] == ([case["body"]] if "body" in case else [])


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: str(case["name"]))
def test_an_answer_is_printed(run: Run, api: FakeApi, case: dict[str, Any]) -> None:
    api.answer = (200, ANSWER | case.get("answer", {}))
    result = run("ask", "When?", *case.get("flags", []), api=api)
    assert result.exit_code == case.get("exit", 0)
    assert [text for text in case.get("shown", []) if text not in result.stdout] == []
    assert [text for text in case.get("absent", []) if text in result.stdout] == []


FOREIGN = {"ask why?": "query", "search why?": "search", "ls": "documents", "replay r": "receipts/r/replay"}


@pytest.mark.parametrize("line", FOREIGN)
@pytest.mark.parametrize("body", ["[]", "{}", '{"results": []}', "3", "null", '{"documents": [[]]}', "<html>"])
def test_a_foreign_body_is_an_error_and_never_an_empty_answer(
    run: Run, api: FakeApi, line: str, body: str
) -> None:
    api.others[f"/v1/{FOREIGN[line]}"] = body
    result = run(*line.split(), api=api)
    assert (result.exit_code, "does not answer like docwell" in result.stderr) == (1, True), result.output


def test_json_is_the_answer_alone_and_a_problem_document_one_line_with_its_id(run: Run, api: FakeApi) -> None:
    result = run("ask", "When?", "--json", api=api)
    assert (json.loads(result.stdout), result.stderr) == (ANSWER, "")
    api.answer = (504, PROBLEM)
    result = run("ask", "When?", api=api)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", PROBLEM_LINE)
    assert "r-9); try again" in run("search", "When?", api=api).stderr
    for status in (401, 403):
        api.answer = (status, {"title": "Unauthorized"})
        assert "DOCWELL_API_KEY" in run("ask", "When?", api=api).stderr


def test_a_slow_answer_and_a_slow_repair_end_at_the_timeout(run: Run, credentials: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        Path("docwell.toml").write_text(f'functions_endpoint = "{endpoint}"\nreconcile_function = "f"')
        for line, words in (("ask When?", "within 0.2 s"), ("reconcile", "Read timeout")):
            result = run(*line.split(), "--timeout", "0.2", "--endpoint", endpoint)
            assert (result.exit_code, words in result.stderr) == (1, True), result.stderr


# --- search ---


def test_whole_passages_are_shown_with_page_and_score(run: Run, api: FakeApi) -> None:
    hit = HIT | {"quote": "2 %", "text": HIT["quote"]}
    api.answer = (200, {"passages": [hit, SUSPICIOUS], "documents": None})
    result = run("search", "When?", api=api)
    assert "[1] handbooks/é.pdf, page 9 (printed 6)\n    “more than 2 %”\n    cosine 0.81\n" in result.stdout
    assert "[2] handbooks/b.pdf, page 1\n    cosine 0.81; it gives its reader orders" in result.stdout


# --- answers in a terminal, while they are written ---


@pytest.mark.usefixtures("terminal")
def test_in_a_terminal_the_tokens_are_shown_and_then_the_checked_answer(run: Run, api: FakeApi) -> None:
    waking = [sse.event("waking", {"seconds": seconds}) for seconds in (0, 42)]
    passages = sse.event("passages", {"passages": PASSAGES})
    api.stream = [passages, *waking, *TOKENS, sse.WAITING, sse.event("answer", ANSWER)]
    result = run("ask", "When?", api=api)
    assert result.exit_code == 0
    assert api.requests[-1][2] == {"question": "When?", "stream": True}
    assert "\x1b[2J" not in result.stdout
    found, _, later = plain(result.stdout).partition("reading 3 passages")
    assert "found handbooks/é.pdf, page 4" in found
    assert "“Roll back after five minutes.”" in found
    assert "found reports/b[2J.pdf, page 2" in found
    assert "the model host is waking up, which takes minutes: 42 s" in later
    written, _, checked = later.partition("Roll back after five minutes [1].")
    assert ("at once [9]." in written, "at once" in checked) == (True, False)
    assert "handbooks/é.pdf, page 9 (printed 6)" in checked


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(("link", "opens"), rows(__file__, "links"))
def test_a_citation_opens_its_page_where_the_link_is_safe(
    run: Run, api: FakeApi, link: str | None, *, opens: bool
) -> None:
    api.answer = (200, ANSWER | {"citations": [ANSWER["citations"][0] | {"link": link}]})
    shown = run("ask", "When?", api=api).stdout
    assert "page 9" in plain(shown)
    assert (f";{link}\x1b\\" in shown) is opens
    assert ("\x1b]8;" in shown) is opens
    assert "\x1b]0;" not in shown


@pytest.mark.usefixtures("terminal")
def test_a_problem_in_mid_stream_or_before_it_is_one_line_with_its_status(run: Run, api: FakeApi) -> None:
    api.stream = [*TOKENS, sse.event("error", PROBLEM)]
    result = run("ask", "When?", api=api)
    assert (result.exit_code, result.stderr) == (1, PROBLEM_LINE)
    api.stream, api.answer = None, (504, PROBLEM)
    assert run("ask", "When?", api=api).stderr == PROBLEM_LINE


def comments() -> Iterator[bytes]:
    for _ in range(20):
        time.sleep(0.1)
        yield sse.WAITING


@pytest.mark.parametrize(
    ("stream", "message"),
    [(TOKENS, "broke off"), ([b"data: x\n\n"], "cannot ask"), (comments(), "no answer from")],
)
def test_a_stream_that_is_cut_garbled_or_endless_is_a_failure(api: FakeApi, stream: Any, message: str) -> None:
    api.stream = stream
    with pytest.raises(Failure, match=message):
        list(Api(Settings(endpoint=api.endpoint), 0.5).stream_query({"question": "When?"}))


def test_the_timeout_begins_again_while_a_model_host_wakes(api: FakeApi) -> None:
    def slow() -> Iterator[bytes]:
        for seconds in range(4):
            time.sleep(0.4)
            yield sse.event("waking", {"seconds": seconds})
        yield STREAM[-1]

    api.stream = slow()
    events = Api(Settings(endpoint=api.endpoint), 1.2).stream_query({"question": "q"})
    assert [name for name, _ in events] == ["waking"] * 4 + ["answer"]


# --- nothing that a document names drives a terminal or a log viewer ---


def hidden(text: str) -> set[str]:
    return set(text) & HIDDEN


def test_every_way_to_print_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table()
    table.add_column("key")
    table.add_row(Text(HOSTILE))
    display.say(HOSTILE)
    display.say(HOSTILE, err=True)
    display.show_json({HOSTILE: HOSTILE})
    display.show_fields({HOSTILE: HOSTILE})
    display.console().print(table)
    display.console().print(Text(HOSTILE))
    display.show_answer({**ANSWER, "answer": HOSTILE, "model": HOSTILE, "request_id": HOSTILE})
    display.show_documents([{"document": HOSTILE, "status": "REJECTED", "detail": HOSTILE}])
    shown = capsys.readouterr()
    assert hidden(shown.out + shown.err) == set()


def test_json_keeps_its_value_and_has_no_character_that_drives_a_terminal() -> None:
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]))
    shown = escape_json(json.dumps(everything, ensure_ascii=False))
    assert json.loads(shown) == everything
    assert hidden(shown) == set()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8", "UTF8", "utf-16"])
def test_json_is_json_in_every_encoding_of_the_output(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding, errors="backslashreplace"))
    value = {"document": "é\u2013日本😀.pdf"}
    display.show_json(value)
    sys.stdout.flush()
    text = written.getvalue()
    assert json.loads(text.decode(encoding) if encoding == "utf-16" else text) == value


def test_a_log_line_is_one_line_of_ascii() -> None:
    record = logging.LogRecord("docwell", logging.INFO, __file__, 1, HOSTILE, (), None)
    record.detail = HOSTILE
    line = logger.registered_formatter.format(record)
    assert line.isascii()
    assert not any(unicodedata.category(character) == "Cc" for character in line)
    assert json.loads(line)["detail"] == HOSTILE


# --- replay ---


def test_a_replay_shows_todays_answer_and_the_changes_side_by_side(run: Run, api: FakeApi) -> None:
    changes = (("model_digest", "sha256:1", "sha256:2"), ("answer", "\x1b[2Jgone", "[bold]not markup[/bold]"))
    rows = [dict(zip(("what", "then", "now"), change, strict=True)) for change in changes]
    runs = {"request_id": "request-7", "then": ANSWER, "now": ANSWER, "fit": 0.5, "min_fit": 0.22}
    api.receipts = (200, {**runs, "changes": rows})
    result = run("replay", "request/7", api=api)
    assert result.exit_code == 0, result.stderr
    assert api.requests[-1][:2] == ("POST", "/v1/receipts/request%2F7/replay")
    assert "Roll back after five minutes [1]." in result.stdout
    cells = {cell.strip() for line in result.stdout.splitlines() for cell in line.split("  ")}
    assert {"model digest", "sha256:1", "sha256:2", "[2Jgone", "[bold]not markup[/bold]"} <= cells
    assert "\x1b" not in result.stdout
    assert json.loads(run("replay", "request-7", "--json", api=api).stdout) == api.receipts[1]


# --- chat ---


RECEIPT = "0b62f3f2-6a0c-4f4e-9c65-6f2a4d3c8f10"
KEY = "handbooks/a & b é.pdf"
VIEW = "/source?document=handbooks%2Fa+%26+b+%C3%A9.pdf&page="


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch, api: FakeApi) -> Mock:
    """The call that opens an address in a browser; it returns false without one."""
    browser = Mock(return_value=True)
    monkeypatch.setattr(webbrowser, "open", browser)
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
    scope = {"collections": ["handbooks"]}
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


def test_sources_shows_the_quotes_of_the_last_answer_and_new_forgets_it(api: FakeApi) -> None:
    result = chat(api, "When?", "/new", "/sources", "Who?")
    assert bodies(api)[-1] == {"question": "Who?"}
    assert "the last answer cites no page" in result.stderr
    assert "“more than 2 % for five minutes”" not in chat(api, "When?").stdout
    assert "“more than 2 % for five minutes”" in chat(api, "When?", "/sources").stdout


def test_an_error_is_printed_and_the_conversation_goes_on(api: FakeApi) -> None:
    api.answer = (429, {"title": "Too many requests", "detail": "a quota is used up"})
    result = chat(api, "When?", "Who?")
    assert result.exit_code == 0
    assert result.stderr.count("docwell: Too many requests") == 2
    assert [set(body) for body in bodies(api)] == [{"question"}, {"question"}]


def test_a_line_in_another_encoding_does_not_end_the_conversation(api: FakeApi) -> None:
    lines = "caf\u00e9?\nnext?\n".encode("latin-1")
    result = CliRunner().invoke(app, ["chat", "--endpoint", api.endpoint], input=lines)
    assert result.exit_code == 0
    assert [body["question"] for body in bodies(api)] == ["caf\ufffd?", "next?"]


def test_ctrl_c_stops_an_answer_and_clears_a_line_but_does_not_end(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = Mock(side_effect=[KeyboardInterrupt, ANSWER])
    monkeypatch.setattr(Api, "post", post)
    monkeypatch.setattr("builtins.input", Mock(side_effect=["When?", KeyboardInterrupt, "Who?", EOFError]))
    result = chat(api)
    assert result.exit_code == 0
    assert "stopped" in result.stdout
    assert post.call_args.args[1] == {"question": "Who?"}


# --- open ---


@pytest.mark.parametrize(
    ("arguments", "view"),
    [([], "/ask"), ([KEY], f"{VIEW}1"), ([KEY, "--page", "7"], f"{VIEW}7"), ([RECEIPT], f"/receipt/{RECEIPT}")],
)
def test_the_console_opens_at_its_view_with_a_code_in_place_of_the_key(
    run: Run, api: FakeApi, browser: Mock, arguments: list[str], view: str, tmp_path: Path, monkeypatch: Any
) -> None:
    api.others["/-/code"] = {"code": "once"}
    monkeypatch.setenv("HOME", str(tmp_path))
    result = run("open", *arguments, "--api-key", "a&b", api=api)
    assert result.exit_code == 0, result.stderr
    # Other users can read the browser's command line: the code is in a file.
    page = Path(urlsplit(browser.call_args.args[0]).path)
    assert page.stat().st_mode & 0o777 == 0o600
    parts = urlsplit(unescape(page.read_text()).partition("url=")[2].partition('"')[0])
    assert (f"{parts.scheme}://{parts.netloc}", parts.path, parts.query) == (api.endpoint, "/", "")
    assert parse_qs(parts.fragment) == {"code": ["once"], "view": [view]}
    assert "a&b" not in result.output  # the key must not be on the screen
    run("open", *arguments, api=api)
    browser.assert_called_with(f"{api.endpoint}/#{view}")


@pytest.mark.parametrize("code", [None, "c"])
def test_without_a_code_a_browser_or_a_home_the_address_is_printed(
    run: Run, api: FakeApi, browser: Mock, code: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/dev/null")
    api.others |= {"/-/code": {"code": code}} if code else {}
    result = run("open", "--api-key", "k", api=api)
    fragment = f"code={code}" if code else "key=k"
    assert (result.exit_code, result.stdout) == (0, f"{api.endpoint}/#{fragment}&view=%2Fask\n")
    browser.assert_not_called()


@pytest.mark.parametrize("target", ["none.pdf", RECEIPT.replace("0", "1")])
def test_a_missing_document_or_receipt_is_an_error_with_a_hint(
    run: Run, api: FakeApi, browser: Mock, target: str
) -> None:
    result = run("open", target, api=api)
    assert (result.exit_code, target in result.stderr) == (1, True)
    assert "`docwell ls` lists the documents" in result.stderr
    browser.assert_not_called()


def test_the_key_of_a_local_stack_is_not_for_the_console_of_another_stack() -> None:
    settings = Settings(endpoint="http://127.0.0.1:1", console="https://console", local=True)
    assert Api(settings, 1).console == "http://127.0.0.1:1"
    assert Api(replace(settings, local=False), 1).console == "https://console"
