"""``python -m benchmarks.chroma_size`` (`make bench-chroma`): memory and search time of one Chroma server by size.

It fills a server, held to two cores, and stops at each size to search as docwell does: 110 chunks with texts.
A chunk has 384 dimensions, 800 characters and five unit vectors; the data is synthetic. Memory is fitted by a line
over the chunks, the 95th percentile of a search by a line over their logarithm (the graph's depth). Figures for 15
million chunks extend both lines: they are extrapolated, not measured.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.faults.chroma import ChromaServer as Process
from benchmarks.faults.compare import SHARDS
from docwell.adapters.chroma import ChromaIndex
from docwell.adapters.chroma_layout import Layout
from docwell.adapters.chroma_server import ChromaServer
from docwell.models import Chunk, IndexRecord, Units
from docwell.ports import Places
from infra.measuring import quantile
from infra.progress import bar
from infra.report import Report

_SIZES = (100_000, 1_000_000)
_PUBLISHED = 15_000_000  # the chunks for which single-node Chroma is published
_CORES = 2
_QUESTIONS = 100
_NEAREST = 110
_DIMENSION = 384
_TOPICS = 200
_COLLECTIONS = 20
_LARGE = 0.4  # the share of the first collection
_PER_DOCUMENT = 50
_UNITS = 5
_WORDS = 20_000
_WORDS_OF_TEXT = 130
_BATCH = 250
_GB = 1e9


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chroma_size", description=__doc__)
    parser.add_argument("--chunks", type=int, action="append", help=f"a size to stop at; by default {_SIZES}")
    sizes = sorted(parser.parse_args().chunks or _SIZES)
    # A line needs more than one point.
    stops = sorted({sizes[0] // 4, sizes[0] // 2, *sizes})
    report = Report("bench-chroma", parameters={"chunks": sizes})
    with tempfile.TemporaryDirectory(prefix="docwell-chroma-size-") as folder:
        process = Process(Path(folder))
        try:
            _start_on_few_cores(process)
            _measure(report, process, Path(folder), stops)
        finally:
            process.kill()
    return report.finish()


def _measure(report: Report, process: Process, folder: Path, stops: list[int]) -> None:
    filler = Filler(ChromaIndex(ChromaServer(process.url, timeout_s=120), Layout("f" * 32, SHARDS)))
    memory: list[float] = []
    p95: dict[str, list[float]] = {}
    for stop in stops:
        started, before = time.monotonic(), filler.written
        with bar(f"{stop:,} chunks", max((stop - before) // _BATCH, 1)) as step:
            filler.fill(stop, step)
        seconds = time.monotonic() - started
        for scope, places in filler.scopes():
            times = [filler.search_ms(places()) for _ in range(_QUESTIONS)]
            p95.setdefault(scope, []).append(quantile(times, 0.95))
            report.add(f"{stop:,} chunks, search of {scope}: p50", quantile(times, 0.5), "ms")
            report.add(f"{stop:,} chunks, search of {scope}: p95", p95[scope][-1], "ms")
        memory.append(sum(one.memory_info().rss for one in _processes(process)) / _GB)
        report.add(f"{stop:,} chunks: memory of the server", memory[-1], "GB")
        disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        report.add(f"{stop:,} chunks: disk", disk / _GB, "GB")
        report.add(f"{stop:,} chunks: written per second since the size before", (stop - before) / seconds, "1/s")
    slope, base = np.polyfit(stops, memory, 1)
    report.add("memory of a million chunks, by the fitted line", slope * 1e6, "GB")
    source = f"extrapolated from {stops[0]:,} to {stops[-1]:,}"
    report.add(f"{_PUBLISHED:,} chunks: memory, {source}", base + slope * _PUBLISHED, "GB")
    for scope, values in p95.items():
        growth, start = np.polyfit(np.log(stops), values, 1)
        at_most = start + growth * np.log(_PUBLISHED)
        report.add(f"{_PUBLISHED:,} chunks, search of {scope}: p95, {source}", at_most, "ms")


def _start_on_few_cores(process: Process) -> None:
    """Start the server on two cores. It inherits them: set afterwards, they would bind only its first thread."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[:_CORES])
    try:
        process.start()
    finally:
        os.sched_setaffinity(0, cores)


def _processes(process: Process) -> list[psutil.Process]:
    """Return the server's processes: the first one starts and watches it."""
    first = psutil.Process(process.pid)
    return [first, *first.children(recursive=True)]


class Filler:
    """Fills an index with synthetic chunks, and searches it."""

    def __init__(self, index: ChromaIndex) -> None:
        self.written = 0
        self._index = index
        self._random = np.random.default_rng(3)
        self._topics = self._noise(_TOPICS)
        self._words = [f"w{number:x}{'aeiou'[number % 5]}" for number in range(_WORDS)]
        self._asked = self._topics
        self._documents: list[str] = []  # of the large collection

    def fill(self, stop: int, step: Callable[[], None]) -> None:
        """Write chunks until there are `stop` of them; call `step` for each batch."""
        while self.written < stop:
            count = min(_BATCH, stop - self.written)
            vectors = _unit(
                0.65 * self._topics[self._random.integers(0, _TOPICS, count)] + 0.75 * self._noise(count)
            )
            self._asked = vectors
            large = self.written == 0 or self._random.random() < _LARGE
            collection = f"c{0 if large else self._random.integers(1, _COLLECTIONS)}"
            rows = enumerate(vectors.tolist(), self.written)
            self._index.upsert(collection, [self._record(collection, number, vector) for number, vector in rows])
            self.written += count
            step()

    def scopes(self) -> Iterator[tuple[str, Callable[[], Places | None]]]:
        """Yield the scopes of questions by name, each with a function that draws one."""

        def drawn(count: int) -> Places:
            return {"c0": [self._documents[one] for one in self._random.integers(0, len(self._documents), count)]}

        yield "all collections", lambda: None
        yield "the large collection", lambda: {"c0": None}
        yield "a small collection", lambda: {f"c{self._random.integers(1, _COLLECTIONS)}": None}
        yield "one document", lambda: drawn(1)
        yield "2,000 documents", lambda: drawn(2000)

    def search_ms(self, places: Places | None) -> float:
        """Return the milliseconds of one search for a new question."""
        near = self._asked[self._random.integers(0, len(self._asked))]
        asked = _unit(near + 0.8 * self._noise(1))[0].tolist()
        started = time.perf_counter()
        self._index.search(places, asked, _NEAREST)
        return (time.perf_counter() - started) * 1000

    def _record(self, collection: str, number: int, vector: list[float]) -> IndexRecord:
        text = " ".join(self._words[one] for one in self._random.integers(0, _WORDS, _WORDS_OF_TEXT))
        length = len(text) // _UNITS
        spans = tuple((unit * length, (unit + 1) * length) for unit in range(_UNITS))
        units = Units(spans, self._random.bytes(_UNITS * _DIMENSION))
        document = f"{collection}/{number // _PER_DOCUMENT}.pdf"
        if collection == "c0" and number % _PER_DOCUMENT == 0:
            self._documents.append(document)
        chunk = Chunk(text, 1 + number % _PER_DOCUMENT, 0, len(text), 160)
        return IndexRecord(f"{number:032x}", document, "g" * 32, "v" * 32, chunk, vector, units)

    def _noise(self, count: int) -> NDArray[np.float32]:
        return _unit(self._random.standard_normal((count, _DIMENSION), dtype=np.float32))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / lengths).astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
