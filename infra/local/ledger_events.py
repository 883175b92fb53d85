"""A local stream of the ledger: it calls the events function for each outcome of a document.

``python -m infra.local.ledger_events --data DIR``, with the webhook's address and secret in the environment.

moto's DynamoDB streams die with their process, and keep every change in memory. So this program reads the ledger's
copy on disk, and stores unsent events in a file: no crash loses an event. It misses only an outcome that another
one replaces within the half second before the copy is written.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infra.local import names
from infra.local.aws_mirror import Item
from infra.local.emf import every_minute, print_metrics
from infra.local.keys import write_private
from runtime.emf import print_line
from runtime.functions import FunctionError, FunctionPool, FunctionSpec, function_environment
from runtime.poller import MAX_BACK_OFF_S, failed_ids
from runtime.process import end_with_any_thread

HANDLER = "functions.events.handler.handler"
# DynamoDB streams and EventBridge also keep events for a day.
MAX_AGE_S = 24 * 3600
# The largest age of the ledger's copy: `infra.local.aws_mirror.TableMirror`.
POLL_S = 0.5
# As in infra/events.yaml.
TIMEOUT_S = 60.0

_numbers = itertools.count(time.time_ns())


@dataclass
class Waiting:
    """A change that is not sent yet. Times are in seconds since the epoch."""

    change: dict[str, Any]
    since: float
    due: float
    tries: int = 0

    @property
    def number(self) -> str:
        """The change's number, by which the function reports a failure."""
        return str(self.change["dynamodb"]["SequenceNumber"])


class Outbox:
    """The outcomes to send, in a file."""

    def __init__(self, ledger: Path, path: Path, clock: Callable[[], float] = time.time) -> None:
        """`ledger` is the table's copy. The first call for it takes its outcomes as sent."""
        self._ledger = ledger
        self._path = path
        self._clock = clock
        self._read_at = 0
        self._known: dict[str, str] = {}
        self._waiting: list[Waiting] = []
        if path.exists():
            stored = json.loads(path.read_text(encoding="utf-8"))
            self._known, self._waiting = stored["known"], [Waiting(**waiting) for waiting in stored["waiting"]]
        else:
            self._known = {_id(row): row["outcome_at"]["N"] for row in self._rows()}
            self._save()

    def collect(self) -> None:
        """Add the outcomes that the ledger has noted since the last call."""
        modified = self._ledger.stat().st_mtime_ns if self._ledger.exists() else 0
        if modified == self._read_at:
            return
        rows, self._read_at = self._rows(), modified
        new = [row for row in rows if row["outcome_at"]["N"] != self._known.get(_id(row))]
        outcomes, now = {_id(row): row["outcome_at"]["N"] for row in rows}, self._clock()
        self._waiting += [Waiting(_change(row), now, now) for row in new]
        if outcomes != self._known:
            self._known = outcomes
            self._save()

    def send(self, invoke: Callable[[dict[str, Any]], Any]) -> None:
        """Call the function for each outcome that is due. A failed one is due again after 1, 2, 4… seconds."""
        due = [waiting for waiting in self._waiting if waiting.due <= self._clock()]
        for waiting in due:
            if _is_sent(invoke, waiting):
                self._waiting.remove(waiting)
            elif self._clock() - waiting.since > MAX_AGE_S:
                document = waiting.change["dynamodb"]["NewImage"]["document"]["S"]
                print_line(f"{names.ERROR}an event about {document} was not sent for a day, and is dropped")
                self._waiting.remove(waiting)
            else:
                waiting.due = self._clock() + min(2**waiting.tries, MAX_BACK_OFF_S)
                waiting.tries += 1
        if due:
            self._save()

    @property
    def age_s(self) -> float:
        """The age of the oldest outcome that waits, in seconds; 0 for none. Safe for threads."""
        return max((self._clock() - waiting.since for waiting in tuple(self._waiting)), default=0.0)

    def _rows(self) -> list[Item]:
        if not self._ledger.exists():
            return []
        rows = json.loads(self._ledger.read_text(encoding="utf-8"))
        return [row for row in rows if "outcome_at" in row]

    def _save(self) -> None:
        waiting = [asdict(waiting) for waiting in self._waiting]
        write_private(self._path, json.dumps({"known": self._known, "waiting": waiting}))


def step(outbox: Outbox, invoke: Callable[[dict[str, Any]], Any]) -> None:
    """Collect and send outcomes, even on a full disk: a restart then repeats those that it could not note."""
    for call in (outbox.collect, lambda: outbox.send(invoke)):
        try:
            call()
        except OSError as error:
            print_line(f"{names.ERROR}the disk does not take the events: {error}")


def _is_sent(invoke: Callable[[dict[str, Any]], Any], waiting: Waiting) -> bool:
    try:
        return not failed_ids(invoke({"Records": [waiting.change]}), {waiting.number})
    except FunctionError as error:
        print_line(f"{names.ERROR}events: {error}")
        return False


def _id(row: Item) -> str:
    return f"{row['document']['S']}\0{row['pipeline']['S']}"


def _change(row: Item) -> dict[str, Any]:
    """Return the record of a DynamoDB stream for the write that noted the row's outcome."""
    content = {"SequenceNumber": str(next(_numbers)), "NewImage": row, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    return {"eventName": "MODIFY", "eventSource": "aws:dynamodb", "awsRegion": names.REGION, "dynamodb": content}


def main() -> int:
    """Run until SIGTERM."""
    threading.excepthook = end_with_any_thread
    parser = argparse.ArgumentParser(description="Call the events function for outcomes of documents.")
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    outbox = Outbox(options.data / "aws" / "ledger.json", options.data / "events.json")
    spec = FunctionSpec(HANDLER, function_environment(), timeout_s=TIMEOUT_S)
    pool = FunctionPool(spec, concurrency=1, publishes=True)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())

    def work() -> None:
        while True:
            step(outbox, pool.invoke)
            time.sleep(POLL_S)

    def measure() -> None:
        print_metrics("AWS/Lambda", {"FunctionName": spec.name}, {"IteratorAge": outbox.age_s * 1000})

    threading.Thread(target=work, daemon=True).start()
    every_minute(measure)
    print_line("waiting for outcomes")
    stopped.wait()
    pool.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
