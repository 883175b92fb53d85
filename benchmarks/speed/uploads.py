"""Uploads into the bucket of a local stack, and the wait until they are live."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.compare import PipelinePlace
from benchmarks.speed.worker_memory import Peak, WorkerMemory
from docwell.config import EmbedderSettings
from infra.local.names import LEDGER_TABLE
from infra.local.stack import MODEL_DIR, Stack

# The stack's model server needs some model; these benchmarks ask no question.
MODEL = "smollm2:135m"
CHUNK_TOKENS = int(EmbedderSettings.model_fields["chunk_tokens"].default)
# The local ledger takes 1 ms to read a key, so look seldom while many documents wait. At most 50 a second become
# live, so the last one is not seen late.
_PAUSE_S, _PAUSE_OF_ONE_S, _LONGEST_PAUSE_S = 0.05, 0.02, 2.0
_KEYS_OF_ONE_READ = 100  # of BatchGetItem


@dataclass(frozen=True)
class Indexed:
    """The seconds from the first upload to the last one live, and the ledger's rows by key."""

    seconds: float
    rows: Mapping[str, Mapping[str, Any]]

    def total(self, field: str) -> int:
        """Return the sum of `pages`, `chunks` or `characters` of the documents that are indexed."""
        return sum(int(row.get(field, 0)) for row in self.rows.values() if row["status"] == "INDEXED")

    @property
    def not_indexed(self) -> list[str]:
        return [key for key, row in self.rows.items() if row["status"] != "INDEXED"]


class Uploads:
    """The bucket and the ledger of a running stack; the API would take more processor time than the ledger."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._s3, self._dynamodb = stack.client("s3"), stack.client("dynamodb")
        self._pipeline = PipelinePlace(MODEL_DIR, CHUNK_TOKENS).fingerprint

    def index(
        self, bodies: Mapping[str, bytes | Path], timeout_s: float, step: Callable[[], None] = lambda: None
    ) -> Indexed:
        """Upload all and wait; call `step` for each document with a final status. Raises `TimeoutError`."""
        started = time.monotonic()
        waiting: dict[str, str] = {}
        for key, body in bodies.items():
            content = body.read_bytes() if isinstance(body, Path) else body
            waiting[key] = self._s3.put_object(Bucket=self._stack.bucket, Key=key, Body=content)["VersionId"]
        rows: dict[str, Mapping[str, Any]] = {}
        while waiting:
            settled = self._settled(waiting)
            for key, row in settled.items():
                del waiting[key]
                rows[key] = row
                step()
            if waiting and len(settled) < _KEYS_OF_ONE_READ:
                time.sleep(min(max(_PAUSE_S, _PAUSE_OF_ONE_S * len(waiting)), _LONGEST_PAUSE_S))
            if time.monotonic() > started + timeout_s:
                raise TimeoutError(f"{len(waiting)} documents have no final status after {timeout_s:.0f} s")
        return Indexed(time.monotonic() - started, rows)

    def _settled(self, waiting: Mapping[str, str]) -> dict[str, Mapping[str, Any]]:
        """Return the rows of the first hundred keys that have a final status for their version."""
        keys = [
            {"document": {"S": key}, "pipeline": {"S": self._pipeline}}
            for key in list(waiting)[:_KEYS_OF_ONE_READ]
        ]
        answer = self._dynamodb.batch_get_item(RequestItems={LEDGER_TABLE: {"Keys": keys, "ConsistentRead": True}})
        plain = (
            {name: next(iter(value.values())) for name, value in item.items()}
            for item in answer["Responses"].get(LEDGER_TABLE, ())
        )
        return {
            row["document"]: row
            for row in plain
            if row.get("status", "PENDING") != "PENDING" and row.get("version") == waiting[row["document"]]
        }


def index_watched(stack: Stack, key: str, body: bytes, timeout_s: float) -> tuple[Indexed, Peak]:
    """Index one document and watch the workers' memory. Raises `RuntimeError` when it is not indexed."""
    with WorkerMemory() as memory:
        done = Uploads(stack).index({key: body}, timeout_s)
    if done.not_indexed or not memory.peak.worker:
        raise RuntimeError(f"{key} was not indexed: {done.rows}, {memory.peak}")
    return done, memory.peak
