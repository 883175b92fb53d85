"""A message that fails before its work begins comes again soon: the queues' own timeouts hide it for long."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from docwell.errors import Unavailable
from docwell.ingest.events import DEAD_LETTER_DELAY_S
from docwell.ingest.ingest import Ingest
from docwell.wiring import ingest as wiring
from functions.ingest.handler import handler
from tests.unit.http.http_calls import CONTEXT
from tests.unit.ingest.test_events import body


@pytest.mark.parametrize("queue", ["ingest", "ocr", "dead-letters"])
@pytest.mark.parametrize("receives", [1, 4, 5, 900])
@pytest.mark.parametrize("error", [Unavailable("ledger", "the roles cannot be read"), RuntimeError("no memory")])
def test_a_message_is_delayed_on_its_own_queue(
    monkeypatch: pytest.MonkeyPatch, queue: str, receives: int, error: Exception
) -> None:
    delays: list[tuple[str, str, int]] = []

    def task_queue(url: str) -> Any:
        return SimpleNamespace(delay=lambda receipt, seconds: delays.append((url, receipt, seconds)))

    def fails() -> Sequence[Ingest]:
        raise error

    urls = {"queue_url": "ingest", "ocr_queue_url": "ocr", "dead_letter_queue_url": "dead-letters"}
    monkeypatch.setattr(wiring, "ingest_settings", lambda: SimpleNamespace(max_receives=5, **urls))
    monkeypatch.setattr(wiring, "task_queue", task_queue)
    monkeypatch.setattr(wiring, "ingest", fails)
    record = {
        "messageId": "message-1",
        "receiptHandle": "receipt-1",
        "body": body("a.pdf"),
        "attributes": {"ApproximateReceiveCount": str(receives)},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:here:me:{queue}",
    }
    answer = handler({"Records": [record]}, CONTEXT)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "message-1"}]}
    ((url, receipt, seconds),) = delays
    assert (url, receipt) == (queue, "receipt-1")
    assert 1 <= seconds <= DEAD_LETTER_DELAY_S
