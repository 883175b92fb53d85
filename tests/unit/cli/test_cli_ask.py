"""`docwell ask`: answers, refusals and failures."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import FakeApi


def test_an_answer_is_shown_with_page_printed_label_and_quote(run: Run, api: FakeApi) -> None:
    result = run("ask", "When?", "--collection", "handbooks", "--top-k", "3", api=api)
    assert result.exit_code == 0
    assert "Roll back after five minutes [1]." in result.stdout
    assert "[1] handbooks/é.pdf, page 9 (printed 6)" in result.stdout
    assert "“more than 2 % for five minutes”" in result.stdout
    assert "small-model · 1,200 + 30 tokens · 912 ms" in result.stdout
    assert api.requests[-1][2] == {"question": "When?", "collection": "handbooks", "top_k": 3}


def test_a_model_that_was_not_asked_is_not_named(run: Run, api: FakeApi) -> None:
    unused = {"usage": {"prompt_tokens": 0, "completion_tokens": 0}, "mode": "list"}
    api.answer = (200, api.answer[1] | unused)
    shown = run("ask", "Which documents mention it?", api=api).stdout
    assert "\nlist · no model · 912 ms" in shown
    assert "small-model" not in shown


def test_several_collections_go_as_a_list(run: Run, api: FakeApi) -> None:
    run("ask", "When?", "--collection", "a", "--collection", "b", "--document", "a/x.pdf", api=api)
    assert api.requests[-1][2] == {"question": "When?", "collections": ["a", "b"], "document": "a/x.pdf"}


def test_the_mode_is_sent_if_given_and_shown_unless_it_is_passages(run: Run, api: FakeApi) -> None:
    api.answer = (200, api.answer[1] | {"mode": "overview"})
    shown = run("ask", "What is it?", "--document", "a.pdf", "--mode", "overview", api=api).stdout
    assert api.requests[-1][2] == {"question": "What is it?", "document": "a.pdf", "mode": "overview"}
    assert "\noverview · small-model · " in shown
    api.answer = (200, api.answer[1] | {"mode": "passages"})
    assert "\nsmall-model · " in run("ask", "What is it?", api=api).stdout
    assert "The mode overview has no answer" in run("ask", "What?", "--mode", "overview", api=api).stdout
    assert run("ask", "What?", "--mode", "guess", api=api).exit_code == 2


def test_the_fallback_is_asked_for_and_its_answer_is_no_answer_of_the_model(run: Run, api: FakeApi) -> None:
    api.answer = (200, api.answer[1] | {"status": "extractive", "fallback_reason": "dependency-unavailable"})
    result = run("ask", "When?", "--fallback", api=api)
    assert result.exit_code == 0
    assert api.requests[-1][2] == {"question": "When?", "fallback": "extractive"}
    assert "The language model is not available. These are the best sentences:" in result.stdout


def test_a_refused_answer_is_shown_and_exits_4(run: Run, api: FakeApi) -> None:
    api.answer = (200, api.answer[1] | {"status": "refused", "answer": "Nothing relevant.", "citations": []})
    result = run("ask", "Who?", api=api)
    assert result.exit_code == 4
    assert "Nothing relevant." in result.stdout


def test_unsupported_sentences_are_listed_below_the_answer(run: Run, api: FakeApi) -> None:
    sentences = [
        {"text": "Roll back\nafter nine minutes [1].", "supported": False, "missing": ["nine", "9"]},
        {"text": "Tell the owner [1].", "supported": True, "missing": []},
        {"text": "Then rest\x1b [1].", "supported": False, "missing": []},
    ]
    api.answer = (200, api.answer[1] | {"sentences": sentences})
    shown = run("ask", "When?", api=api).stdout
    assert "passages (not in them: nine, 9): “Roll back after nine minutes [1].”\n" in shown
    assert "Not supported by the passages: “Then rest [1].”\n" in shown
    assert "Tell the owner" not in shown


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"cut_short": True}, "912 ms · cut short · request request-7"),
        ({"partial": True}, "912 ms · partial: a Chroma server did not answer · request request-7"),
        ({"cut_short": False}, "912 ms · request request-7"),
        ({"cost": {"amount": 0.0, "currency": "USD"}}, "912 ms · request request-7"),
        ({"cost": {"amount": 0.000624123, "currency": "USD"}}, "912 ms · 0.000624 USD · request request-7"),
        # Only certainty reads 100%.
        ({"citations": [{"ocr_confidence": 0.996}]}, "recognised with 99% confidence"),
        ({"citations": [{"ocr_confidence": 0.29}]}, "recognised with 29% confidence"),
        ({"citations": [{"ocr_confidence": 1.0}]}, "recognised with 100% confidence"),
    ],
)
def test_details_of_an_answer_are_shown(run: Run, api: FakeApi, changes: dict[str, Any], shown: str) -> None:
    api.answer = (200, api.answer[1] | changes)
    assert shown in run("ask", "When?", api=api).stdout


def test_json_is_the_answer_itself_and_nothing_else(run: Run, api: FakeApi) -> None:
    result = run("ask", "When?", "--json", api=api)
    assert json.loads(result.stdout) == api.answer[1]
    assert result.stderr == ""


def test_a_problem_document_becomes_one_line_with_its_request_id(run: Run, api: FakeApi) -> None:
    problem = {"title": "The language model is not installed", "detail": "pull small-model", "status": 503}
    api.answer = (503, problem | {"request_id": "request-9"})
    result = run("ask", "When?", api=api)
    assert result.exit_code == 1
    assert result.stderr == (
        "docwell: The language model is not installed: pull small-model (HTTP 503, request request-9)\n"
    )
    assert result.stdout == ""


def test_a_gateway_that_forbids_is_quoted(run: Run, api: FakeApi) -> None:
    api.answer = (403, {"message": "Forbidden"})
    assert "Forbidden (HTTP 403)" in run("ask", "When?", api=api).stderr


def test_a_slow_answer_ends_at_the_timeout(run: Run, api: FakeApi) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        result = run("ask", "When?", "--timeout", "0.2", "--endpoint", endpoint)
    assert result.exit_code == 1
    assert "within 0.2 s" in result.stderr


@pytest.mark.parametrize("endpoint", ["localhost:8000", "http://[", "ftp://host", "http://\x00"])
def test_a_malformed_endpoint_is_one_line(run: Run, endpoint: str) -> None:
    result = run("ask", "When?", "--endpoint", endpoint)
    assert result.exit_code == 2
    assert result.stderr.startswith("docwell: ")
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_document_cannot_drive_the_terminal(run: Run, api: FakeApi) -> None:
    api.answer = (200, api.answer[1] | {"answer": "\x1b[2Jgone \x07[bold]not markup[/bold]"})
    result = run("ask", "When?", api=api)
    assert "\x1b" not in result.stdout
    assert "\x07" not in result.stdout
    assert "[bold]not markup[/bold]" in result.stdout


def test_flags_that_select_documents_become_the_filter(run: Run, api: FakeApi) -> None:
    flags = "--prefix a/2026/ --title flood --author ada --from 2026-01-01 --to 2026-12-31"
    more = "--tag stage=final --tag formula=a=b --metadata team= --document a/x --document a/y"
    assert run("ask", "When?", *flags.split(), *more.split(), api=api).exit_code == 0
    assert api.requests[-1][2] == {
        "question": "When?",
        "filter": {
            "prefix": "a/2026/",
            "documents": ["a/x", "a/y"],
            "title": "flood",
            "author": "ada",
            "created_from": "2026-01-01",
            "created_to": "2026-12-31",
            "tags": {"stage": "final", "formula": "a=b"},
            "metadata": {"team": ""},
        },
    }


@pytest.mark.parametrize("flags", [("--tag", "final"), ("--metadata", "=x"), ("--from", "yesterday")])
def test_a_malformed_flag_is_wrong_usage(run: Run, api: FakeApi, flags: tuple[str, str]) -> None:
    result = run("ask", "When?", *flags, api=api)
    assert result.exit_code == 2
    assert api.requests == []
