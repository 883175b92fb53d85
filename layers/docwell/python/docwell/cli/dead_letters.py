"""`docwell redrive`: the parked queue, at the end of the ingest queue's dead letters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote_plus

import typer

from docwell.cli import display
from docwell.cli.command import ConnectedCommand, DryRunFlag, JsonFlag, group
from docwell.cli.failure import Failure
from docwell.cli.remote import Api, Json, aws_client, plain_failures, queue_url
from docwell.cli.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_sqs.type_defs import MessageTypeDef

    from docwell.adapters.sqs import SqsDeadLetters

# Long enough to receive the whole queue. Messages that stay are made visible again at once.
_VISIBILITY_S = 300
# Messages that fail again during the redrive come back; stop after this many more than there were at the start.
_SLACK = 10

app = group()


@app.command(cls=ConnectedCommand)
def redrive(
    ctx: typer.Context,
    *,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Only the messages of this document.")] = None,
    dry_run: DryRunFlag = False,
    queue: Annotated[
        str | None, typer.Option(envvar="DOCWELL_QUEUE", metavar="NAME|URL", help="The ingest queue.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the messages that ingest gave up, and send them to ingest again."""
    settings: Settings = ctx.obj.given(queue=queue)
    letters = DeadLetters(settings).redrive(key, dry_run=dry_run)
    known = _known_documents(settings, letters)
    rows = [letter.as_json(known.get(letter.key, {})) for letter in letters]
    if as_json:
        display.show_json({"messages": rows, "redriven": sum(letter.redriven for letter in letters)})
    elif rows:
        _show_letters(rows)
    else:
        display.echo("the parked queue is empty", err=True)


@dataclass(slots=True)
class DeadLetter:
    """One message that ingest gave up."""

    message: MessageTypeDef
    key: str | None
    kind: str
    redriven: bool = False

    def as_json(self, record: Json) -> Json:
        """Return the message with the status from the API's `record` of its document."""
        attributes = self.message["Attributes"]
        return {
            "document": self.key,
            "kind": self.kind,
            "parked_at": int(attributes["SentTimestamp"]) / 1000,
            **{name: record.get(name) for name in ("status", "reason", "detail")},
            "redriven": self.redriven,
        }


class DeadLetters:
    """Moves parked messages back to the ingest queue. Raises `Failure` where it has no dead-letter queue."""

    def __init__(self, settings: Settings) -> None:
        name = settings.need("queue")
        self._sqs: SQSClient = aws_client(settings, "sqs")
        with plain_failures(f"cannot use queue {name}"):
            self._queue = queue_url(self._sqs, name)
            self._parked = self._queue
            while target := self._dead_letters_of(self._parked):  # the dead-letter queue, then the parked one
                self._parked = target
            if self._parked == self._queue:
                raise Failure(f"queue {name} has no dead-letter queue: check --queue")

    def redrive(self, key: str | None, *, dry_run: bool) -> list[DeadLetter]:
        """Move the messages (with `key` only those of one document) to the ingest queue; return all of them."""
        from docwell.adapters.sqs import SqsDeadLetters

        parked = SqsDeadLetters(self._sqs, self._parked, self._queue)
        letters: list[DeadLetter] = []
        with plain_failures("cannot redrive"):
            try:
                for batch in self._receive(parked):
                    letters += batch
                    for letter in batch:
                        if not dry_run and key in (None, letter.key):
                            parked.move(letter.message)
                            letter.redriven = True
            finally:
                for letter in letters:
                    if not letter.redriven:
                        parked.show(letter.message)
        return letters

    def _receive(self, parked: SqsDeadLetters) -> Iterator[list[DeadLetter]]:
        most = parked.waiting() + _SLACK
        while most > 0 and (messages := parked.receive(most, _VISIBILITY_S)):
            most -= len(messages)
            yield [DeadLetter(message, *subject(message["Body"])) for message in messages]

    def _dead_letters_of(self, url: str) -> str | None:
        target = json.loads(self._attribute(url, "RedrivePolicy") or "{}").get("deadLetterTargetArn")
        return queue_url(self._sqs, target.rsplit(":", 1)[1]) if target else None

    def _attribute(self, url: str, name: QueueAttributeNameType) -> str | None:
        answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        return answer.get("Attributes", {}).get(name)


def _known_documents(settings: Settings, letters: list[DeadLetter]) -> dict[str | None, Json]:
    """Return the API's records of the letters' documents; nothing where the API cannot be reached."""
    known: dict[str | None, Json] = {}
    with suppress(Failure):
        api = Api(settings, 30.0)
        for key in {letter.key for letter in letters if letter.key is not None}:
            known[key] = api.document(key) or {}
    return known


def subject(body: str) -> tuple[str | None, str]:
    """Return the key that a message is about (None where it cannot be read) and the kind of the message."""
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


def _show_letters(letters: list[Json]) -> None:
    names = ("document", "message", "parked", "status", "reason", "now")
    rows = (
        (
            letter["document"] or "(unknown)",
            letter["kind"],
            display.local_time(letter["parked_at"]),
            display.status_of(letter) if letter["status"] else "-",
            display.reason_of(letter),
            "redriven" if letter["redriven"] else "waits",
        )
        for letter in letters
    )
    display.console().print(display.table(names, rows))
