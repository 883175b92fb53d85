"""A local Lambda event source: it calls the ingest function with messages of the ingest queue.

``python -m infra.local.poller``

Like the real one it deletes messages that succeeded, honours `batchItemFailures`, and lets SQS move a message to
the dead-letter queue after maxReceiveCount receives; the function reads that queue too. Unlike the real one it
makes a failed message visible again after 1, 2, 4… seconds instead of the queue's visibility timeout.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from docwell.adapters.documents.ocr import check_installed
from docwell.config import SettingsError
from infra.local import names
from infra.local.guard import end_with_any_thread
from infra.local.lambda_runtime import (
    FunctionBusy,
    FunctionError,
    FunctionPool,
    FunctionSpec,
    function_environment,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

WAIT_S = 5
# SQS allows 12 hours from the first receive, too long for a local stack.
MAX_BACK_OFF_S = 300
# A dead letter must be handled within a minute.
DEAD_BACK_OFF_S = 5


@dataclass(frozen=True)
class PollerSettings:
    """Times are in seconds. `back_off_s` is the wait after the first failure; it doubles up to `max_back_off_s`.

    After `max_receives` failures SQS moves the message to another queue.
    """

    batch_size: int = 1
    workers: int = 1
    visibility_s: int = 30
    back_off_s: int = 1
    max_back_off_s: int = MAX_BACK_OFF_S
    max_receives: int = names.MAX_RECEIVES


def lambda_event(messages: Sequence[MessageTypeDef], queue_arn: str) -> dict[str, Any]:
    """Return the event that Lambda's event source mapping makes of these messages."""
    return {"Records": [_record(message, queue_arn) for message in messages]}


def _record(message: MessageTypeDef, queue_arn: str) -> dict[str, Any]:
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message.get("Attributes", {})),
        "messageAttributes": {},  # docwell sends none
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": names.REGION,
    }


def failed_ids(answer: Any, sent: set[str]) -> set[str]:
    """Return the ids of the failed messages by Lambda's rules. A malformed answer fails all.

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
    """Workers that call one function with the messages of one queue."""

    def __init__(
        self,
        sqs: SQSClient,
        queue_url: str,
        pool: FunctionPool,
        settings: PollerSettings,
        describe: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        """`describe` returns the line to print for the body of a finished message, or None."""
        self._sqs = sqs
        self._queue_url = queue_url
        self._pool = pool
        self._settings = settings
        self._describe = describe
        self._queue_arn = f"arn:aws:sqs:{names.REGION}:{names.ACCOUNT}:{queue_url.rsplit('/', 1)[-1]}"
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start the workers."""
        for _ in range(self._settings.workers):
            threading.Thread(target=self._work, daemon=True).start()

    def stop(self) -> None:
        """Stop receiving. A message in progress becomes visible again when its timeout ends."""
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
                # The supervisor restarts the local AWS server, which announces its documents again.
                print(f"{'' if pause < 1 else names.WARNING}the queue does not answer: {error}", flush=True)
                self._stopping.wait(pause)
                pause = min(pause * 2, 5)

    def _receive(self) -> list[MessageTypeDef]:
        answer = self._sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=self._settings.batch_size,
            WaitTimeSeconds=WAIT_S,
            VisibilityTimeout=self._settings.visibility_s,
            AttributeNames=["All"],
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
                print(f"{names.ERROR}ingest: {error}", flush=True)
                failed = sent
        for message in messages:
            if message["MessageId"] in failed:
                self._return(message)
            else:
                self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])
                line = self._describe(message["Body"])
                if line:
                    print(f"{names.NOTICE}{line}", flush=True)

    def _return(self, message: MessageTypeDef) -> None:
        receives = int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1))
        if receives >= self._settings.max_receives:
            wait = 0  # SQS moves it to the next queue at the next receive
            print(f"{names.WARNING}message {message['MessageId']} failed {receives} times", flush=True)
        else:
            wait = min(self._settings.back_off_s * 2 ** (receives - 1), self._settings.max_back_off_s)
        self._set_visibility([message], wait)

    def _set_visibility(self, messages: Sequence[MessageTypeDef], seconds: int) -> None:
        for message in messages:
            self._sqs.change_message_visibility(
                QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds
            )

    @contextmanager
    def _kept_invisible(self, messages: Sequence[MessageTypeDef]) -> Iterator[None]:
        """Extend the messages' visibility timeout while the function runs."""
        done = threading.Event()

        def extend() -> None:
            while not done.wait(self._settings.visibility_s / 3):
                try:
                    self._set_visibility(messages, self._settings.visibility_s)
                except (BotoCoreError, ClientError) as error:
                    print(f"cannot extend a visibility timeout: {error}", flush=True)

        thread = threading.Thread(target=extend, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def ledger_line(dynamodb: DynamoDBClient, body: str) -> str | None:
    """Return a line with the document's status, or None for a restored or unknown document."""
    try:
        record = json.loads(body)["Records"][0]
        key = unquote_plus(record["s3"]["object"]["key"])
        if record.get("userIdentity", {}).get("principalId") == names.RESTORE_PRINCIPAL:
            return None
        item = dynamodb.query(
            TableName=names.LEDGER_TABLE,
            KeyConditionExpression="document = :key",
            ExpressionAttributeValues={":key": {"S": key}},
        )["Items"][0]  # there are two rows during a re-index: show either
        words = [" ".join(key.split()), item["status"].get("S", "")]
    except (ValueError, KeyError, TypeError, IndexError, BotoCoreError, ClientError):
        return None
    words += [f"({item['reason']['S']})"] if item.get("reason", {}).get("S") else []
    for name in ("pages", "chunks"):
        if item.get(name, {}).get("N") not in (None, "0"):
            words.append(f"{item[name]['N']} {name}")
    return "  ".join(words)


def main() -> int:
    """Run until SIGTERM."""
    threading.excepthook = end_with_any_thread
    parser = argparse.ArgumentParser(description="Call the ingest function with messages of its queues.")
    parser.add_argument("--handler", default="functions.ingest.handler.handler")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds for one batch")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    recognises = "rapidocr" in (os.environ.get("DOCWELL_OCR"), os.environ.get("DOCWELL_NEXT_OCR"))
    if recognises:
        try:
            check_installed()
        except SettingsError as error:
            print(f"{names.ERROR}{error}", flush=True)
            return 1
    # boto3 reads endpoint and credentials from the environment.
    config = Config(connect_timeout=5, read_timeout=WAIT_S + 20, retries={"total_max_attempts": 1})
    sqs = boto3.client("sqs", config=config)
    spec = FunctionSpec(options.handler, function_environment(), timeout_s=options.timeout)
    # One worker more for scanned pages, and one for dead letters, so that they never wait for other documents.
    dead_letters = PollerSettings(max_back_off_s=DEAD_BACK_OFF_S, max_receives=names.MAX_DEAD_RECEIVES)
    settings = {
        names.INGEST_QUEUE: PollerSettings(workers=options.workers),
        names.OCR_QUEUE: PollerSettings(workers=int(recognises)),
        names.DEAD_LETTER_QUEUE: dead_letters,
    }
    pool = FunctionPool(spec, concurrency=sum(one.workers for one in settings.values()), publishes=True)
    describe = partial(ledger_line, boto3.client("dynamodb", config=config))
    queues = f"{sqs.meta.endpoint_url}/{names.ACCOUNT}"
    pollers = [Poller(sqs, f"{queues}/{name}", pool, one, describe) for name, one in settings.items()]
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
