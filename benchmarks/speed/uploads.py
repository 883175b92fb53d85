"""Documents into the bucket of a local stack, and the wait until they are live."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from docwell import pipeline
from docwell.adapters.dynamodb.ledger import DynamoLedger
from docwell.adapters.embedding.model_manifest import ModelManifest
from docwell.config import EmbedderSettings
from docwell.models import FINAL, DocumentRecord, Status
from infra.local.names import LEDGER_TABLE
from infra.local.stack import MODEL_DIR, Stack

# The stack's own model server has to be some model; no question is asked here.
MODEL = "smollm2:135m"
_PAUSE_S = 0.05
_ASKED_AT_ONCE = 100  # keys of one BatchGetItem


@dataclass(frozen=True)
class Indexed:
    """What became of some uploads: seconds from the first upload to the last one live, and their records."""

    seconds: float
    records: Mapping[str, DocumentRecord]

    @property
    def pages(self) -> int:
        """Of those that are indexed."""
        return sum(record.pages or 0 for record in self.records.values() if record.status is Status.INDEXED)

    @property
    def chunks(self) -> int:
        """Likewise."""
        return sum(record.chunks for record in self.records.values())

    @property
    def characters(self) -> int:
        """Likewise. The model has read all of them: docwell cuts no chunk longer than it reads."""
        return sum(record.characters for record in self.records.values() if record.status is Status.INDEXED)

    @property
    def not_indexed(self) -> list[str]:
        """The keys that have another final status."""
        return [key for key, record in self.records.items() if record.status is not Status.INDEXED]


class Uploads:
    """The bucket and the ledger of a running stack. The ledger is read directly: the API would take processor."""

    def __init__(self, stack: Stack) -> None:
        """Nothing is asked yet."""
        self._stack = stack
        self._s3 = stack.client("s3")
        chunk_tokens = int(EmbedderSettings.model_fields["chunk_tokens"].default)
        fingerprint = pipeline.fingerprint(ModelManifest.read(MODEL_DIR).fingerprint, chunk_tokens)
        self._ledger = DynamoLedger(stack.client("dynamodb"), LEDGER_TABLE, fingerprint)

    def index(
        self, bodies: Mapping[str, bytes | Path], timeout_s: float, tick: Callable[[], None] = lambda: None
    ) -> Indexed:
        """Upload all and wait; `tick` is called for each that has a final status.

        Raises:
            TimeoutError: one of them has none in time.
        """
        started = time.monotonic()
        waiting: dict[str, str] = {}
        for key, body in bodies.items():
            content = body.read_bytes() if isinstance(body, Path) else body
            waiting[key] = self._s3.put_object(Bucket=self._stack.bucket, Key=key, Body=content)["VersionId"]
        records: dict[str, DocumentRecord] = {}
        while waiting:
            settled = self._settled(waiting)
            for key, record in settled.items():
                del waiting[key]
                records[key] = record
                tick()
            if not settled:
                time.sleep(_PAUSE_S)
            if time.monotonic() > started + timeout_s:
                raise TimeoutError(f"{len(waiting)} documents have no final status after {timeout_s:.0f} s")
        return Indexed(time.monotonic() - started, records)

    def _settled(self, waiting: Mapping[str, str]) -> dict[str, DocumentRecord]:
        """Of the first hundred that are waited for, those that have a final status for their version."""
        first = list(waiting)[:_ASKED_AT_ONCE]
        rows = self._ledger.standings(first)
        return {
            key: row.record
            for key, row in rows.items()
            if row.record.status in FINAL and row.record.version == waiting[key]
        }
