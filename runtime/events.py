"""``python -m runtime events``: changes of the ledger, from its DynamoDB stream, to the events function.

Like Lambda's event source it calls the function with the changes of a shard in their order, and goes back to the
first that failed. It stores the place after each batch, so a restart repeats one batch at most. The stream keeps
changes for a day.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from docwell.adapters.aws import client, error_code
from docwell.adapters.dynamodb.ledger import DynamoState, outcome_in
from docwell.errors import DocwellError
from runtime.emf import metric_line
from runtime.functions import FunctionError, FunctionPool, FunctionStopped
from runtime.log import log
from runtime.poller import MAX_BACK_OFF_S, failed_ids
from runtime.service import Service, function_spec
from runtime.settings import StreamSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from docwell.ports import StateStore

# As in template.yaml. A batch of fewer changes than there ends in time, with a receiver that takes 10 s for each.
TIMEOUT_S = 60.0
BATCH = 5
# DynamoDB allows five reads of a shard in a second.
POLL_S = 1.0
# The fact that holds the last sent change of each shard, or `END` for a shard that is read to its end.
FACT, END = "events", "end"
_EXPIRED, _TRIMMED = "ExpiredIteratorException", "TrimmedDataAccessException"


@dataclass
class Shard:
    """How far a shard is read. Times are in seconds since the epoch; `since` is of a change that waits."""

    iterator: str | None = None
    since: float | None = None
    due: float = 0.0
    tries: int = 0


class LedgerStream:
    """Sends the outcomes in a stream: those of a document in their order, each until it succeeds."""

    def __init__(
        self,
        streams: Any,
        arn: str,
        state: StateStore,
        invoke: Callable[[dict[str, Any]], Any],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Continue at the stored place, else at the oldest change. `invoke` calls the events function."""
        self._streams, self._arn, self._state, self._invoke, self._clock = streams, arn, state, invoke, clock
        self._places = dict(state.read(FACT))
        self._shards: dict[str, Shard] = {}

    @property
    def ended(self) -> bool:
        """Whether all shards are read to their end, as of a stream that was disabled."""
        return all(self._places.get(id_) == END for id_ in self._shards)

    def read(self) -> float:
        """Read all shards once; return the age in seconds of the oldest change that waits, or 0.

        Raises the errors of boto3, and `Unavailable` for the state.
        """
        parents = self._parents()
        self._places = {id_: place for id_, place in self._places.items() if id_ in parents}
        self._shards = {id_: self._shards.get(id_, Shard()) for id_ in parents}
        for id_, parent in parents.items():
            # A document's changes move to another shard when theirs ends.
            waits = parent in parents and self._places.get(parent) != END
            if not waits and self._places.get(id_) != END and self._shards[id_].due <= self._clock():
                self._read(id_, self._shards[id_])
        return max((self._clock() - shard.since for shard in self._shards.values() if shard.since), default=0.0)

    def _parents(self) -> dict[str, str | None]:
        """Return the parent of each shard."""
        parents: dict[str, str | None] = {}
        last: dict[str, str] = {}
        while True:
            page = self._streams.describe_stream(StreamArn=self._arn, **last)["StreamDescription"]
            parents |= {shard["ShardId"]: shard.get("ParentShardId") for shard in page["Shards"]}
            if "LastEvaluatedShardId" not in page:
                return parents
            last = {"ExclusiveStartShardId": page["LastEvaluatedShardId"]}

    def _read(self, id_: str, shard: Shard) -> None:
        try:
            shard.iterator = shard.iterator or self._iterator(id_)
            answer = self._streams.get_records(ShardIterator=shard.iterator)
        except ClientError as error:
            if error_code(error) not in (_EXPIRED, _TRIMMED):
                raise
            shard.iterator = None
            if error_code(error) == _TRIMMED:
                log("ERROR", "changes of the ledger are older than a day: their events are lost")
                self._places.pop(id_, None)
            return
        # A read that raises below continues at the place in memory, not at the iterator it has used.
        records, shard.iterator = answer["Records"], None
        outcomes = [number for number, record in enumerate(records) if _is_for_function(record)]
        for first in range(0, len(outcomes), BATCH):
            batch = outcomes[first : first + BATCH]
            failed = self._failed([records[number] for number in batch])
            sent = next((index for index, bad in enumerate(failed) if bad), len(batch))
            if sent:
                shard.tries = 0
                self._store(id_, _number(records[batch[sent - 1]]))
            if sent < len(batch):
                shard.since = records[batch[sent]]["dynamodb"]["ApproximateCreationDateTime"].timestamp()
                shard.due = self._clock() + min(2**shard.tries, MAX_BACK_OFF_S)
                shard.tries += 1
                return
        shard.since, shard.tries, shard.iterator = None, 0, answer.get("NextShardIterator")
        if records:
            self._places[id_] = _number(records[-1])
        if shard.iterator is None:
            self._store(id_, END)

    def _iterator(self, id_: str) -> str:
        place = self._places.get(id_)
        start = (
            {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": place}
            if place
            else {"ShardIteratorType": "TRIM_HORIZON"}
        )
        answer = self._streams.get_shard_iterator(StreamArn=self._arn, ShardId=id_, **start)
        return str(answer["ShardIterator"])

    def _failed(self, records: Sequence[Mapping[str, Any]]) -> list[bool]:
        """Call the function; return for each change whether it failed."""
        numbers = [*map(_number, records)]
        try:
            failed = failed_ids(self._invoke({"Records": [*map(_change, records)]}), {*numbers})
        except FunctionError as error:
            if not isinstance(error, FunctionStopped):
                log("ERROR", f"events: {error}")
            failed = {*numbers}
        return [number in failed for number in numbers]

    def _store(self, id_: str, place: str) -> None:
        self._places[id_] = place
        self._state.write(FACT, self._places)


def _number(record: Mapping[str, Any]) -> str:
    return str(record["dynamodb"]["SequenceNumber"])


def _is_for_function(record: Mapping[str, Any]) -> bool:
    """Return whether a change has an outcome, or a row that cannot be read, which the function reports."""
    try:
        return outcome_in(record) is not None
    except (AttributeError, LookupError, TypeError, ValueError):
        return True


def _change(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record as Lambda passes it on; its times are no JSON."""
    names = ("SequenceNumber", "NewImage", "OldImage", "StreamViewType")
    content = {name: record["dynamodb"][name] for name in names if name in record["dynamodb"]}
    return {"eventName": record["eventName"], "eventSource": "aws:dynamodb", "dynamodb": content}


def _stream(table: str, invoke: Callable[[dict[str, Any]], Any]) -> LedgerStream:
    tables = client("dynamodb")
    described = tables.describe_table(TableName=table)["Table"]
    view = described.get("StreamSpecification", {}).get("StreamViewType")
    if view != "NEW_AND_OLD_IMAGES":
        now = f"a stream of {view}: disable it, and enable one" if view else "no stream: enable one"
        raise OSError(f"the table {table} has {now} with StreamViewType NEW_AND_OLD_IMAGES")
    streams = boto3.client("dynamodbstreams", config=Config(connect_timeout=3, read_timeout=10))
    return LedgerStream(streams, described["LatestStreamArn"], DynamoState(tables, table), invoke)


def run(handler: str) -> int:
    """Run until SIGTERM. Raises `OSError`."""
    settings = StreamSettings.read()
    service, reads = Service(settings, {"service": "events", "function": "docwell-events"}), threading.Event()
    spec = function_spec("events", handler, TIMEOUT_S, on_line=service.on_line)
    pool = FunctionPool(spec, concurrency=1, publishes=True)

    def follow() -> None:
        stream: LedgerStream | None = None
        while not service.stopping.is_set():
            try:
                if stream is None or stream.ended:
                    stream = _stream(settings.ledger_table, pool.invoke)
                age = {"IteratorAge": stream.read() * 1000}
                service.exporter.read(metric_line("AWS/Lambda", {"FunctionName": spec.name}, age))
                reads.set()
            except (BotoCoreError, ClientError, DocwellError, OSError) as error:
                reads.clear()
                if isinstance(error, ClientError) and error_code(error) == "ResourceNotFoundException":
                    stream = None  # the table has another stream by now
                log("WARNING", f"the ledger's stream does not answer: {error}")
            service.stopping.wait(POLL_S if reads.is_set() else 5)

    follower = threading.Thread(target=follow, daemon=True)

    def stop(deadline: float) -> None:
        if follower.ident:
            follower.join(max(deadline - time.monotonic(), 0))
        pool.close()

    service.start(pool, follower.start)
    return service.run(reads.is_set, stop)
