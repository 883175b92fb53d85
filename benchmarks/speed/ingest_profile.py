"""Where the time of one long document goes: ingest on real parts in this process, a clock before each port.

The parts are those of `docwell.wiring.ingest`, on a bucket and a queue of a running stack's that nobody else
reads. The
ranges, which are messages of their own, are worked off one after another, as one worker would.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from benchmarks.fresh_wiring import clear_caches
from docwell.ingest.indexing import EmbedderWithTokenizer
from docwell.ingest.ingest import Ingest
from docwell.ingest.lease import IngestLedger
from docwell.ingest.range_worker import RangeWorker
from docwell.models import Hint, Page, PdfInfo, RangeTask, Status
from docwell.ports import ObjectStore, PdfReader, VectorIndex
from docwell.wiring import ingest as wiring
from infra.local.stack import Stack, function_variables

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BUCKET = "docwell-profile"
_FOREVER_S = 3600.0


@dataclass(frozen=True)
class Profile:
    """Seconds in all, and of each stage; stages overlap, so that they may be more than all."""

    seconds: float
    stages: Mapping[str, float]
    pages: int

    def share(self, stage: str) -> float:
        """Of the seconds in all, those in which the stage was at work."""
        return self.stages.get(stage, 0.0) / self.seconds


@dataclass
class _Clock:
    """When each stage was at work, in whatever thread."""

    spans: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def at(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, started)

    def add(self, stage: str, started: float) -> None:
        with self._lock:
            self.spans[stage].append((started, time.perf_counter()))

    def stages(self) -> dict[str, float]:
        return {stage: covered(spans) for stage, spans in self.spans.items()}


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """Seconds that are in at least one span.

    >>> covered([(0.0, 2.0), (1.0, 3.0), (5.0, 6.0)])
    4.0
    """
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


class _Timed:
    """A port whose every method is a stage, or of the one stage that its name has in `stages`."""

    def __init__(self, port: object, clock: _Clock, stages: Mapping[str, str]) -> None:
        self._port, self._clock, self._stages = port, clock, stages

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        stage = self._stages.get(name)
        if stage is None:
            return found

        def timed(*arguments: Any, **options: Any) -> Any:
            with self._clock.at(stage):
                return found(*arguments, **options)

        return timed


class _TimedReading:
    """Reader and embedder. Cutting a page is all from its coming to the tokenizer's last word on it."""

    def __init__(self, reader: PdfReader, embedder: EmbedderWithTokenizer, clock: _Clock) -> None:
        self._reader, self._embedder, self._clock = reader, embedder, clock
        self._came = 0.0
        self.max_tokens, self.fingerprint = embedder.max_tokens, embedder.fingerprint

    def inspect(self, path: Path) -> PdfInfo:
        with self._clock.at("parse"):
            return self._reader.inspect(path)

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        with closing(self._reader.pages(path, first, last)) as pages:
            while True:
                with self._clock.at("parse"):
                    page = next(pages, None)
                if page is None:
                    return
                self._came = time.perf_counter()
                yield page

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        offsets = self._embedder.offsets(texts)
        self._clock.add("chunk", self._came)
        return offsets

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        with self._clock.at("encode"):
            return self._embedder.embed_passages(texts)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._embedder.embed_queries(texts)


@dataclass
class _Held:
    """A queue in this process."""

    sent: list[Hint | RangeTask] = field(default_factory=list)

    def send(self, messages: Sequence[Hint | RangeTask]) -> None:
        self.sent += messages


def profile(stack: Stack, pdf: Path) -> Profile:
    """Index one PDF. Raises `RuntimeError` where it is not indexed."""
    s3 = stack.client("s3")
    s3.create_bucket(Bucket=_BUCKET)
    s3.put_bucket_versioning(Bucket=_BUCKET, VersioningConfiguration={"Status": "Enabled"})
    key = f"profile/{pdf.name}"
    s3.put_object(Bucket=_BUCKET, Key=key, Body=pdf.read_bytes())
    built = _built(stack)
    built.indexer.embedder.embed_passages(["warm up"] * 8)
    clock, queue = _Clock(), _Held()
    ingest = _timed(built, clock, queue)
    started = time.perf_counter()
    report = ingest.update(Hint(key), "profile", lambda: _FOREVER_S)
    while queue.sent:
        task = cast("RangeTask", queue.sent.pop(0))
        report = RangeWorker(ingest).index_range(task, f"profile-{task.range}", lambda: _FOREVER_S)
    seconds = time.perf_counter() - started
    record = built.ledger.get(key)
    if report.status is not Status.INDEXED or record is None:
        raise RuntimeError(f"{pdf.name} became {report.status} ({report.reason})")
    return Profile(seconds, clock.stages(), record.pages or 0)


def _timed(built: Ingest, clock: _Clock, queue: _Held) -> Ingest:
    timed: Callable[..., Any] = _Timed
    store = cast("ObjectStore", timed(built.store, clock, {"download": "download", "head": "head"}))
    index = cast("VectorIndex", timed(built.index, clock, {"upsert": "write", "ids": "sweep", "delete": "sweep"}))
    names = ("acquire", "renew", "write", "release", "get", "finish_range")
    ledger = cast("IngestLedger", timed(built.ledger, clock, dict.fromkeys(names, "ledger")))
    reading = _TimedReading(built.indexer.reader, built.indexer.embedder, clock)
    indexer = replace(built.indexer, store=store, index=index, embedder=reading, reader=reading)
    return replace(built, store=store, index=index, ledger=ledger, queue=queue, indexer=indexer)


def _built(stack: Stack) -> Ingest:
    """What the ingest function would use. Nothing of it is left in `wiring` for others to find."""
    before = dict(os.environ)
    os.environ.update({**function_variables(stack, "docwell-ingest"), "DOCWELL_BUCKET": _BUCKET})
    try:
        clear_caches()
        (built,) = wiring.ingest()
        return built
    finally:
        clear_caches()
        os.environ.clear()
        os.environ.update(before)
