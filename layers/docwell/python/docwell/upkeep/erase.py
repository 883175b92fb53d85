"""Find rows and chunks of erased documents in ledger and index, and ask ingest to remove them.

The caller has deleted all versions of the objects. Erase deletes no chunk: it sends hints, so that ingest removes
the chunks under each document's lease. It removes only the rows of documents that ingest has finished with.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from docwell.models import Hint, Status, collection_of
from docwell.ports import HintQueue, IndexRows, LedgerRow, LedgerRows, ObjectStore
from docwell.upkeep.reconcile import count_chunks

_SCAN_PAGE = 500


@dataclass(frozen=True, slots=True)
class ErasePipeline:
    """The ledger and the index of one pipeline."""

    ledger: LedgerRows
    index: IndexRows


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """The state of an erasure.

    `keys` are all checked documents, and `returned` those in the bucket again. `chunks` counts the chunks of each
    document that has some. `left` are the documents that are not gone yet: check again later.
    """

    keys: list[str]
    returned: list[str]
    chunks: dict[str, int]
    left: list[str]


@dataclass(frozen=True)
class Erase:
    """The use case over all pipelines in use."""

    store: ObjectStore
    queue: HintQueue
    pipelines: tuple[ErasePipeline, ...]
    clock: Callable[[], float] = time.time

    def run(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Run the command of an event from `docwell erase` (`functions.reconcile.handler`)."""
        if event.get("step") == "flush":
            self.flush(event["keys"])
            return {"flushed": True}
        if event.get("step") == "forget":
            return {"rows": self.forget(event["keys"])}
        return asdict(self.check(event["keys"], event.get("prefix"), hint=bool(event.get("hint"))))

    def check(self, keys: Sequence[str], prefix: str | None = None, *, hint: bool = False) -> ErasureReport:
        """Check the keys, and with a `prefix` every key of the ledger that begins with it.

        With `hint`, send each document that is left to ingest. None of them is in the bucket.
        """
        documents = sorted({*keys, *(self._known_under(prefix) if prefix else ())})
        returned = [key for key in documents if self.store.head(key) is not None]
        chunks: Counter[str] = Counter()
        left = set[str]()
        for pipeline in self.pipelines:
            counts = {
                key: sum(generations.values())
                for key, generations in count_chunks(pipeline.index, documents).items()
            }
            chunks.update(counts)
            left.update(counts)
            left.update(key for key, row in pipeline.ledger.rows_of(documents).items() if not self._is_done(row))
        report = ErasureReport(documents, returned, dict(chunks), sorted(left.difference(returned)))
        if hint and report.left:
            self.queue.send([Hint(key, sweep=True) for key in report.left])
        return report

    def flush(self, keys: Sequence[str]) -> None:
        """Remove the text of the documents from the index's write-ahead log."""
        for collection in dict.fromkeys(map(collection_of, keys)):
            for pipeline in self.pipelines:
                pipeline.index.flush(collection)

    def forget(self, keys: Sequence[str]) -> int:
        """Remove the rows of the documents that are gone; return their number."""
        count = 0
        for pipeline in self.pipelines:
            done = [key for key, row in pipeline.ledger.rows_of(keys).items() if self._is_done(row)]
            pipeline.ledger.forget(done)
            count += len(done)
        return count

    def _is_done(self, row: LedgerRow) -> bool:
        """Return whether ingest has seen that the object is gone, and no worker holds the document's lease."""
        return row.record.status is Status.DELETED and row.record.swept and row.leased_until <= self.clock()

    def _known_under(self, prefix: str) -> set[str]:
        keys: set[str] = set()
        for pipeline in self.pipelines:
            cursor: str | None = None
            while True:
                rows, cursor = pipeline.ledger.scan(cursor, _SCAN_PAGE)
                keys.update(row.record.key for row in rows if row.record.key.startswith(prefix))
                if cursor is None:
                    break
        return keys
