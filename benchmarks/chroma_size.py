"""``python -m benchmarks.chroma_size`` (`make bench-chroma`): memory and search time of one Chroma server by size.

At each size it starts a server, held to two cores, on a folder of chunks, and searches as docwell does: 110
chunks with texts. Before each size, Chroma's embedded engine adds chunks to the folder, in another process. So the
memory is that of a server that searches and does not write.

A chunk has 384 dimensions, 800 characters and five unit vectors; the data is synthetic. Memory is fitted by a line
over the chunks. So is the 95th percentile of a search with a condition: Chroma then looks at nearly all chunks.
That of others is fitted by a line over their logarithm (the depth of the graph). The chunks of one document are
compared one by one. Figures for more chunks than the largest size extend the lines: they are extrapolated.
"""

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from chromadb.api.rust import RustBindingsAPI
from chromadb.config import Settings, System

from benchmarks.chroma_corpus import Corpus
from benchmarks.faults.chroma import ChromaServer as Process
from benchmarks.faults.compare import SHARDS
from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import Layout
from docwell.errors import DocwellError
from docwell.ports import Places
from infra.measuring import quantile
from infra.report import Report

_SIZES = (100_000, 300_000, 1_000_000)
# Sizes to extrapolate to. Single-node Chroma is published for the last one.
_BEYOND = (1_000_000, 3_000_000, 15_000_000)
_BY_GRAPH = ("all collections", "the large collection")  # searched without a condition
_CORES = 2
_QUESTIONS = 100
_NEAREST = 110
# About 60 MB as records.
_BATCH = 5000
_SAID_EVERY_S = 15.0
_GB = 1e9
_LAYOUT = Layout("f" * 32, SHARDS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chroma_size", description=__doc__)
    parser.add_argument("--chunks", type=int, action="append", help=f"a size to stop at; by default {_SIZES}")
    sizes = sorted(parser.parse_args().chunks or _SIZES)
    # A line needs more than one point.
    stops = sorted({max(sizes[0] // 4, 1), max(sizes[0] // 2, 1), *sizes})
    # SIGTERM keeps the figures of the sizes so far, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    figures = Figures(Report("bench-chroma"))
    try:
        with tempfile.TemporaryDirectory(prefix="docwell-chroma-size-") as folder:
            for before, stop in zip([0, *stops], stops, strict=False):
                seconds = fill(Path(folder), before, stop)
                _measure(figures, Path(folder), stop)
                figures.add(f"{stop:,} chunks: written per second", (stop - before) / seconds, "1/s")
    except (KeyboardInterrupt, RuntimeError, DocwellError) as error:  # hours of figures are worth a report
        why = f"{type(error).__name__} {error}".strip()
        figures.report.notes.append(f"Ended early ({why}): of {len(stops)} sizes it has {len(figures.chunks)}.")
    if figures.chunks[1:]:
        figures.extrapolate()
    status = figures.report.finish()
    return status if len(figures.chunks) == len(stops) else 1


def fill(folder: Path, first: int, stop: int) -> float:
    """Add the chunks from `first` to `stop` to a folder that no server uses. Return the seconds.

    A process does so, because its memory is not given back before it ends. Raises `RuntimeError`.
    """
    started = time.monotonic()
    writer = multiprocessing.get_context("spawn").Process(target=_write, args=(folder, first, stop))
    writer.start()
    try:
        writer.join()
    finally:
        writer.kill()
    if writer.exitcode:
        raise RuntimeError(f"the process that writes chunks ended with {writer.exitcode}")
    return time.monotonic() - started


def _write(folder: Path, first: int, stop: int) -> None:
    settings = Settings(is_persistent=True, persist_directory=str(folder), anonymized_telemetry=False)
    system = System(settings)
    server = ChromaServer("http://none")  # nothing connects to it
    server.client = system.instance(RustBindingsAPI)
    system.start()
    index, corpus = ChromaIndex(server, _LAYOUT), Corpus()
    started = said = time.monotonic()
    for start in range(first, stop, _BATCH):
        end = min(start + _BATCH, stop)
        for collection, records in corpus.records(start, end).items():
            index.upsert(collection, records)
        now = time.monotonic()
        if now - said >= _SAID_EVERY_S:
            rate, said = (end - first) / (now - started), now
            left = (stop - end) / rate
            print(f"{end:,} of {stop:,} chunks, {rate:.0f} a second, {left:.0f} s left", file=sys.stderr)
    # A search makes Chroma add the newest records to the graph.
    index.search(None, corpus.question(np.random.default_rng(0), 0), 1)


@dataclass
class Figures:
    """The figures of the sizes that are measured."""

    report: Report
    chunks: list[int] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    p95: dict[str, list[float]] = field(default_factory=dict)

    def add(self, metric: str, value: float, unit: str) -> None:
        """Add a figure to the report, and print it: the next size may take an hour."""
        row = self.report.add(metric, value, unit)
        print(f"{row.metric}: {row.value:,} {row.unit}", file=sys.stderr, flush=True)

    def extrapolate(self) -> None:
        """Add the figures of the lines through the sizes."""
        source = f"extrapolated from {self.chunks[0]:,} to {self.chunks[-1]:,}"
        for chunks in (one for one in _BEYOND if one > self.chunks[-1]):
            self.report.add(f"{chunks:,} chunks: memory, {source}", self._at(chunks, self.memory), "GB")
            for scope, values in self.p95.items():
                scale = np.log if scope in _BY_GRAPH else np.asarray
                p95 = self._at(chunks, values, scale)
                self.report.add(f"{chunks:,} chunks, search of {scope}: p95, {source}", p95, "ms")

    def _at(self, chunks: int, values: Sequence[float], scale: Callable[[Any], Any] = np.asarray) -> float:
        """Return what the line through the values of all sizes has at so many chunks."""
        slope, base = np.polyfit(scale(self.chunks), values, 1)
        return float(base + slope * scale(chunks))


@contextmanager
def serving(folder: Path) -> Iterator[tuple[ChromaIndex, Process]]:
    """Run a server on the folder during the block."""
    process = Process(folder)
    try:
        _start_on_few_cores(process)
        # The first search reads the graphs.
        yield ChromaIndex(ChromaServer(process.url, timeout_s=600), _LAYOUT), process
    finally:
        process.kill()


def _measure(figures: Figures, folder: Path, chunks: int) -> None:
    """Search on a server, and add the figures: times without the first search, which reads the graphs."""
    corpus, random = Corpus(), np.random.default_rng(chunks)
    last = (chunks - 1) // Corpus.PER_DOCUMENT
    p95: dict[str, float] = {}
    with serving(folder) as (index, process):

        def search_ms(places: Places | None) -> float:
            asked = corpus.question(random, last)
            started = time.perf_counter()
            index.search(places, asked, _NEAREST)
            return (time.perf_counter() - started) * 1000

        search_ms(None)
        for scope, places in _scopes(corpus, random, last):
            times = [search_ms(places()) for _ in range(_QUESTIONS)]
            p95[scope] = quantile(times, 0.95)
            figures.add(f"{chunks:,} chunks, search of {scope}: p50", quantile(times, 0.5), "ms")
            figures.add(f"{chunks:,} chunks, search of {scope}: p95", p95[scope], "ms")
        memory = sum(one.memory_info().rss for one in _processes(process)) / _GB
        figures.add(f"{chunks:,} chunks: memory of the server", memory, "GB")
        disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        figures.add(f"{chunks:,} chunks: disk", disk / _GB, "GB")
    figures.chunks.append(chunks)
    figures.memory.append(memory)
    for scope, value in p95.items():
        figures.p95.setdefault(scope, []).append(value)


def _scopes(
    corpus: Corpus, random: np.random.Generator, last: int
) -> Iterator[tuple[str, Callable[[], Places | None]]]:
    """Yield the scopes of questions by name, each with a function that draws one."""
    large = [key for collection, key in map(corpus.place, range(last + 1)) if collection == "c0"]

    def drawn(count: int) -> Places:
        return {"c0": [large[one] for one in random.integers(0, len(large), count)]}

    yield "all collections", lambda: None
    yield "the large collection", lambda: {"c0": None}
    yield "a small collection", lambda: {f"c{random.integers(1, Corpus.COLLECTIONS)}": None}
    yield "one document", lambda: drawn(1)
    yield "2,000 documents", lambda: drawn(2000)


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


if __name__ == "__main__":
    sys.exit(main())
