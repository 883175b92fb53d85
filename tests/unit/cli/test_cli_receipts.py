"""`docwell replay` and `docwell feedback`, against a fake API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.testing import Result

from tests.unit.cli.fake_api import ANSWER, FakeApi, serving

Run = Callable[..., Result]


class ReceiptApi(FakeApi):
    """Answers the routes of receipts with `said`."""

    said: tuple[int, dict[str, Any]] = (200, {})

    def respond(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        if method == "POST" and (path.startswith("/v1/receipts/") or path == "/v1/feedback"):
            return self.said
        return super().respond(method, path)


@pytest.fixture
def receipt_api() -> Iterator[ReceiptApi]:
    api = ReceiptApi()
    with serving(api):
        yield api


def replayed(*changes: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return 200, {"request_id": "request-7", "then": ANSWER, "now": ANSWER, "changes": list(changes)}


def change(what: str, then: object, now: object) -> dict[str, Any]:
    return {"what": what, "then": then, "now": now}


def test_a_replay_shows_todays_answer_and_what_changed_side_by_side(run: Run, receipt_api: ReceiptApi) -> None:
    citation = {"marker": 1, "document": "a.pdf", "page": 3, "quote": "five\nminutes"}
    receipt_api.said = replayed(
        change("model_digest", "sha256:1", "sha256:2"),
        change("document handbooks/é.pdf", "v1", None),
        change("passages a.pdf", ["p1", "p2"], None),
        change("citations", [citation], []),
    )
    result = run("replay", "request/7", api=receipt_api)
    assert result.exit_code == 0, result.stderr
    assert receipt_api.requests[-1][:2] == ("POST", "/v1/receipts/request%2F7/replay")
    assert "Roll back after five minutes [1]." in result.stdout
    rows = [line.split("  ") for line in result.stdout.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert ["model digest", "sha256:1", "sha256:2"] in cells
    assert ["document handbooks/é.pdf", "v1", "(removed)"] in cells
    assert ["passages a.pdf", "2 in this run only", "-"] in cells
    assert ["citations", "[1] a.pdf, page 3: “five minutes”", "-"] in cells
    assert "another answer" not in result.stdout


def test_a_replay_without_a_change_says_so(run: Run, receipt_api: ReceiptApi) -> None:
    receipt_api.said = replayed()
    assert "Nothing has changed." in run("replay", "request-7", api=receipt_api).stdout


def test_an_answer_that_differs_without_other_changes_comes_from_the_model(
    run: Run, receipt_api: ReceiptApi
) -> None:
    receipt_api.said = replayed(change("answer", "Five.", "Ten."))
    assert "the model gave another answer" in run("replay", "request-7", api=receipt_api).stdout


def test_a_replay_cannot_drive_the_terminal(run: Run, receipt_api: ReceiptApi) -> None:
    receipt_api.said = replayed(change("answer", "\x1b[2Jgone", "[bold]not markup[/bold]"))
    result = run("replay", "request-7", api=receipt_api)
    assert "\x1b" not in result.stdout
    assert "[bold]not markup[/bold]" in result.stdout


def test_json_is_the_replay_itself(run: Run, receipt_api: ReceiptApi) -> None:
    receipt_api.said = replayed(change("model", "a", "b"))
    result = run("replay", "request-7", "--json", api=receipt_api)
    assert json.loads(result.stdout) == receipt_api.said[1]


def test_a_receipt_that_is_not_kept_is_an_error(run: Run, receipt_api: ReceiptApi) -> None:
    receipt_api.said = (404, {"title": "Not found", "detail": "no receipt", "status": 404})
    result = run("replay", "request-7", api=receipt_api)
    assert result.exit_code == 1
    assert result.stderr == "docwell: Not found: no receipt (HTTP 404)\n"


@pytest.mark.parametrize(
    ("kept", "says"), [(True, "stored in the receipt"), (False, "no receipt of this request")]
)
def test_feedback_says_whether_a_receipt_keeps_it(
    run: Run, receipt_api: ReceiptApi, kept: bool, says: str
) -> None:
    receipt_api.said = (200, {"request_id": "request-7", "kept": kept})
    result = run("feedback", "request-7", "bad", api=receipt_api)
    assert result.exit_code == 0
    assert says in result.stdout
    assert receipt_api.requests[-1][1:3] == ("/v1/feedback", {"request_id": "request-7", "verdict": "bad"})


def test_a_verdict_of_another_kind_is_wrong_usage(run: Run, receipt_api: ReceiptApi) -> None:
    result = run("feedback", "request-7", "so-so", api=receipt_api)
    assert result.exit_code == 2
    assert receipt_api.requests == []


def test_the_footer_of_an_answer_has_its_cost(run: Run, api: FakeApi) -> None:
    cost = {"amount": 0.000624123, "currency": "USD", "model_host_s": 2.0, "function_s": 2.2, "prices": "list"}
    api.answer = (200, api.answer[1] | {"cost": cost})
    assert "912 ms · 0.000624 USD · request request-7" in run("ask", "When?", api=api).stdout
