"""Nothing that a document names drives a terminal or a log viewer."""

from __future__ import annotations

import io
import json
import logging
import sys
import unicodedata

import pytest
from rich.table import Table
from rich.text import Text

from docwell.cli import display
from docwell.observability import logger
from docwell.text.visible import escape_json
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import ANSWER, FakeApi

# Formats that readers see, as signs around a number.
SHAPED = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
HIDDEN = {
    chr(code)
    for code in range(sys.maxunicode + 1)
    if unicodedata.category(chr(code)) in {"Cc", "Cf", "Zl", "Zp", "Co"} and chr(code) not in "\n" + SHAPED
}
# A C1 introducer, colours, a title, a bidirectional override, tags and a line separator, as in a key.
HOSTILE = "a\x9b31m\x1b[2J\x1b]0;owned\x07\u202etxt.fdp\U000e0041\u2028b\ue000"


def hidden(text: str) -> set[str]:
    return set(text) & HIDDEN


def test_every_way_to_print_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table()
    table.add_column("key")
    table.add_row(Text(HOSTILE))
    display.echo(HOSTILE)
    display.echo(HOSTILE, err=True)
    display.say(HOSTILE)
    display.show_json({HOSTILE: HOSTILE})
    display.console().print(table)
    display.console().print(Text(HOSTILE))
    display.show_answer({**ANSWER, "answer": HOSTILE, "model": HOSTILE, "request_id": HOSTILE})
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


def test_no_answer_grows_in_a_pipe_that_is_to_have_colours(
    run: Run, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = run("ask", "why?", api=api).stdout
    assert shown.startswith("Roll back after five minutes [1].\n")
    assert "\x1b[1m[1] " in shown
    assert "\x1b[?25l" not in shown + run("status", "--watch", api=api).stderr


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_key_of_a_document_never_drives_the_terminal(run: Run, api: FakeApi, flags: list[str]) -> None:
    api.documents[HOSTILE] = [{"document": HOSTILE, "status": "REJECTED", "title": HOSTILE, "detail": HOSTILE}]
    api.pages = [{"documents": api.documents[HOSTILE], "cursor": None}]
    result = run("status", *flags, api=api)
    assert hidden(result.stdout + result.stderr) == set()


def test_a_quote_is_shown_in_its_display_form(run: Run, api: FakeApi) -> None:
    citation = {
        "marker": 1,
        "document": "a.pdf",
        "page": 1,
        "quote": "see https://e.com",
        "display_quote": "see e[.]com",
    }
    api.answer = (200, {**ANSWER, "citations": [citation]})
    result = run("ask", "what", api=api)
    assert "see e[.]com" in result.stdout
    assert "https" not in result.stdout


def test_a_log_line_is_one_line_of_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    record = logging.LogRecord("docwell", logging.INFO, __file__, 1, HOSTILE, (), None)
    record.detail = HOSTILE
    line = logger.registered_formatter.format(record)
    assert line.isascii()
    assert not any(unicodedata.category(character) == "Cc" for character in line)
    assert json.loads(line)["detail"] == HOSTILE


@pytest.mark.parametrize(("status", "shown"), [("refused", True), ("answered", False)])
def test_passages_without_room_in_the_prompt_are_told_where_they_may_hold_the_answer(
    run: Run, api: FakeApi, status: str, shown: bool
) -> None:
    api.answer = (200, {**ANSWER, "status": status, "dropped_passages": 2})
    assert ("no room for 2 of the passages" in run("ask", "what", api=api).stdout) is shown


@pytest.mark.parametrize("reason", [None, "dependency-unavailable"])
def test_only_a_failed_model_is_reported_as_not_available(run: Run, api: FakeApi, reason: str | None) -> None:
    api.answer = (200, {**ANSWER, "status": "extractive", "fallback_reason": reason})
    assert ("not available" in run("ask", "what", api=api).stdout) is (reason is not None)


def test_hosts_that_a_schedule_has_stopped_have_the_hour_of_their_start(run: Run, api: FakeApi) -> None:
    reason = "model_asleep_until 2026-11-28T07:00Z"
    api.answer = (200, {**ANSWER, "status": "extractive", "fallback_reason": reason})
    assert "stopped by schedule until 2026-11-28T07:00Z" in run("ask", "what", api=api).stdout
