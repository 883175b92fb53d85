"""The Lambda event source of the ingest queue: SQS messages in, ingest function calls out.

``python -m infra.local.poller``

Like the real one it deletes what succeeded, honours `batchItemFailures`, and lets SQS move a message to
the dead-letter queue once it has been received maxReceiveCount times. Unlike the real one it makes a
failed message visible again after 1, 2, 4… seconds instead of the queue's whole visibility timeout.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from docwell.adapters.documents.ocr import check_installed
from docwell.config import SettingsError
from infra.local.function_environment import function_environment
from infra.local.lambda_runtime import FunctionBusy, FunctionError, FunctionPool, FunctionSpec
from infra.local.names import (
    ACCOUNT,
    ERROR,
    INGEST_QUEUE,
    LEDGER_TABLE,
    NOTICE,
    OCR_QUEUE,
    REGION,
    RESTORE_PRINCIPAL,
    WARNING,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

WAIT_S = 5
# SQS takes at most 12 hours from the first receive; nobody wants to wait that long here.
MAX_BACK_OFF_S = 300


@dataclass(frozen=True)
class PollerSettings:
    """How the queue is read. Seconds. `back_off_s` is the wait after the first failure; it doubles."""

    batch_size: int = 1
    workers: int = 1
    visibility_s: int = 30
    back_off_s: int = 1


def lambda_event(messages: Sequence[MessageTypeDef], queue_arn: str) -> dict[str, Any]:
    """The event that Lambda's event source mapping gives to a function for these messages."""
    return {"Records": [_record(message, queue_arn) for message in messages]}


def _record(message: MessageTypeDef, queue_arn: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for name, value in message.get("MessageAttributes", {}).items():
        attributes[name] = {
            "stringValue": value.get("StringValue"),
            "stringListValues": [],
            "binaryListValues": [],
            "dataType": value["DataType"],
        }
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message.get("Attributes", {})),
        "messageAttributes": attributes,
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": REGION,
    }


def failed_ids(answer: Any, sent: set[str]) -> set[str]:
    """The ids of the messages that failed, by Lambda's rules: an answer that is not understood fails all.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    if answer is None or answer == {}:
        return set()
    if not isinstance(answer, dict):
        return sent
    failures = answer.get("batchItemFailures")
    if failures is None:
        return set() if "batchItemFailures" in answer else sent
    if not isinstance(failures, list):
        return sent
    ids = {item.get("itemIdentifier") if isinstance(item, dict) else None for item in failures}
    return {str(one) for one in ids} if ids <= sent else sent


class Poller:
    """Workers that move messages from one queue through one function."""

    def __init__(
        self,
        sqs: SQSClient,
        queue_url: str,
        pool: FunctionPool,
        settings: PollerSettings,
        describe: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        """`describe` gives the line to print for the body of a message that is done, or None for no line."""
        self._sqs = sqs
        self._queue_url = queue_url
        self._pool = pool
        self._settings = settings
        self._describe = describe
        self._queue_arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue_url.rsplit('/', 1)[-1]}"
        self._stopping = threading.Event()
        self._max_receives: int | None = None

    def start(self) -> None:
        """Start the workers and return."""
        for _ in range(self._settings.workers):
            threading.Thread(target=self._work, daemon=True).start()

    def stop(self) -> None:
        """Take no more messages. One at work goes back to the queue when its visibility ends."""
        self._stopping.set()

    def _work(self) -> None:
        pause = 0.2
        while not self._stopping.is_set():
            try:
                messages = self._receive()
                if self._stopping.is_set():
                    self._set_visibility(messages, 0)
                elif messages:
                    self._handle(messages)
                pause = 0.2
            except (BotoCoreError, ClientError) as error:
                # The stand-in is being restarted: its documents are announced again when it is back.
                print(f"{'' if pause < 1 else WARNING}the queue does not answer: {error}", flush=True)
                self._stopping.wait(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter
                pause = min(pause * 2, 5)

    def _receive(self) -> list[MessageTypeDef]:
        answer = self._sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=self._settings.batch_size,
            WaitTimeSeconds=WAIT_S,
            VisibilityTimeout=self._settings.visibility_s,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return answer.get("Messages", [])

    def _handle(self, messages: Sequence[MessageTypeDef]) -> None:
        sent = {message["MessageId"] for message in messages}
        with self._kept_invisible(messages):
            try:
                failed = failed_ids(self._pool.invoke(lambda_event(messages, self._queue_arn)), sent)
            except FunctionBusy:
                failed = sent
            except FunctionError as error:
                print(f"{ERROR}ingest: {error}", flush=True)
                failed = sent
        for message in messages:
            if message["MessageId"] in failed:
                self._return(message)
            else:
                self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])
                line = self._describe(message["Body"])
                if line:
                    print(f"{NOTICE}{line}", flush=True)

    def _return(self, message: MessageTypeDef) -> None:
        receives = int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1))
        if receives >= self._limit():
            wait = 0  # the next receive moves it to the dead-letter queue
            print(f"{WARNING}message {message['MessageId']} failed {receives} times", flush=True)
        else:
            wait = min(self._settings.back_off_s * 2 ** (receives - 1), MAX_BACK_OFF_S)
        self._set_visibility([message], wait)

    def _set_visibility(self, messages: Sequence[MessageTypeDef], seconds: int) -> None:
        for message in messages:
            self._sqs.change_message_visibility(
                QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds
            )

    def _limit(self) -> int:
        if self._max_receives is None:
            attributes = self._sqs.get_queue_attributes(
                QueueUrl=self._queue_url, AttributeNames=["RedrivePolicy"]
            ).get("Attributes", {})
            policy = json.loads(attributes.get("RedrivePolicy", "{}"))
            self._max_receives = int(policy.get("maxReceiveCount", sys.maxsize))
        return self._max_receives

    @contextmanager
    def _kept_invisible(self, messages: Sequence[MessageTypeDef]) -> Iterator[None]:
        """Extend the messages' visibility for as long as the function is at work on them."""
        done = threading.Event()

        def extend() -> None:
            while not done.wait(self._settings.visibility_s / 3):
                try:
                    self._set_visibility(messages, self._settings.visibility_s)
                except (BotoCoreError, ClientError) as error:
                    print(f"cannot keep a message invisible: {error}", flush=True)

        thread = threading.Thread(target=extend, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


class LedgerLine:
    """One line about a document for the user: where the ledger says that it stands."""

    def __init__(self, dynamodb: DynamoDBClient) -> None:
        self._dynamodb = dynamodb

    def __call__(self, body: str) -> str | None:
        """The line for the body of a message, or None for one that is no news."""
        try:
            record = json.loads(body)["Records"][0]
            key = unquote_plus(record["s3"]["object"]["key"])
            if record.get("userIdentity", {}).get("principalId") == RESTORE_PRINCIPAL:
                return None
            rows = self._dynamodb.query(
                TableName=LEDGER_TABLE,
                KeyConditionExpression="document = :key",
                ExpressionAttributeValues={":key": {"S": key}},
            )["Items"]
            item = rows[0] if rows else None  # while a second index is built there are two rows: either is news
        except (ValueError, KeyError, TypeError, IndexError, BotoCoreError, ClientError):
            return None
        if not item or "status" not in item:
            return None
        words = [key, item["status"].get("S", "")]
        words += [f"({item['reason']['S']})"] if item.get("reason", {}).get("S") else []
        for name in ("pages", "chunks"):
            if item.get(name, {}).get("N") not in (None, "0"):
                words.append(f"{item[name]['N']} {name}")
        return "  ".join(words)


def _queue_url(sqs: SQSClient, name: str) -> str:
    """The URL of a queue, once the stand-in is there."""
    while True:
        try:
            return sqs.get_queue_url(QueueName=name)["QueueUrl"]
        except (BotoCoreError, ClientError):
            time.sleep(0.5)


def main() -> int:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(description="Messages of the ingest queue to the ingest function.")
    parser.add_argument("--handler", default="functions.ingest.handler.handler")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds for one batch")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    recognises = "rapidocr" in (os.environ.get("DOCWELL_OCR"), os.environ.get("DOCWELL_NEXT_OCR"))
    if recognises:
        try:
            check_installed()
        except SettingsError as error:
            print(f"{ERROR}{error}", flush=True)
            return 1
    # Endpoint and credentials come from AWS's own variables.
    config = Config(connect_timeout=5, read_timeout=WAIT_S + 20, retries={"total_max_attempts": 1})
    sqs = boto3.client("sqs", config=config)
    spec = FunctionSpec(options.handler, function_environment(), timeout_s=options.timeout)
    # Beside the workers that index, one that recognises: it never holds them up.
    workers = {INGEST_QUEUE: options.workers, OCR_QUEUE: int(recognises)}
    pool = FunctionPool(spec, concurrency=sum(workers.values()))
    describe = LedgerLine(boto3.client("dynamodb", config=config))
    pollers = [
        Poller(sqs, _queue_url(sqs, name), pool, PollerSettings(workers=count), describe)
        for name, count in workers.items()
    ]
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    for poller in pollers:
        poller.start()
    print("waiting for documents", flush=True)
    stopped.wait()
    for poller in pollers:
        poller.stop()
    pool.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
