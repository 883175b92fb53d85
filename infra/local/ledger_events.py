"""A local stream of the ledger: it calls the events function for each outcome of a document.

``python -m infra.local.ledger_events --data DIR``, with the webhook's address and secret in the environment.

moto's DynamoDB streams die with their process, and keep every change in memory. So this program compares the
ledger's copy on disk with what it has sent: no crash loses an event. Of the outcomes of a document that come while
the webhook does not answer, it sends the last.
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
from infra.local.emf import every_minute
from infra.local.keys import write_private
from runtime.emf import metric_line, print_line
from runtime.functions import FunctionError, FunctionPool, FunctionSpec, function_environment
from runtime.poller import MAX_BACK_OFF_S, failed_ids
from runtime.process import end_with_any_thread

HANDLER = "functions.events.handler.handler"
# The largest age of the ledger's copy: `infra.local.aws_mirror.TableMirror`.
POLL_S = 0.5
# As in template.yaml.
TIMEOUT_S = 60.0

_numbers = itertools.count(time.time_ns())


@dataclass
class Failing:
    """An outcome that could not be sent. Times are in seconds since the epoch."""

    since: float
    due: float
    tries: int = 0


class Outbox:
    """The outcomes to send. A file names the sent ones. Of a document, it holds the key alone."""

    def __init__(self, ledger: Path, path: Path, clock: Callable[[], float] = time.time) -> None:
        """`ledger` is the table's copy. The first call for it takes its outcomes as sent."""
        self._ledger = ledger
        self._path = path
        self._clock = clock
        self._read_at = 0
        self._rows: dict[str, Item] = {}
        self._read()
        self._sent = {id_: row["outcome_at"]["N"] for id_, row in self._rows.items()}
        self._failing: dict[str, Failing] = {}
        if path.exists():
            stored = json.loads(path.read_text(encoding="utf-8"))
            self._sent = stored["sent"]
            self._failing = {id_: Failing(**failing) for id_, failing in stored["failing"].items()}
        else:
            self._save()

    def send(self, invoke: Callable[[dict[str, Any]], Any]) -> None:
        """Call the function for each outcome that is due. A failed one is due again after 1, 2, 4… seconds.

        Raises `OSError` for a full disk: a restart then repeats what it could not note.
        """
        self._read()
        before = self._sent, self._failing.copy()
        self._sent = {id_: at for id_, at in self._sent.items() if id_ in self._rows}
        self._failing = {id_: failing for id_, failing in self._failing.items() if id_ in self._rows}
        for id_, row in self._rows.items():
            now, at = self._clock(), row["outcome_at"]["N"]
            failing = self._failing.get(id_) or Failing(now, now)
            if self._sent.get(id_) == at or failing.due > now:
                continue
            if _is_sent(invoke, row):
                self._failing.pop(id_, None)
                self._sent[id_] = at
            else:
                due = now + min(2**failing.tries, MAX_BACK_OFF_S)
                self._failing[id_] = Failing(failing.since, due, failing.tries + 1)
        if before != (self._sent, self._failing):
            self._save()

    @property
    def age_s(self) -> float:
        """The age of the oldest outcome that waits, in seconds; 0 for none. Safe for threads."""
        return max((self._clock() - failing.since for failing in tuple(self._failing.values())), default=0.0)

    def _read(self) -> None:
        modified = self._ledger.stat().st_mtime_ns if self._ledger.exists() else 0
        if modified != self._read_at:
            rows = json.loads(self._ledger.read_text(encoding="utf-8"))
            self._rows = {_id(row): row for row in rows if "outcome_at" in row}
            self._read_at = modified

    def _save(self) -> None:
        failing = {id_: asdict(failing) for id_, failing in self._failing.items()}
        write_private(self._path, json.dumps({"sent": self._sent, "failing": failing}))


def _is_sent(invoke: Callable[[dict[str, Any]], Any], row: Item) -> bool:
    change = _change(row)
    try:
        return not failed_ids(invoke({"Records": [change]}), {change["dynamodb"]["SequenceNumber"]})
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
            try:
                outbox.send(pool.invoke)
            except OSError as error:
                print_line(f"{names.ERROR}the disk does not take the events: {error}")
            time.sleep(POLL_S)

    def measure() -> None:
        print_line(metric_line("AWS/Lambda", {"FunctionName": spec.name}, {"IteratorAge": outbox.age_s * 1000}))

    threading.Thread(target=work, daemon=True).start()
    every_minute(measure)
    print_line("waiting for outcomes")
    stopped.wait()
    pool.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
