"""Events reach EventBridge and webhooks; a failure is reported to the stream, which delivers the change again."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import boto3
import httpx
import pytest
from moto import mock_aws

from docwell.adapters.aws import client
from docwell.adapters.dynamodb.ledger import outcome_in
from docwell.adapters.event_bridge import put_event
from docwell.adapters.webhook import post_event
from docwell.config import EventsSettings, SettingsError
from docwell.errors import Unavailable
from docwell.events import DocumentEvent, Publisher
from docwell.wiring import small_functions as wiring
from functions.events.handler import handler
from infra.local.ledger_events import Outbox
from tests.fresh_wiring import clear_caches
from tests.unit.cases import rows
from tests.unit.events.receiver import Receiver
from tests.unit.http.http_calls import CONTEXT

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
EVENT = DocumentEvent("id-1", "DocumentIndexed", "2026-11-18T10:26:41.000Z", {"document": "a.pdf"})


def row(document: str, at: float = 1.0, outcome: str = "INDEXED v1") -> dict[str, Any]:
    """A row of the ledger with an outcome."""
    return {
        "document": {"S": document},
        "pipeline": {"S": "f1"},
        "status": {"S": outcome.partition(" ")[0]},
        "outcome": {"S": outcome},
        "outcome_at": {"N": str(at)},
    }


def stream(*documents: str) -> dict[str, Any]:
    """The event of a stream with an outcome of each document."""
    images = [{"SequenceNumber": f"n-{document}", "NewImage": row(document)} for document in documents]
    return {"Records": [{"eventSource": "aws:dynamodb", "dynamodb": image} for image in images]}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def webhook(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """The receiver as the events function's webhook."""
    for name, value in {"BUCKET": "documents", "WEBHOOK_URL": receiver.url, "WEBHOOK_SECRET": SECRET}.items():
        monkeypatch.setenv(f"DOCWELL_{name}", value)
    clear_caches()
    yield receiver
    clear_caches()


def test_an_event_is_on_the_default_bus_under_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        sqs, bus = boto3.client("sqs"), boto3.client("events")
        queue = sqs.create_queue(QueueName="q")["QueueUrl"]
        bus.put_rule(Name="r", EventPattern='{"source": ["docwell"], "detail": {"document": ["a.pdf"]}}')
        bus.put_targets(Rule="r", Targets=[{"Id": "q", "Arn": "arn:aws:sqs:us-east-1:123456789012:q"}])
        put_event(client("events"), EVENT)
        (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
    body = json.loads(message["Body"])
    assert (body["source"], body["detail-type"], body["detail"]) == ("docwell", EVENT.type, EVENT.data)
    assert body["time"].startswith("2026-11-18T10:26:41")


def put_events(Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - boto3's name
    """Reject events about `b.pdf`, as EventBridge does."""
    count = int('"b.pdf"' in Entries[0]["Detail"])
    return {"FailedEntryCount": count, "Entries": [{"ErrorCode": "ThrottlingException"} if count else {}]}


def test_an_event_that_the_bus_does_not_take_is_delivered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = Mock(put_events=Mock(side_effect=put_events))
    monkeypatch.setattr(wiring, "publisher", lambda: Publisher("documents", outcome_in, partial(put_event, bus)))
    answer = handler(stream("a.pdf", "b.pdf", "c.pdf"), CONTEXT)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "n-b.pdf"}]}
    sent = [json.loads(call.kwargs["Entries"][0]["Detail"])["document"] for call in bus.put_events.mock_calls]
    assert sent == ["a.pdf", "b.pdf", "c.pdf"]
    assert handler(stream("a.pdf"), CONTEXT) == {"batchItemFailures": []}
    with pytest.raises(Unavailable, match="ThrottlingException"):
        put_event(bus, DocumentEvent("i", "t", "2026-11-18T10:26:41Z", {"document": "b.pdf"}))


def test_the_receiver_can_check_what_it_gets(webhook: Receiver) -> None:
    assert handler(stream("a.pdf"), CONTEXT) == {"batchItemFailures": []}
    (got,) = webhook.requests
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    expected = base64.b64encode(hmac.digest(KEY, signed, "sha256")).decode()
    assert got.headers["webhook-signature"] == f"v1,{expected}"
    assert got.headers["content-type"] == "application/json"
    body = json.loads(got.body)
    assert (body["type"], body["data"]["document"]) == ("DocumentIndexed", "a.pdf")
    assert body["data"]["id"] == got.headers["webhook-id"]


@pytest.mark.parametrize("status", [301, 400, 410, 429, 500])
def test_any_answer_except_success_is_a_failure(webhook: Receiver, status: int) -> None:
    webhook.statuses = [status]
    assert handler(stream("a.pdf"), CONTEXT) == {"batchItemFailures": [{"itemIdentifier": "n-a.pdf"}]}
    assert len(webhook.requests) == 1


def test_a_receiver_that_cannot_be_reached_is_a_failure(receiver: Receiver) -> None:
    receiver.close()
    with httpx.Client(timeout=1) as http, pytest.raises(Unavailable, match="does not answer: ConnectError"):
        post_event(http, receiver.url, KEY, EVENT)


def test_a_long_answer_of_the_receiver_is_not_read(webhook: Receiver) -> None:
    webhook.endless = True
    assert handler(stream("a.pdf"), CONTEXT) == {"batchItemFailures": []}


@pytest.mark.parametrize(("secret", "problem"), rows(__file__, "webhook_secrets"))
def test_a_webhook_needs_a_good_secret(secret: str | None, problem: str) -> None:
    with pytest.raises(SettingsError, match=rf"DOCWELL_\w+: (?!Value error).*{problem}") as raised:
        EventsSettings.read(bucket="b", webhook_url="https://example.org/hook", webhook_secret=secret)
    assert secret is None or secret not in str(raised.value)


class Machine:
    """The local stream, with the handler in this process."""

    def __init__(self, folder: Path) -> None:
        self.ledger, self.path, self.now = folder / "ledger.json", folder / "events.json", 1_795_000_000.0
        self.outbox = Outbox(self.ledger, self.path, lambda: self.now)

    def restart(self) -> None:
        self.outbox = Outbox(self.ledger, self.path, lambda: self.now)

    def write(self, *rows: dict[str, Any]) -> None:
        self.ledger.write_text(json.dumps(rows))

    def run(self) -> None:
        self.outbox.send(lambda event: handler(event, CONTEXT))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_an_outcome_after_the_first_start_is_posted_once(machine: Machine, webhook: Receiver) -> None:
    machine.write(row("old.pdf"))
    machine.path.unlink()
    machine.restart()  # as if the ledger was there before
    machine.write(
        row("old.pdf"), row("a.pdf"), {"document": {"S": "active-pipeline"}, "pipeline": {"S": "#state"}}
    )
    machine.run()
    machine.write(row("a.pdf"), row("b.pdf"))
    machine.run()
    machine.restart()
    machine.run()
    machine.write(row("a.pdf", 2.0, "DELETED "))
    machine.run()
    got = [f"{kind} {document}" for kind, document in webhook.got]
    assert got == ["DocumentIndexed a.pdf", "DocumentIndexed b.pdf", "DocumentDeleted a.pdf"]


def test_a_failed_event_comes_again_later_each_time_under_the_same_id(machine: Machine, webhook: Receiver) -> None:
    webhook.statuses = [500, 503, 400]
    machine.write(row("a.pdf"))
    tried = []
    for _ in range(20):
        before = len(webhook.requests)
        machine.run()
        if len(webhook.requests) > before:
            tried.append(machine.now)
        machine.now += 1
    assert [later - sooner for sooner, later in pairwise(tried)] == [1, 2, 4]
    assert len({request.headers["webhook-id"] for request in webhook.requests}) == 1


def test_a_failed_event_delays_no_other_and_survives_a_crash(machine: Machine, webhook: Receiver) -> None:
    webhook.statuses = [500]
    machine.write(row("a.pdf") | {"title": {"S": "A title"}})
    machine.run()
    stored = machine.path.read_text()
    assert ("a.pdf" in stored, "A title" in stored) == (True, False)
    machine.write(row("a.pdf"), row("b.pdf"))
    machine.restart()
    machine.run()
    assert webhook.got == [("DocumentIndexed", "b.pdf")]
    machine.now += 2
    machine.restart()
    machine.run()
    assert webhook.got == [("DocumentIndexed", "b.pdf"), ("DocumentIndexed", "a.pdf")]
    machine.write()  # the documents are erased
    machine.run()
    assert "a.pdf" not in machine.path.read_text()
