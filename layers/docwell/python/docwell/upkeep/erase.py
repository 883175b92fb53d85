"""Find rows and chunks of erased documents in ledger and index, and ask ingest to remove them.

The caller has deleted all versions of the objects. Erase deletes no chunk: it sends hints, so that ingest removes
the chunks under each document's lease. It removes only the rows of documents that ingest has finished with.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from docwell.models import Hint, Status, collection_of
from docwell.ports import HintQueue, IndexRows, LedgerRow, LedgerRows, ObjectStore
from docwell.upkeep.reconcile import count_chunks

_SCAN_PAGE = 500


@dataclass(frozen=True)
class Erase:
    """The use case over all `pipelines` in use, each as its ledger and its index."""

    store: ObjectStore
    queue: HintQueue
    pipelines: Sequence[tuple[LedgerRows, IndexRows]]
    clock: Callable[[], float] = time.time

    def run(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Run the command of an event from `docwell erase` (`functions.reconcile.handler`)."""
        if event.get("step") == "flush":
            self.flush(event["keys"])
            return {"flushed": True}
        if event.get("step") == "forget":
            return {"rows": self.forget(event["keys"])}
        return self.check(event["keys"], event.get("prefix"), hint=bool(event.get("hint")))

    def check(self, keys: Sequence[str], prefix: str | None = None, *, hint: bool = False) -> dict[str, Any]:
        """Check the keys, and with a `prefix` every key of the ledger that begins with it.

        With `hint`, send each document that is left to ingest. In the answer, `keys` are all checked documents,
        `chunks` the number of chunks of each that has some, and `rows` that of the rows. `left` are the documents
        that are neither gone yet nor in the bucket again: check again later.
        """
        known = {*keys}
        for ledger, _ in self.pipelines if prefix else ():
            page, cursor = ledger.scan(None, _SCAN_PAGE)
            while page or cursor:
                known.update(row.record.key for row in page if row.record.key.startswith(str(prefix)))
                page, cursor = ledger.scan(cursor, _SCAN_PAGE) if cursor else ([], None)
        documents = sorted(known)
        returned = [key for key in documents if self.store.head(key) is not None]
        chunks: Counter[str] = Counter()
        unfinished, row_count = set[str](), 0
        for ledger, index in self.pipelines:
            for key, generations in count_chunks(index, documents).items():
                chunks[key] += sum(generations.values())
            rows = ledger.rows_of(documents)
            row_count += len(rows)
            unfinished.update(key for key, row in rows.items() if not self._is_done(row))
        left = sorted((unfinished | chunks.keys()).difference(returned))
        if hint and left:
            self.queue.send([Hint(key, sweep=True) for key in left])
        return {"keys": documents, "chunks": dict(chunks), "rows": row_count, "left": left}

    def flush(self, keys: Sequence[str]) -> None:
        """Remove the text of the documents from the index's write-ahead log."""
        for collection in dict.fromkeys(map(collection_of, keys)):
            for _, index in self.pipelines:
                index.flush(collection)

    def forget(self, keys: Sequence[str]) -> int:
        """Remove the rows of the documents that are gone; return their number."""
        count = 0
        for ledger, _ in self.pipelines:
            done = [key for key, row in ledger.rows_of(keys).items() if self._is_done(row)]
            ledger.forget(done)
            count += len(done)
        return count

    def _is_done(self, row: LedgerRow) -> bool:
        """Return whether ingest has seen that the object is gone, and no worker holds the document's lease."""
        return row.record.status is Status.DELETED and row.record.swept and row.leased_until <= self.clock()
