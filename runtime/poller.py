"""An event source for the ingest function: it calls the function with each message of one SQS queue.

Like Lambda's it deletes messages that succeeded, honours `batchItemFailures`, keeps the delay that the function
set for a failed message, and lets SQS move a message to the dead-letter queue after maxReceiveCount receives. The
function alone extends the visibility timeout: an extension from here could replace that delay.
Unlike Lambda's it makes the messages of a function that died visible again after 1, 2, 4… seconds instead of the
queue's visibility timeout, and a stop gives the messages in work back at once.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from runtime.functions import FunctionBusy, FunctionError, FunctionPool, FunctionStopped
from runtime.log import log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

# A stop waits for the last receive, so that its message returns to the queue.
WAIT_S = 5
# SQS allows 12 hours from the first receive; outages are seldom so long.
MAX_BACK_OFF_S = 300


@dataclass(frozen=True)
class PollerSettings:
    """Times are in seconds. `back_off_s` is the wait after the first death of the function.

    It doubles up to `max_back_off_s`. After `max_receives` failures SQS moves the message to another queue.
    `lease_s` is the time that a document may stay locked by a message that is never redelivered. The function must
    start, and extend the visibility timeout, within `visibility_s`.
    """

    workers: int = 1
    visibility_s: int = 30
    back_off_s: int = 1
    max_back_off_s: int = MAX_BACK_OFF_S
    max_receives: int = 5
    lease_s: int = 90


def queue_arn(url: str, region: str) -> str:
    """Return the ARN of the queue with this URL: `…/ACCOUNT/NAME`."""
    account, name = url.rstrip("/").split("/")[-2:]
    return f"arn:aws:sqs:{region}:{account}:{name}"


def lambda_event(messages: Sequence[MessageTypeDef], arn: str) -> dict[str, Any]:
    """Return the event that Lambda's event source mapping makes of these messages of a queue."""
    return {"Records": [_record(message, arn) for message in messages]}


def _record(message: MessageTypeDef, arn: str) -> dict[str, Any]:
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message.get("Attributes", {})),
        "messageAttributes": {},  # docwell sends none
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": arn.split(":")[3],
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
    return {str(id_) for id_ in ids} if ids <= sent else sent


class Poller:
    """Workers that call one function with the messages of one queue."""

    def __init__(self, sqs: SQSClient, queue_url: str, pool: FunctionPool, settings: PollerSettings) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._pool = pool
        self._settings = settings
        self._queue_arn = queue_arn(queue_url, sqs.meta.region_name)
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(settings.workers)]
        # Whether the last receive succeeded.
        self.answered = False

    def start(self) -> None:
        """Start the workers."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop receiving. Close the pool to give the messages in work back, then `join`."""
        self._stopping.set()

    def join(self, deadline: float) -> bool:
        """Wait for the workers until `deadline` on the monotonic clock; return whether all have ended."""
        for thread in filter(threading.Thread.is_alive, self._threads):
            thread.join(max(deadline - time.monotonic(), 0))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        pause = 0.2
        while not self._stopping.is_set():
            try:
                messages = self._receive()
                self.answered = True
                for message in messages:
                    if self._stopping.is_set():
                        self._give_back(message)
                    else:
                        self._handle(message)
                pause = 0.2
            except (BotoCoreError, ClientError) as error:
                # A single failure is normal: a server restarts, or a message was deleted meanwhile.
                self.answered = False
                log("INFO" if pause < 1 else "WARNING", f"the queue does not answer: {error}")
                self._stopping.wait(pause)
                pause = min(pause * 2, 5)

    def _receive(self) -> list[MessageTypeDef]:
        answer = self._sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=1,  # as in template.yaml: a second one would wait, and nothing extends it
            WaitTimeSeconds=WAIT_S,
            VisibilityTimeout=self._settings.visibility_s,
            AttributeNames=["All"],
        )
        return answer.get("Messages", [])

    def _handle(self, message: MessageTypeDef) -> None:
        id_ = message["MessageId"]
        try:
            failed = failed_ids(self._pool.invoke(lambda_event([message], self._queue_arn)), {id_})
        except FunctionStopped:
            self._give_back(message)
        except FunctionError as error:
            if not isinstance(error, FunctionBusy):
                log("ERROR", f"ingest: {error}")
            self._return(message, self._back_off_s(message))
        else:
            if failed:  # the function has set the delay for this error
                self._return(message, None)
            else:
                self._delete(message)

    def _back_off_s(self, message: MessageTypeDef) -> int:
        """Return the wait after a death of the function, which then has set no delay."""
        doublings = _receives(message) - 1
        return min(self._settings.back_off_s << doublings, self._settings.max_back_off_s)

    def _return(self, message: MessageTypeDef, wait_s: int | None) -> None:
        """Make a failed message visible again after `wait_s`; with None, after the delay that it has."""
        receives = _receives(message)
        if receives >= self._settings.max_receives:
            wait_s = 0  # SQS moves it to the next queue at the next receive
            log("WARNING", f"message {message['MessageId']} failed {receives} times")
        if wait_s is not None:
            self._set_visibility(message, wait_s)

    def _give_back(self, message: MessageTypeDef) -> None:
        """Make a message that this process does not finish visible at once: it did not fail.

        After its last receive SQS would move the message to the dead letters, so send a copy instead. The copy has
        another id, so delay it until the lease of this message expires.
        """
        if _receives(message) >= self._settings.max_receives:
            delay = min(self._settings.lease_s, 900)  # SQS's limit
            self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=message["Body"], DelaySeconds=delay)
            self._delete(message)
        else:
            self._set_visibility(message, 0)
        log("INFO", f"message {message['MessageId']} goes back to its queue")

    def _delete(self, message: MessageTypeDef) -> None:
        self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])

    def _set_visibility(self, message: MessageTypeDef, seconds: int) -> None:
        self._sqs.change_message_visibility(
            QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds
        )


def _receives(message: MessageTypeDef) -> int:
    return int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1))
