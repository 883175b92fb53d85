"""A queue with the endpoint of SQS and all its allowed misbehaviour.

It duplicates, delays, reorders and loses acknowledgements. It counts receives, and after too many it hands a
message out from the dead-letter queue, until ingest parks it. It shortens the times that a worker asks for: a
back-off of minutes takes seconds. Thread-safe.
"""

import json
import random
import threading
import time
import uuid
from dataclasses import dataclass
from hashlib import md5
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import quote_plus

from benchmarks.proxy import HttpDoor, answer
from infra.local.names import ACCOUNT, DEAD_LETTER_QUEUE, INGEST_QUEUE, MAX_RECEIVES, PARKED_QUEUE, REGION
from runtime.poller import lambda_event

CREATED, REMOVED = "ObjectCreated:Put", "ObjectRemoved:Delete"
MARKED = "ObjectRemoved:DeleteMarkerCreated"
# The workers' DOCWELL_VISIBILITY_S: they extend a message by this time while they work, so it is never scaled.
EXTENSION_S = 7
_TIME_SCALE = 0.05
# The seconds for which a received message is hidden.
_VISIBILITY_S = 6.0


@dataclass(frozen=True, slots=True)
class DeliveryFaults:
    """The share of messages with each fault. A late message comes up to `longest_delay_s` later.

    `twice`: a second worker receives the message while the first is handling it.
    """

    duplicate: float = 0.1
    late: float = 0.3
    longest_delay_s: float = 2.0
    twice: float = 0.05
    forgotten_acknowledgement: float = 0.05
    reorder: bool = True


PERFECT = DeliveryFaults(duplicate=0, late=0, twice=0, forgotten_acknowledgement=0, reorder=False)


@dataclass(slots=True)
class _Message:
    """One message in the queue, and when it can be received next."""

    id: str
    body: str
    visible_at: float
    receives: int = 0
    twice: bool = False  # a second worker receives it, although the first extends its visibility timeout


@dataclass(frozen=True, slots=True)
class Receipt:
    """A message that a worker received."""

    id: str
    event: dict[str, Any]
    body: str
    dead: bool  # it comes from the dead-letter queue


def notification(name: str, bucket: str, key: str) -> str:
    """Return the body that S3 sends to SQS. It carries no version: an event is a hint."""
    entity = {"bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"}, "object": {"key": quote_plus(key, "/")}}
    record = {"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": REGION, "eventName": name, "s3": entity}
    return json.dumps({"Records": [record]})


class UnkindQueue(HttpDoor):
    """The queue, its dead-letter queue and the parked queue, behind one endpoint."""

    def __init__(self, chooser: random.Random, faults: DeliveryFaults | None = None) -> None:
        self.faults = faults or DeliveryFaults()
        self.dead_letters = 0  # so far
        self._random = chooser
        self._lock = threading.RLock()
        self._messages: dict[str, _Message] = {}
        self._parked: list[str] = []
        super().__init__()

    def send(self, body: str) -> str:
        """Queue a message, perhaps twice, perhaps late. Return its id."""
        with self._lock:
            for _ in range(1 + (self._random.random() < self.faults.duplicate)):
                id_ = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
                late = self._random.random() < self.faults.late
                delay = self._random.uniform(0, self.faults.longest_delay_s) if late else 0.0
                self._messages[id_] = _Message(id_, body, time.monotonic() + delay)
            return id_

    def receive(self) -> Receipt | None:
        """Return one visible message, or None. A message received too often comes from the dead-letter queue."""
        with self._lock:
            now = time.monotonic()
            visible = [message for message in self._messages.values() if message.visible_at <= now]
            if not visible:
                return None
            message = self._random.choice(visible) if self.faults.reorder else visible[0]
            message.receives += 1
            self.dead_letters += message.receives == MAX_RECEIVES + 1
            dead = message.receives > MAX_RECEIVES
            message.twice = self._random.random() < self.faults.twice
            message.visible_at = now + (self._random.uniform(0, 0.3) if message.twice else _VISIBILITY_S)
            queue = DEAD_LETTER_QUEUE if dead else INGEST_QUEUE
            event = sqs_event(message.id, message.body, message.receives, queue)
            return Receipt(message.id, event, message.body, dead)

    def acknowledge(self, id_: str) -> None:
        with self._lock:
            message = self._messages.get(id_)
            if message is None:
                return
            if self._random.random() < self.faults.forgotten_acknowledgement:
                message.visible_at = min(message.visible_at, time.monotonic() + self._random.uniform(0, 2))
            else:
                del self._messages[id_]

    def change_visibility(self, id_: str, seconds: float) -> bool:
        """Set when the message may come again. Return False when it is gone."""
        with self._lock:
            message = self._messages.get(id_)
            if message is not None and not message.twice:
                scale = 1.0 if seconds == EXTENSION_S else _TIME_SCALE
                message.visible_at = time.monotonic() + seconds * scale
            return message is not None

    def size(self) -> int:
        """Return the number of messages that are not done, without the parked ones."""
        return len(self._messages)

    def parked(self) -> int:
        return len(self._parked)

    def redrive(self) -> None:
        with self._lock:
            bodies, self._parked = self._parked, []
            for body in bodies:
                self.send(body)

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        sent = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        reply = self._act(request.headers["X-Amz-Target"].removeprefix("AmazonSQS."), sent)
        gone = {"__type": "com.amazonaws.sqs#ReceiptHandleIsInvalid", "message": "gone"}
        body = json.dumps(gone if reply is None else reply).encode()
        answer(request, 400 if reply is None else 200, body, {"Content-Type": "application/x-amz-json-1.0"})

    def _act(self, action: str, sent: dict[str, Any]) -> dict[str, Any] | None:
        match action:
            case "SendMessageBatch":
                entries = [{"Id": entry["Id"], **self._take(entry["MessageBody"])} for entry in sent["Entries"]]
                return {"Successful": entries, "Failed": []}
            case "SendMessage":
                return self._take(sent["MessageBody"], parked=sent["QueueUrl"].endswith(PARKED_QUEUE))
            case "ChangeMessageVisibility":
                changed = self.change_visibility(sent["ReceiptHandle"], sent["VisibilityTimeout"])
                return {} if changed else None
            case "GetQueueAttributes":
                return {"Attributes": {"ApproximateNumberOfMessages": str(self.size())}}
        return None

    def _take(self, body: str, *, parked: bool = False) -> dict[str, Any]:
        if parked:
            with self._lock:
                self._parked.append(body)
        return {"MessageId": "parked" if parked else self.send(body), "MD5OfMessageBody": _digest(body)}


def sqs_event(id_: str, body: str, receives: int = 1, queue: str = INGEST_QUEUE) -> dict[str, Any]:
    """Return the event by which Lambda hands a message to the function."""
    now = str(int(time.time() * 1000))
    times = {"SentTimestamp": now, "ApproximateFirstReceiveTimestamp": now, "SenderId": ACCOUNT}
    sent: Any = {"MessageId": id_, "ReceiptHandle": id_, "Body": body, "MD5OfBody": _digest(body)}
    sent["Attributes"] = {**times, "ApproximateReceiveCount": str(receives)}
    return lambda_event([sent], f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}")


def _digest(body: str) -> str:
    return md5(body.encode(), usedforsecurity=False).hexdigest()
