"""What an operator asks for: the reconcile function, and the messages that ingest has given up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from docwell.cli.failure import Failure
from docwell.cli.remote import Api, Json, aws_client, plain_failures

if TYPE_CHECKING:
    from docwell.cli.settings import Settings

# The longest that Lambda lets a function run.
_FUNCTION_TIMEOUT_S = 900
_BATCH = 10  # SQS gives no more at once
# Long enough to look at all of them; what is not moved is given back at once.
_VISIBILITY_S = 300
# More than this may come back to the dead-letter queue while it is being redriven.
_SLACK = 10


class ReconcileFunction:
    """The reconcile function, called through Lambda's own API."""

    def __init__(self, settings: Settings) -> None:
        self._name = settings.need("reconcile_function")
        endpoint = settings.functions_endpoint or settings.aws_endpoint
        with plain_failures(f"cannot call {self._name}"):
            self._client = aws_client(
                settings,
                "lambda",
                endpoint,
                read_timeout=_FUNCTION_TIMEOUT_S + 30,
                # A second call beside one that still runs is no use.
                retries={"total_max_attempts": 1},
                # Nothing is said on the connection for minutes, and NAT gateways forget silent ones after 350 s.
                tcp_keepalive=True,
            )

    def __call__(self, event: Json) -> Json:
        """The function's answer to one event."""
        with plain_failures(f"cannot call {self._name}"):
            answer = self._client.invoke(FunctionName=self._name, Payload=json.dumps(event).encode())
            body = json.loads(answer["Payload"].read() or "null")
        if answer.get("FunctionError"):
            said = body if isinstance(body, dict) else {}
            raise Failure(str(said.get("errorMessage") or f"{self._name} failed; its log says why"))
        if not isinstance(body, dict):
            raise Failure(f"{self._name} does not answer like docwell's: is it the right function?")
        return body

    def to_the_end(self, event: Json, done: str) -> Json:
        """Call again and again until the answer says `done`, something is in the way, or nothing moves."""
        found: list[list[str]] = []
        sent, before = 0, None
        while True:
            answer = self(event)
            pipelines = answer.get("pipelines", [])
            found += [finding for one in pipelines for finding in one["found"]]
            sent += sum(one["sent"] for one in pipelines)
            where = ("phase", "keys", "rows", "chunks")
            now = [answer.get("hinted"), *(tuple(one[name] for name in where) for one in pipelines)]
            if answer.get(done) or now == before or any(one["waiting"] is not None for one in pipelines):
                return {**answer, "found": found, "sent": sent}
            before = now


@dataclass(slots=True)
class DeadLetter:
    """One message that ingest has given up. `sent_at` is in seconds since the epoch."""

    body: str
    receipt: str
    receives: int
    sent_at: float
    key: str | None
    kind: str
    redriven: bool = False

    def as_json(self, record: Json | None) -> Json:
        """What is shown of it, with what the API knows of the document."""
        known = record or {}
        return {
            "document": self.key,
            "kind": self.kind,
            "receives": self.receives,
            "sent_at": self.sent_at,
            "status": known.get("status"),
            "reason": known.get("reason"),
            "detail": known.get("detail"),
            "redriven": self.redriven,
        }


class DeadLetters:
    """The dead-letter queue of the ingest queue."""

    def __init__(self, settings: Settings) -> None:
        name = settings.need("queue")
        with plain_failures(f"cannot use queue {name}"):
            self._sqs = aws_client(settings, "sqs", settings.aws_endpoint)
            self._queue = self._url(name)
            policy = json.loads(self._attributes(self._queue, "RedrivePolicy").get("RedrivePolicy", "{}"))
            target = policy.get("deadLetterTargetArn")
            if not target:
                raise Failure(f"queue {name} has no dead-letter queue")
            self._dead = self._url(target.rsplit(":", 1)[1])

    def redrive(self, key: str | None, *, dry_run: bool) -> list[DeadLetter]:
        """Move the messages, or only those of one document, back to the ingest queue; gives all of them.

        Sent before it is deleted: a message is never lost, and being there twice does no harm.
        """
        letters: list[DeadLetter] = []
        with plain_failures("cannot redrive"):
            try:
                for letter in self._receive():
                    letters.append(letter)
                    if dry_run or (key is not None and letter.key != key):
                        continue
                    self._sqs.send_message(QueueUrl=self._queue, MessageBody=letter.body)
                    self._sqs.delete_message(QueueUrl=self._dead, ReceiptHandle=letter.receipt)
                    letter.redriven = True
            finally:
                for letter in letters:
                    if not letter.redriven:
                        self._sqs.change_message_visibility(
                            QueueUrl=self._dead, ReceiptHandle=letter.receipt, VisibilityTimeout=0
                        )
        return letters

    def _receive(self) -> Iterator[DeadLetter]:
        """Each message once. Those that fail again meanwhile and come back are left for the next time."""
        waiting = "ApproximateNumberOfMessages"
        most = int(self._attributes(self._dead, waiting)[waiting]) + _SLACK
        while most > 0:
            answer = self._sqs.receive_message(
                QueueUrl=self._dead,
                MaxNumberOfMessages=_BATCH,
                VisibilityTimeout=_VISIBILITY_S,
                WaitTimeSeconds=1,
                AttributeNames=["All"],
            )
            messages = answer.get("Messages", [])
            if not messages:
                return
            most -= len(messages)
            yield from map(_letter, messages)

    def _url(self, name: str) -> str:
        return name if "://" in name else str(self._sqs.get_queue_url(QueueName=name)["QueueUrl"])

    def _attributes(self, url: str, name: str) -> dict[str, str]:
        found: dict[str, str] = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name]).get(
            "Attributes", {}
        )
        return found


def known_documents(settings: Settings, letters: list[DeadLetter]) -> dict[str, Json]:
    """What the API knows of the letters' documents; nothing where it cannot be asked."""
    known: dict[str, Json] = {}
    try:
        api = Api(settings, 30.0)
        for key in {letter.key for letter in letters if letter.key is not None}:
            record = api.document(key)
            if record is not None:
                known[key] = record
    except Failure:
        return known
    return known


def _letter(message: Any) -> DeadLetter:  # noqa: ANN401 - boto3's dictionary
    attributes = message.get("Attributes", {})
    key, kind = subject(message["Body"])
    return DeadLetter(
        body=message["Body"],
        receipt=message["ReceiptHandle"],
        receives=int(attributes.get("ApproximateReceiveCount", 1)),
        sent_at=int(attributes.get("SentTimestamp", 0)) / 1000,
        key=key,
        kind=kind,
    )


def subject(body: str) -> tuple[str | None, str]:
    """The document that a message is about, None where it is of no known kind, and the kind.

    >>> subject('{"docwell": {"key": "a.pdf", "version": "v", "pipeline": "p", "range": 3}}')
    ('a.pdf', 'range 3')
    """
    try:
        event = json.loads(body)
        if "docwell" in event:
            own = event["docwell"]
            kinds = [name for name in ("rebuild", "sweep") if own.get(name)]
            return str(own["key"]), f"range {own['range']}" if "range" in own else " ".join(kinds) or "hint"
        record = event["Records"][0]
        return unquote_plus(record["s3"]["object"]["key"]), str(record.get("eventName", "notification"))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None, "unknown"
