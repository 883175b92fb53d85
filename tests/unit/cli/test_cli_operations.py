"""`docwell redrive`, `reconcile` and `reindex`, on moto's queues and a fake function."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import urlsplit

import boto3
import pytest

from docwell.cli import operations
from docwell.cli.operations import DeadLetters, _subject
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import FakeApi, serving

NOTIFICATION = json.dumps(
    {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": "handbooks/a+%C3%A9.pdf"}}}]}
)
HINT = json.dumps({"docwell": {"key": "b.pdf", "rebuild": True, "sweep": False}})


class Queues:
    def __init__(self) -> None:
        self.sqs = boto3.client("sqs")
        self.parked = self.sqs.create_queue(QueueName="parked")["QueueUrl"]
        self.dead = self._before("parked", "work-dlq")
        self.work = self._before("work-dlq", "work")

    def _before(self, following: str, name: str) -> str:
        policy = {"deadLetterTargetArn": f"arn:aws:sqs:us-east-1:123456789012:{following}", "maxReceiveCount": 5}
        attributes: Any = {"RedrivePolicy": json.dumps(policy)}
        return self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def bodies(self, url: str) -> list[str]:
        """Return the bodies of the visible messages, which stay visible."""
        messages = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return sorted(message["Body"] for message in messages.get("Messages", []))


@pytest.fixture
def queues(aws: None) -> Queues:
    found = Queues()
    for body in (NOTIFICATION, HINT):
        found.sqs.send_message(QueueUrl=found.parked, MessageBody=body)
    return found


def test_parked_messages_are_shown_with_the_documents_reason_and_stay_in_a_dry_run(
    run: Run, api: FakeApi, queues: Queues
) -> None:
    api.documents["b.pdf"] = [{"document": "b.pdf", "status": "FAILED", "reason": "internal_error"}]
    result = run("redrive", "--dry-run", "--queue", "work", "--json", api=api)
    assert result.exit_code == 0, result.stderr
    shown = {one["document"]: one for one in json.loads(result.stdout)["messages"]}
    assert set(shown) == {"handbooks/a é.pdf", "b.pdf"}
    assert (shown["b.pdf"]["kind"], shown["b.pdf"]["reason"]) == ("rebuild", "internal_error")
    assert (queues.bodies(queues.work), queues.bodies(queues.parked)) == ([], sorted([NOTIFICATION, HINT]))


def test_redriven_messages_go_back_to_the_queue_and_a_second_time_changes_nothing(
    run: Run, api: FakeApi, queues: Queues
) -> None:
    for moved in (2, 0):
        result = run("redrive", "--queue", queues.work, "--json", api=api)
        assert json.loads(result.stdout)["redriven"] == moved
        assert (queues.bodies(queues.work), queues.bodies(queues.parked)) == (sorted([NOTIFICATION, HINT]), [])


def test_only_one_documents_messages_are_redriven_when_it_is_named(run: Run, api: FakeApi, queues: Queues) -> None:
    result = run("redrive", "--queue", "work", "--key", "b.pdf", api=api)
    assert "redriven" in result.stdout
    assert (queues.bodies(queues.work), queues.bodies(queues.parked)) == ([HINT], [NOTIFICATION])


def test_a_dead_letter_that_is_not_given_up_yet_is_left_to_ingest(run: Run, api: FakeApi, queues: Queues) -> None:
    queues.sqs.send_message(QueueUrl=queues.dead, MessageBody="not given up")
    run("redrive", "--queue", "work", api=api)
    assert queues.bodies(queues.dead) == ["not given up"]


def test_a_message_that_cannot_be_sent_stays_parked(
    run: Run, api: FakeApi, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues.sqs.delete_queue(QueueUrl=queues.work)
    monkeypatch.setattr(DeadLetters, "_dead_letters_of", {queues.work: queues.parked, queues.parked: None}.get)
    assert run("redrive", "--queue", queues.work, api=api).exit_code == 1
    assert queues.bodies(queues.parked) == sorted([NOTIFICATION, HINT])


def test_without_a_queue_the_error_says_how_to_name_it(run: Run, api: FakeApi) -> None:
    result = run("redrive", api=api)
    assert result.exit_code == 2
    assert "IngestQueueUrl" in result.stderr


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"docwell": {"key": "a.pdf"}}', ("a.pdf", "hint")),
        ('{"docwell": {"key": "a.pdf", "range": 3}}', ("a.pdf", "range 3")),
        (NOTIFICATION, ("handbooks/a é.pdf", "ObjectCreated:Put")),
        ("not json", (None, "unknown")),
        ('{"Records": []}', (None, "unknown")),
        ("3", (None, "unknown")),
    ],
)
def test_the_document_of_a_message_is_read_from_its_body(body: str, expected: tuple[str | None, str]) -> None:
    assert _subject(body) == expected


# --- the reconcile function ---


class FakeFunction(FakeApi):
    """Lambda's API. Each call takes the next answer; the last one stays."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[dict[str, Any]] = []

    def respond(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        assert urlsplit(path).path == "/2015-03-31/functions/the-function/invocations"
        return 200, self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @property
    def events(self) -> list[Any]:
        return [body for _, _, body, _ in self.requests]


@pytest.fixture
def function(credentials: None, tmp_path: Path) -> Iterator[FakeFunction]:
    fake = FakeFunction()
    with serving(fake):
        (tmp_path / "work" / "docwell.toml").write_text(
            f'endpoint = "http://unused"\nfunctions_endpoint = "{fake.endpoint}"\n'
            'reconcile_function = "the-function"\n'
        )
        yield fake


def report(**changes: Any) -> dict[str, Any]:
    one = {"pipeline": "f1", "phase": "done", "keys": 2, "rows": 2, "chunks": 9, "drift": {"lost": 0}}
    one |= {"sent": 0, "waiting": None, "found": [], "documents": {"PENDING": 0}} | changes
    return {"complete": one["phase"] == "done", "pipelines": [one]}


def test_reconcile_goes_on_until_the_pass_is_complete(run: Run, function: FakeFunction) -> None:
    function.answers = [
        report(phase="ledger", sent=1, found=[["missing", "a.pdf"]]),
        report(sent=2, found=[["lost", "b.pdf"]], drift={"lost": 2, "missing": 1}),
    ]
    result = run("reconcile")
    assert result.exit_code == 0, result.stderr
    assert "missing  a.pdf" in result.stdout
    assert "2 lost, 1 missing" in result.stdout
    assert "3 documents sent to ingest" in result.stdout
    assert function.events == [{"action": "reconcile", "dry_run": False, "force": False}] * 2


@pytest.mark.parametrize(("pending", "said"), [(0, "f1: no drift (2"), (3, "f1: 3 pending (2")])
def test_reconcile_says_no_drift_only_where_no_document_is_pending(
    run: Run, function: FakeFunction, pending: int, said: str
) -> None:
    function.answers = [report(documents={"PENDING": pending})]
    assert said in run("reconcile").stdout


def test_reconcile_says_when_the_queue_is_too_full(run: Run, function: FakeFunction) -> None:
    function.answers = [report(phase="bucket", waiting=500)]
    result = run("reconcile", "--dry-run")
    assert result.exit_code == 1
    assert "500 messages wait" in result.stdout
    assert function.events[0]["dry_run"] is True


def test_reconcile_ends_when_nothing_moves(run: Run, function: FakeFunction) -> None:
    function.answers = [report(phase="bucket")]
    assert run("reconcile").exit_code == 1
    assert len(function.events) == 2


def test_reindex_asks_for_the_status_by_default(run: Run, function: FakeFunction) -> None:
    function.answers = [{"active": "f1", "building": "f2", "keys": 10, "settled": 4, "complete": False}]
    result = run("reindex")
    assert function.events == [{"action": "reindex", "step": "status", "force": False}]
    assert "settled   4" in result.stdout
    assert run("reindex", "--switch", "--abort").exit_code == 2


def test_a_switch_that_was_not_made_is_an_error(run: Run, function: FakeFunction) -> None:
    function.answers = [{"active": "f1", "building": "f2", "complete": False, "switched": False}]
    result = run("reindex", "--switch")
    assert result.exit_code == 1
    assert "not switched" in result.stdout


def test_an_error_of_the_function_is_shown_as_a_line(
    run: Run, function: FakeFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = BytesIO(b'{"errorMessage": "no index is being built"}')
    client = Mock(invoke=Mock(return_value={"FunctionError": "Unhandled", "Payload": payload}))
    monkeypatch.setattr(operations, "aws_client", Mock(return_value=client))
    result = run("reindex", "--switch")
    assert result.exit_code == 1
    assert "no index is being built" in result.stderr
