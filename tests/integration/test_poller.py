"""The poller replaces Lambda's event source: it delivers, deletes, redelivers and gives up messages."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from runtime.functions import FunctionPool, FunctionSpec
from runtime.poller import Poller, PollerSettings, failed_ids
from tests.unit.cases import rows

from .local_parts import Aws
from .waiting import until

pytestmark = pytest.mark.integration

WITHIN_S = 60


class Queue:
    """A queue for one test, with its dead-letter queue."""

    def __init__(self, aws: Aws) -> None:
        self.sqs = aws.sqs
        self.name = f"queue-{uuid.uuid4()}"
        self.dead_letter_url = self.sqs.create_queue(QueueName=f"{self.name}-dlq")["QueueUrl"]
        dead_letters = f"arn:aws:sqs:us-east-1:123456789012:{self.name}-dlq"
        redrive = {"deadLetterTargetArn": dead_letters, "maxReceiveCount": 3}
        attributes: Any = {"RedrivePolicy": json.dumps(redrive)}
        self.url = self.sqs.create_queue(QueueName=self.name, Attributes=attributes)["QueueUrl"]

    def send(self, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    def held(self) -> int:
        """The number of messages in the queue, invisible ones included."""
        names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counts = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(map(int, counts.values()))


@pytest.fixture
def queue(aws_server: Aws) -> Queue:
    return Queue(aws_server)


@contextmanager
def polling(sqs: Any, queue_url: str, log: Path, **settings: Any) -> Iterator[None]:
    """Run a poller on the toy function, which logs each record."""
    environment = {"PYTHONPATH": str(Path(__file__).parent), "DOCWELL_TOY_LOG": str(log)}
    spec = FunctionSpec("toy_functions.ingest", environment, on_line=lambda _: None)
    pool = FunctionPool(spec)
    assert pool.warm()
    poller = Poller(sqs, queue_url, pool, PollerSettings(**settings))
    poller.start()
    yield
    poller.stop()
    pool.close()


def records(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_only_failed_messages_come_again_and_end_in_the_dead_letter_queue(queue: Queue, tmp_path: Path) -> None:
    for body in ("good", "fail", "fine"):
        queue.send(body)
    # The function sets no delay, so that the message comes again after its visibility timeout.
    with polling(queue.sqs, queue.url, tmp_path / "log", visibility_s=1):
        until(lambda: queue.held() == 0, WITHIN_S)
    received = records(tmp_path / "log")
    assert Counter(record["body"] for record in received) == {"good": 1, "fail": 3, "fine": 1}
    assert (received[0]["eventSource"], received[0]["attributes"]["ApproximateReceiveCount"]) == ("aws:sqs", "1")
    assert received[0]["eventSourceARN"] == f"arn:aws:sqs:us-east-1:123456789012:{queue.name}"
    dead = queue.sqs.receive_message(QueueUrl=queue.dead_letter_url, WaitTimeSeconds=1)["Messages"]
    assert [message["Body"] for message in dead] == ["fail"]


def test_a_message_whose_function_raises_comes_again_after_a_pause_that_doubles(
    queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide = Mock(wraps=queue.sqs.change_message_visibility)
    monkeypatch.setattr(queue.sqs, "change_message_visibility", hide)
    queue.send("raise")
    with polling(queue.sqs, queue.url, tmp_path / "log"):
        until(lambda: hide.call_count == 3, WITHIN_S)
    assert [call.kwargs["VisibilityTimeout"] for call in hide.call_args_list] == [1, 2, 4]


def test_the_delay_that_the_function_set_for_a_failed_message_is_kept(queue: Queue) -> None:
    calls: list[float] = []

    class Pool(FunctionPool):
        """A function that fails, asks for a longer delay than the poller's, and continues to work."""

        def invoke(self, event: Any) -> Any:
            calls.append(time.monotonic())
            (record,) = event["Records"]
            queue.sqs.change_message_visibility(
                QueueUrl=queue.url, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=3
            )
            time.sleep(0.5)
            return {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}

    queue.send("any")
    poller = Poller(queue.sqs, queue.url, Pool(FunctionSpec("no.function")), PollerSettings(visibility_s=1))
    poller.start()
    until(lambda: len(calls) == 2, WITHIN_S)
    poller.stop()
    assert calls[1] - calls[0] >= 2.9  # the local server counts whole seconds of another clock


@pytest.mark.parametrize(("answer", "failed"), rows(__file__, "lambda_answers"))
def test_failed_messages_are_read_from_the_answer_by_lambdas_rules(answer: Any, failed: list[str]) -> None:
    assert failed_ids(answer, {"a", "b"}) == {*failed}
