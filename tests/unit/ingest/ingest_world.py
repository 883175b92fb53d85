"""The ingest use case on ports in memory."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from docwell.config import IngestLimits
from docwell.ingest.indexing import RangeIndexer
from docwell.ingest.ingest import Ingest, IngestReport, RangeWorker
from docwell.models import Hint, RangeTask
from docwell.ports import DocumentReader
from tests.unit.fakes import FakeEmbedder, FakeIndex, FakeLedger, FakeQueue, FakeReader, FakeStore

KEY = "handbooks/a.pdf"


class World:
    """A bucket, a ledger, an index, two queues, and the use case on them."""

    def __init__(self, recogniser: DocumentReader | None = None, **limits: Any) -> None:
        self.store, self.ledger, self.index = FakeStore(), FakeLedger(), FakeIndex()
        self.queue, self.ocr_queue, self.reader = FakeQueue(), FakeQueue(), FakeReader()
        limits_ = IngestLimits(**{"chunk_tokens": 16, **limits})
        self.ingest = Ingest(
            bucket="documents",
            store=self.store,
            ledger=self.ledger,
            index=self.index,
            queue=self.queue,
            indexer=RangeIndexer(self.store, self.index, FakeEmbedder(), self.reader, limits_, recogniser),
            fingerprint="pipeline",
            ocr_queue=self.ocr_queue,
        )

    def index_range(self, task: RangeTask, owner: str, remaining_s: Callable[[], float]) -> IngestReport:
        return RangeWorker(self.ingest, task, owner, remaining_s).index_range()

    def update(self, key: str = KEY, owner: str = "message-1", remaining_s: float = 900.0) -> IngestReport:
        return self.ingest.update(Hint(key), owner, lambda: remaining_s)

    def work_off(self, *, shuffle: int | None = None, twice: bool = False) -> None:
        """Do every message that was sent, as other workers would."""
        while self.queue.sent or self.ocr_queue.sent:
            queue = self.queue if self.queue.sent else self.ocr_queue
            sent, queue.sent = queue.sent * (2 if twice else 1), []
            if shuffle is not None:
                random.Random(shuffle).shuffle(sent)
            for number, message in enumerate(sent):
                if isinstance(message, RangeTask):
                    self.index_range(message, f"range-{number}", lambda: 900.0)
                else:
                    self.ingest.update(message, f"hint-{number}", lambda: 900.0)

    def texts(self, key: str = KEY) -> str:
        return " ".join(record.chunk.text for record in self.index.of(key))


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    return fail
