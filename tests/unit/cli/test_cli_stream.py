"""`docwell ask` in a terminal: the answer while it is written."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from docwell.cli import display
from docwell.cli.ask import _answer
from docwell.cli.remote import Api, Json
from docwell.cli.settings import Failure, Settings
from docwell.http import sse
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import ANSWER, FakeApi

TOKENS = [sse.event("token", {"text": text}) for text in ("Roll back ", "\x1b[2Jat once [9].")]
WHOLE = [sse.event("passages", {"passages": []}), *TOKENS, sse.WAITING, sse.event("answer", ANSWER)]
PASSAGES = [
    {"number": 1, "document": "handbooks/é.pdf", "page": 9, "likely": "Roll back\nafter five minutes."},
    {"number": 2, "document": "reports/b\x1b[2J.pdf", "page": 2, "likely": None},
    {"number": 3, "document": "handbooks/é.pdf", "page": 4, "likely": None},
]
PROBLEM = {
    "type": "urn:docwell:problem:deadline-exceeded",
    "title": "No answer within the time allowed",
    "status": 504,
    "detail": "the model was too slow",
    "request_id": "request-9",
}


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    # rich reads these to detect a terminal.
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TTY_INTERACTIVE", "1")
    monkeypatch.setattr(display, "is_watched", lambda _: True)


@pytest.mark.usefixtures("terminal")
def test_in_a_terminal_the_tokens_are_shown_and_then_the_checked_answer(run: Run, api: FakeApi) -> None:
    api.stream = WHOLE
    result = run("ask", "When?", api=api)
    assert result.exit_code == 0
    assert api.requests[-1][2] == {"question": "When?", "stream": True}
    written, _, checked = result.stdout.partition("Roll back after five minutes [1].")
    assert "at once [9]." in written
    assert "at once" not in checked
    assert "handbooks/é.pdf, page 9 (printed 6)" in checked
    assert "\x1b[2J" not in result.stdout


def plain(text: str) -> str:
    """Return what a terminal shows, without colours and cursor moves."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.mark.usefixtures("terminal")
def test_the_passages_come_first_with_the_sentence_that_most_likely_answers(run: Run, api: FakeApi) -> None:
    api.stream = [sse.event("passages", {"passages": PASSAGES}), *TOKENS, sse.event("answer", ANSWER)]
    shown = plain(run("ask", "When?", api=api).stdout)
    found, _, later = shown.partition("reading 3 passages of handbooks/é.pdf, reports/b[2J.pdf")
    assert "found handbooks/é.pdf, pages 9, 4" in found
    assert "“Roll back after five minutes.”" in found
    assert "found reports/b[2J.pdf, page 2" in found
    assert "at once [9]." not in found
    assert later.index("at once [9].") < later.index("Roll back after five minutes [1].")


@pytest.mark.usefixtures("terminal")
def test_passages_are_shown_before_the_model_has_said_anything(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []

    def events() -> Iterator[bytes]:
        yield sse.event("passages", {"passages": PASSAGES})
        deadline = time.monotonic() + 20
        # The model is silent until the terminal shows the passages.
        while "found handbooks/é.pdf" not in "".join(shown) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield sse.event("answer", ANSWER)

    show = display.GrowingAnswer.show_passages

    def found(growing: display.GrowingAnswer, passages: list[Json]) -> None:
        show(growing, passages)
        shown.append(capsys.readouterr().out)

    monkeypatch.setattr(display.GrowingAnswer, "show_passages", found)
    api.stream = events()
    assert _answer(Api(Settings(endpoint=api.endpoint), 30), {"question": "When?"}) == ANSWER
    assert "“Roll back after five minutes.”" in shown[0]


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("link", "opens"),
    [
        ("https://bucket/a.pdf?v=1#page=9", True),
        (None, False),
        ("file:///etc/passwd", False),
        ("https://bucket/\x1b]0;owned\x07", False),
        ("https://bucket/a b", False),
    ],
)
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
@pytest.mark.parametrize("flag", ["--no-stream", "--json"])
def test_json_and_no_stream_ask_for_no_stream(run: Run, api: FakeApi, flag: str) -> None:
    api.stream = WHOLE
    assert run("ask", "When?", flag, api=api).exit_code == 0
    assert api.requests[-1][2] == {"question": "When?"}


def test_in_a_pipe_no_stream_is_asked_for(run: Run, api: FakeApi) -> None:
    api.stream = WHOLE
    assert "Roll back after five minutes [1]." in run("ask", "When?", api=api).stdout
    assert api.requests[-1][2] == {"question": "When?"}


@pytest.mark.usefixtures("terminal")
def test_an_error_in_mid_stream_is_one_line_with_its_status(run: Run, api: FakeApi) -> None:
    api.stream = [*TOKENS, sse.event("error", PROBLEM)]
    result = run("ask", "When?", api=api)
    assert result.exit_code == 1
    assert result.stderr == (
        "docwell: No answer within the time allowed: the model was too slow (HTTP 504, request request-9)\n"
    )


@pytest.mark.usefixtures("terminal")
def test_an_answer_without_a_stream_is_shown(run: Run, api: FakeApi) -> None:
    assert "Roll back after five minutes [1]." in run("ask", "When?", api=api).stdout


@pytest.mark.usefixtures("terminal")
def test_a_problem_before_the_stream_is_one_line(run: Run, api: FakeApi) -> None:
    api.answer = (504, PROBLEM)
    result = run("ask", "When?", api=api)
    assert result.exit_code == 1
    assert "(HTTP 504, request request-9)" in result.stderr


@pytest.mark.parametrize(("pieces", "says"), [(TOKENS, "broke off"), ([b"data: x\n\n"], "cannot ask")])
def test_a_stream_that_is_cut_or_garbled_is_a_failure(api: FakeApi, pieces: list[bytes], says: str) -> None:
    api.stream = pieces
    with pytest.raises(Failure, match=says):
        list(Api(Settings(endpoint=api.endpoint), 5).stream_query({"question": "When?"}))


def comments() -> Iterator[bytes]:
    for _ in range(20):
        time.sleep(0.1)
        yield sse.WAITING


def test_a_stream_ends_at_the_timeout_however_much_it_says(api: FakeApi) -> None:
    api.stream = comments()
    with pytest.raises(Failure, match="no answer from"):
        list(Api(Settings(endpoint=api.endpoint), 0.5).stream_query({"question": "When?"}))


@pytest.mark.usefixtures("terminal")
def test_in_a_terminal_the_wait_for_a_model_host_is_counted(run: Run, api: FakeApi) -> None:
    waiting = [sse.event("waking", {"seconds": seconds}) for seconds in (0, 42)]
    api.stream = [WHOLE[0], *waiting, *WHOLE[1:]]
    written = plain(run("ask", "When?", api=api).stdout)
    assert "the model host is waking up, which takes minutes: 42 s" in written
    assert "Roll back after five minutes [1]." in written


def test_the_timeout_begins_again_while_a_model_host_wakes(api: FakeApi) -> None:
    def slow() -> Iterator[bytes]:
        for seconds in range(4):
            time.sleep(0.4)
            yield sse.event("waking", {"seconds": seconds})
        yield WHOLE[-1]

    api.stream = slow()
    found = list(Api(Settings(endpoint=api.endpoint), 1.2).stream_query({"question": "q"}))
    assert [name for name, _ in found] == ["waking"] * 4 + ["answer"]
