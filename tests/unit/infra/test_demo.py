"""The demo judges what its answers say, and not only what they cite."""

from __future__ import annotations

import json
from typing import Any

import httpx
from rich.console import Console

from infra.local import demo
from infra.report import Report

ANSWERS = {entry["question"]: entry for entry in demo.example_questions()}


def answer_of(asked: dict[str, Any], text: str, status: str = "answered") -> dict[str, Any]:
    unit = {"kind": "page", "label": str(asked["page"]), "anchor": f"page={asked['page']}"}
    place = {"document": asked["document"], "page": asked["page"], "unit": unit}
    citation = {"marker": 1, **place, "quote": asked["phrase"]}
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    timings = {"total": 1, "generate": 1}
    reason = "dependency-unavailable" if status == "extractive" else None
    return {
        "answer": text,
        "status": status,
        "fallback_reason": reason,
        "citations": [citation],
        "usage": usage,
        "timings_ms": timings,
    }


def right_answer(asked: dict[str, Any]) -> str:
    return " ".join([asked["phrase"], *asked["facts"]])


def missed(wrong: str, text: str, status: str = "answered") -> list[str]:
    """Return the missed goals of a demo in which one question gets this answer."""

    def api(request: httpx.Request) -> httpx.Response:
        requests = ANSWERS[json.loads(request.content)["question"]]
        if requests["question"] == wrong:
            return httpx.Response(200, json=answer_of(requests, text, status))
        return httpx.Response(200, json=answer_of(requests, right_answer(requests)))

    report = Report("demo")
    with httpx.Client(transport=httpx.MockTransport(api), base_url="http://docwell") as client:
        demo._questions(client, report, 0.0, Console(quiet=True))
    return report.missed()


def test_a_wrong_answer_on_the_right_page_fails_the_demo_and_is_named() -> None:
    for number, question in enumerate(ANSWERS, 1):
        (line,) = missed(question, "It takes less than three minutes [1].")
        facts = ", ".join(map(repr, ANSWERS[question]["facts"]))
        assert f"question {number}: states {facts}" in line
