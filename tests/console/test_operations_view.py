"""The view of operators: shown and denied, and a redrive."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from docwell.adapters.dynamodb.principals import Grant
from infra.local.names import PARKED_QUEUE
from tests.console.conftest import BOILER, Console
from tests.console.test_access import tab_to

pytestmark = pytest.mark.e2e


def operations(console: Console, **options: Any) -> Page:
    page = console.open(**options)
    page.get_by_role("link", name="Operations").click()
    page.locator(".cards").wait_for()
    return page


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
    expect(page.locator("[data-part=dead_letters]")).to_contain_text("No document waits for another try.")
    rows = console.stack.client("dynamodb").scan(TableName=console.stack.audit_table)["Items"]
    assert [row["actor"]["S"] for row in rows if row["action"]["S"] == "redriven"] == ["key:local"]
