"""`docwell replay` and `docwell feedback`, against a fake API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import ANSWER, FakeApi


def replayed(
    *changes: dict[str, Any], fit: float | None = 0.5, min_fit: float | None = 0.22
) -> tuple[int, dict[str, Any]]:
    runs = {"request_id": "request-7", "then": ANSWER, "now": ANSWER, "fit": fit, "min_fit": min_fit}
    return 200, {**runs, "changes": list(changes)}


def change(what: str, then: object, now: object) -> dict[str, Any]:
    return {"what": what, "then": then, "now": now}


def test_a_replay_shows_todays_answer_and_what_changed_side_by_side(run: Run, api: FakeApi) -> None:
    citation = {"marker": 1, "document": "a.pdf", "page": 3, "quote": "five\nminutes"}
    api.receipts = replayed(
        change("model_digest", "sha256:1", "sha256:2"),
        change("document handbooks/é.pdf", "v1", None),
        change("passages a.pdf", ["p1", "p2"], None),
        change("citations", [citation], []),
    )
    result = run("replay", "request/7", api=api)
    assert result.exit_code == 0, result.stderr
    assert api.requests[-1][:2] == ("POST", "/v1/receipts/request%2F7/replay")
    assert "Roll back after five minutes [1]." in result.stdout
    rows = [line.split("  ") for line in result.stdout.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert ["model digest", "sha256:1", "sha256:2"] in cells
    assert ["document handbooks/é.pdf", "v1", "(removed)"] in cells
    assert ["passages a.pdf", "2 in this run only", "-"] in cells
    assert ["citations", "[1] a.pdf, page 3: “five minutes”", "-"] in cells
    assert "another answer" not in result.stdout


def test_a_replay_without_a_change_says_so(run: Run, api: FakeApi) -> None:
    api.receipts = replayed()
    assert "Nothing has changed." in run("replay", "request-7", api=api).stdout


def test_a_replay_says_why_it_was_refused_before_the_model(run: Run, api: FakeApi) -> None:
    api.receipts = replayed(change("fit", 0.351, 0.183), fit=0.1834)
    shown = run("replay", "request-7", api=api).stdout
    assert "Refused before the model: the fit 0.183 is under 0.22." in shown
    assert ["fit", "0.351", "0.183"] in [line.split() for line in shown.splitlines()]


@pytest.mark.parametrize(("fit", "min_fit"), [(0.22, 0.22), (0.1, None), (None, 0.22)])
def test_a_replay_that_the_gate_let_through_does_not_speak_of_it(
    run: Run, api: FakeApi, fit: float | None, min_fit: float | None
) -> None:
    api.receipts = replayed(fit=fit, min_fit=min_fit)
    assert "Refused" not in run("replay", "request-7", api=api).stdout


def test_an_answer_that_differs_without_other_changes_comes_from_the_model(run: Run, api: FakeApi) -> None:
    api.receipts = replayed(change("answer", "Five.", "Ten."))
    assert "the model gave another answer" in run("replay", "request-7", api=api).stdout


def test_a_replay_cannot_drive_the_terminal(run: Run, api: FakeApi) -> None:
    api.receipts = replayed(change("answer", "\x1b[2Jgone", "[bold]not markup[/bold]"))
    result = run("replay", "request-7", api=api)
    assert "\x1b" not in result.stdout
    assert "[bold]not markup[/bold]" in result.stdout


def test_json_is_the_replay_itself(run: Run, api: FakeApi) -> None:
    api.receipts = replayed(change("model", "a", "b"))
    result = run("replay", "request-7", "--json", api=api)
    assert json.loads(result.stdout) == api.receipts[1]


def test_a_receipt_that_is_not_kept_is_an_error(run: Run, api: FakeApi) -> None:
    api.receipts = (404, {"title": "Not found", "detail": "no receipt", "status": 404})
    result = run("replay", "request-7", api=api)
    assert result.exit_code == 1
    assert result.stderr == "docwell: Not found: no receipt (HTTP 404)\n"


def test_feedback_is_stored_in_the_receipt(run: Run, api: FakeApi) -> None:
    api.receipts = (200, {"request_id": "request-7", "verdict": "bad"})
    result = run("feedback", "request-7", "bad", api=api)
    assert result.exit_code == 0
    assert "stored in the receipt" in result.stdout
    assert api.requests[-1][1:3] == ("/v1/feedback", {"request_id": "request-7", "verdict": "bad"})
    run("feedback", "request-7", "bad", "--comment", "Too short", api=api)
    assert api.requests[-1][2] == {"request_id": "request-7", "verdict": "bad", "comment": "Too short"}


def test_a_verdict_of_another_kind_is_wrong_usage(run: Run, api: FakeApi) -> None:
    result = run("feedback", "request-7", "so-so", api=api)
    assert result.exit_code == 2
    assert api.requests == []
