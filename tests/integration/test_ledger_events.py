"""Writes to the ledger of the local AWS server reach a real webhook, whatever dies on the way."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from docwell.adapters.dynamodb.ledger import DynamoLedger
from docwell.models import DocumentRecord, Status
from infra.local.names import BUCKET, LEDGER_TABLE
from infra.local.stack import base_environment
from runtime.process import Child
from tests.unit.events.receiver import Receiver

from .local_parts import aws_stand_in
from .waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"


def write(ledger: DynamoLedger, key: str, status: Status, version: str | None = "v1") -> None:
    """Write a document's status as ingest does."""
    lease = ledger.acquire(key, "one")
    assert lease is not None
    lease = ledger.write(lease, DocumentRecord(key, Status.PENDING, version=version), fresh=True)
    ledger.release(ledger.write(lease, replace(lease.record, status=status)))


@contextmanager
def events_part(data: Path, receiver: Receiver) -> Iterator[Child]:
    """The local stream and the events function."""
    settings = {"BUCKET": BUCKET, "WEBHOOK_URL": receiver.url, "WEBHOOK_SECRET": SECRET}
    variables = {f"DOCWELL_{name}": value for name, value in settings.items()}
    variables |= {"POWERTOOLS_SERVICE_NAME": "docwell-events", "POWERTOOLS_TRACE_DISABLED": "true"}
    lines: list[str] = []
    command = [sys.executable, "-m", "infra.local.ledger_events", "--data", str(data)]
    child = Child(command, base_environment(variables), lines.append, lambda _: None)
    try:
        until(lambda: "waiting for outcomes" in lines, 60)
        yield child
    finally:
        child.kill()


def test_each_outcome_reaches_the_webhook_through_a_crash_and_a_receiver_that_was_away(tmp_path: Path) -> None:
    with aws_stand_in(tmp_path / "aws") as aws, Receiver() as receiver:
        ledger = DynamoLedger(aws.dynamodb, LEDGER_TABLE, "f1", notes_outcomes=True)
        with events_part(tmp_path, receiver) as part:
            write(ledger, "c/a.pdf", Status.INDEXED)
            until(lambda: receiver.got == [("DocumentIndexed", "c/a.pdf")], 60)
            receiver.statuses = [500]
            write(ledger, "c/b.pdf", Status.REJECTED)
            until(lambda: len(receiver.requests) == 2, 60)
            part.kill()
        write(ledger, "c/a.pdf", Status.DELETED, None)
        with events_part(tmp_path, receiver):
            until(lambda: len(receiver.got) == 3, 60)
    assert sorted(receiver.got) == [
        ("DocumentDeleted", "c/a.pdf"),
        ("DocumentIndexed", "c/a.pdf"),
        ("DocumentRejected", "c/b.pdf"),
    ]
    failed, *_ = (request for request in receiver.requests if request.status == 500)
    again = [request.headers["webhook-id"] for request in receiver.requests if request != failed]
    assert failed.headers["webhook-id"] in again
