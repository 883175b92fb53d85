"""A queue as unkind as SQS may be: it duplicates, delays, reorders and forgets acknowledgements.

It counts receives, and after too many moves a message to the dead letters. Times are in seconds of `clock`; what
a worker asks for (`change_visibility`) is shortened by `time_scale`, so that a back-off of minutes takes
seconds. Safe for threads.
"""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any
from urllib.parse import quote_plus

from infra.local.names import ACCOUNT, REGION


@dataclass(frozen=True, slots=True)
class DeliveryFaults:
    """How often what happens: shares of messages; `longest_delay_s` for those that are late."""

    duplicate: float = 0.1
    late: float = 0.3
    longest_delay_s: float = 2.0
    # The same message is received by a second worker while the first is at work on it.
    twice: float = 0.05
    forgotten_acknowledgement: float = 0.05
    reorder: bool = True


PERFECT = DeliveryFaults(duplicate=0, late=0, twice=0, forgotten_acknowledgement=0, reorder=False)


@dataclass(slots=True)
class Message:
    """One message in the queue. `visible_at` is when it may be received next."""

    id: str
    body: str
    visible_at: float
    receives: int = 0
    receipts: set[str] = field(default_factory=set)
    first_receive: float = 0.0


@dataclass(frozen=True, slots=True)
class Receipt:
    """A message as it is handed to a worker."""

    receipt: str
    event: dict[str, Any]
    receives: int
    body: str


def notification(name: str, bucket: str, key: str) -> str:
    """The body that S3 sends to SQS. It carries no version: an event is a hint."""
    entity = {"bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"}, "object": {"key": quote_plus(key, "/")}}
    record = {"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": REGION, "eventName": name, "s3": entity}
    return json.dumps({"Records": [record]})


class UnkindQueue:
    """The queue and its dead-letter queue."""

    def __init__(
        self,
        chooser: random.Random,
        faults: DeliveryFaults | None = None,
        *,
        visibility_s: float = 6.0,
        max_receives: int = 5,
        time_scale: float = 0.05,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Empty."""
        self.faults = faults or DeliveryFaults()
        self.delivered = 0
        self.forgotten = 0
        self.received_twice = 0
        self.dead_ever = 0
        self._random = chooser
        self._visibility_s = visibility_s
        self._max_receives = max_receives
        self._time_scale = time_scale
        self._clock = clock
        self._lock = threading.Lock()
        self._messages: dict[str, Message] = {}
        self._by_receipt: dict[str, str] = {}
        self._dead: list[str] = []

    def send(self, body: str) -> str:
        """Queue a message, and perhaps a second one like it, each perhaps late. Gives the message's id."""
        with self._lock:
            if self._random.random() < self.faults.duplicate:
                self._add(body)
            return self._add(body)

    def receive(self) -> Receipt | None:
        """One visible message, or None. One that was received too often goes to the dead letters."""
        with self._lock:
            now = self._clock()
            while True:
                visible = [message for message in self._messages.values() if message.visible_at <= now]
                if not visible:
                    return None
                message = self._random.choice(visible) if self.faults.reorder else visible[0]
                if message.receives < self._max_receives:
                    break
                del self._messages[message.id]
                self._dead.append(message.body)
                self.dead_ever += 1
            return self._hand_out(message, now)

    def acknowledge(self, receipt: str) -> None:
        """Delete the message, unless this acknowledgement gets lost."""
        with self._lock:
            message = self._of(receipt)
            if message is None:
                return
            if self._random.random() < self.faults.forgotten_acknowledgement:
                self.forgotten += 1
                message.visible_at = min(message.visible_at, self._clock() + self._random.uniform(0, 2))
                return
            del self._messages[message.id]

    def change_visibility(self, receipt: str, seconds: float) -> bool:
        """When the message may come again; False when it is gone."""
        with self._lock:
            message = self._of(receipt)
            if message is not None:
                message.visible_at = self._clock() + seconds * self._time_scale
            return message is not None

    def size(self) -> int:
        """Messages that are not done, those at work included, without the dead letters."""
        with self._lock:
            return len(self._messages)

    def dead(self) -> int:
        """Messages in the dead-letter queue."""
        with self._lock:
            return len(self._dead)

    def redrive(self) -> int:
        """Send every dead letter again. Gives how many."""
        with self._lock:
            bodies, self._dead = self._dead, []
            for body in bodies:
                self._add(body)
            return len(bodies)

    def next_at(self) -> float | None:
        """When the next message becomes visible; None when there is none."""
        with self._lock:
            return min((message.visible_at for message in self._messages.values()), default=None)

    def _add(self, body: str) -> str:
        id_ = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        late = self._random.random() < self.faults.late
        delay = self._random.uniform(0, self.faults.longest_delay_s) if late else 0.0
        self._messages[id_] = Message(id_, body, self._clock() + delay)
        return id_

    def _of(self, receipt: str) -> Message | None:
        return self._messages.get(self._by_receipt.get(receipt, ""))

    def _hand_out(self, message: Message, now: float) -> Receipt:
        message.receives += 1
        message.first_receive = message.first_receive or time.time()
        twice = self._random.random() < self.faults.twice
        self.received_twice += twice
        message.visible_at = now + (self._random.uniform(0, 0.3) if twice else self._visibility_s)
        receipt = f"{message.id}-{message.receives}"
        self._by_receipt[receipt] = message.id
        self.delivered += 1
        record = {
            "messageId": message.id,
            "receiptHandle": receipt,
            "body": message.body,
            "attributes": {
                "ApproximateReceiveCount": str(message.receives),
                "SentTimestamp": str(int(time.time() * 1000)),
                "ApproximateFirstReceiveTimestamp": str(int(message.first_receive * 1000)),
                "SenderId": ACCOUNT,
            },
            "messageAttributes": {},
            "md5OfBody": md5(message.body.encode()).hexdigest(),  # noqa: S324 - SQS's own
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:docwell-ingest",
            "awsRegion": REGION,
        }
        return Receipt(receipt, {"Records": [record]}, message.receives, message.body)
