"""Refusals of requests that a web page sends to this machine."""

from __future__ import annotations

import json

import pytest

from docwell.errors import DocwellError, Forbidden, Unauthenticated
from runtime.guard import problem_body, refusal


@pytest.mark.parametrize(
    ("hosts", "origins", "says"),
    [
        (["docwell.example"], [], "must be 127.0.0.1"),
        ([], [], "must be 127.0.0.1"),
        (["localhost:8080"], ["http://evil.example"], "open a page of this address"),
        (["localhost:8080"], ["http://localhost:8080"], None),
    ],
)
def test_a_refusal_says_what_to_do(hosts: list[str], origins: list[str], says: str | None) -> None:
    reason = refusal(hosts, origins)
    assert (reason is None) if says is None else (reason is not None and says in reason)


@pytest.mark.parametrize("error", [Forbidden, Unauthenticated])
def test_the_problem_document_has_the_title_of_its_type_and_the_reason_as_detail(
    error: type[DocwellError],
) -> None:
    problem = json.loads(problem_body("Send the token", error))
    assert problem == {
        "type": f"urn:docwell:problem:{error.problem}",
        "title": error.title,
        "status": error.status,
        "detail": "Send the token",
    }
