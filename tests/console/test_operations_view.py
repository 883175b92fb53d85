"""The view of operators: shown and denied, a redrive, its charts and what it says of unknown figures."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from docwell.adapters.dynamodb.principals import Grant
from infra.local.names import PARKED_QUEUE
from tests.console.conftest import BOILER, Console, ask
from tests.console.test_access import tab_to

pytestmark = pytest.mark.e2e


def operations(console: Console, **options: Any) -> Page:
    page = console.open(**options)
    page.get_by_role("link", name="Operations").click()
    page.locator(".cards").wait_for()
    return page


def part(page: Page, name: str) -> str:
    return page.locator(f"[data-part={name}]").inner_text()


def test_figures_that_are_not_known_are_said_in_words_and_the_others_are_drawn(console: Console) -> None:
    page = console.open()
    ask(page)
    page.get_by_role("link", name="Operations").click()
    expect(page.locator("[data-part=canary]")).to_contain_text("No canary has run here.")
    expect(page.locator("[data-part=reconcile]")).to_contain_text("Reconcile has not run yet.")
    assert "Awake" in part(page, "model")
    assert "Messages waiting: 0" in part(page, "dead_letters")
    assert "this machine" in part(page, "principals")
    assert page.locator(".chart rect").count() == 3 * 14
    heights = (
        page.locator(".chart").first.locator("rect").evaluate_all("all => all.map((one) => one.getBBox().height)")
    )
    assert heights[-1] > 0 == heights[0]
    assert page.locator(".chart svg").first.get_attribute("aria-label") is not None


def test_a_key_without_the_right_sees_neither_the_view_nor_its_figures(console: Console) -> None:
    key = console.key_of("reader", lambda id_: Grant(id_, frozenset({"house"}), writable=None))
    page = console.open(f"key={key}&view=/operations")
    expect(page.locator(".failure")).to_contain_text("may not operate the system")
    assert page.get_by_role("link", name="Operations").count() == 0
    assert page.locator(".cards").count() == 0


def test_a_redrive_by_the_keyboard_sends_dead_letters_to_ingest_and_is_audited(console: Console) -> None:
    sqs = console.stack.client("sqs")
    parked = sqs.get_queue_url(QueueName=PARKED_QUEUE)["QueueUrl"]
    sqs.send_message(QueueUrl=parked, MessageBody=json.dumps({"docwell": {"key": BOILER}}))
    page = operations(console)
    expect(page.locator("[data-part=dead_letters]")).to_contain_text("Messages waiting: 1")
    tab_to(page, "[data-part=dead_letters] button")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Messages sent to ingest again: 1. Still waiting: 0.")
    expect(page.locator("[data-part=dead_letters]")).to_contain_text("Messages waiting: 0")
    rows = console.stack.client("dynamodb").scan(TableName=console.stack.audit_table)["Items"]
    assert [row["actor"]["S"] for row in rows if row["action"]["S"] == "redriven"] == ["key:local"]


def test_a_pass_of_reconcile_is_shown_with_its_drift(console: Console) -> None:
    answer = console.stack.client("lambda").invoke(
        FunctionName=console.stack.reconcile_function, Payload=b'{"action": "reconcile"}'
    )
    assert json.loads(answer["Payload"].read())["complete"]
    page = operations(console)
    assert "Last pass" in part(page, "reconcile")
    assert "Ready" in part(page, "reconcile")
