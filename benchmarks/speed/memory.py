"""Peak memory of the ingest worker for 10 to 5,000 pages, and of the query function over 1,000 requests.

Each document goes into the bucket of a fresh local stack with one worker. Twenty times a second the benchmark
reads the worker's resident memory, and that of the processes that open the PDF. Pages have about 150 words,
which is one chunk.
"""

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Self

import psutil

from benchmarks.functions import workers_of
from benchmarks.pdfs import pages_of_words
from benchmarks.speed.collection import FilledCollection, Texts
from benchmarks.speed.options import Options
from benchmarks.speed.stack import asked_stack, index
from infra.local.stack import StackOptions
from infra.progress import bar
from infra.report import Report

PAGES, SHORT_PAGES = (10, 100, 1_000, 5_000), (100,)
WORDS = 150
# The two sizes whose ratio shows whether memory is flat.
SMALL, LARGE = 100, 5_000
_QUESTIONS = 100  # between two looks at the query function
_TIMEOUT_S = 1800.0
_PAUSE_S = 0.05
_LOOKS_FOR_EACH_LIST = 20


@dataclass
class Peak:
    """Looks at the ingest workers twenty times a second during the block, and keeps the most bytes of memory.

    A worker's are all that is resident. Its children share most with each other, so theirs are proportional.
    """

    worker: int = 0
    children: int = 0
    together: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        looks, workers = 0, list[psutil.Process]()
        while not self._stop.wait(_PAUSE_S):
            if not workers or looks % _LOOKS_FOR_EACH_LIST == 0:
                workers = workers_of(psutil.Process(), StackOptions.ingest_handler)
            looks += 1
            for process in workers:
                with suppress(psutil.Error):
                    children = sum(map(_opened_pdf, process.children(recursive=True)))
                    worker = process.memory_info().rss
                    self.worker = max(self.worker, worker)
                    self.children = max(self.children, children)
                    self.together = max(self.together, worker + children)


def _opened_pdf(process: psutil.Process) -> int:
    """Return its memory, or 0 just after the fork, when it is still a copy of the worker."""
    try:
        return 0 if StackOptions.ingest_handler in process.cmdline() else int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def measure(report: Report, options: Options) -> None:
    sizes = SHORT_PAGES if options.short else PAGES
    peaks: dict[int, Peak] = {}
    with bar("ingest", len(sizes)) as step:
        for pages in sizes:
            peaks[pages] = _ingest(pages)
            step()
    for pages, peak in peaks.items():
        name = f"ingest, {pages:,} pages: peak"
        report.add(f"{name}, worker and child", peak.together / 1e6, "MB", options.goal("<= 500"))
        report.add(f"{name}, worker alone", peak.worker / 1e6, "MB")
        report.add(f"{name}, child alone", peak.children / 1e6, "MB")
    if LARGE in peaks:
        growth = peaks[LARGE].together / peaks[SMALL].together
        report.add(f"ingest, {LARGE:,} pages over {SMALL} pages", growth, "x", options.goal("<= 1.2"))
    after_first, after_last = _query(options)
    report.add("query, after 100 requests", after_first, "MiB")
    report.add(
        "query, after the last request" if options.short else "query, after 1,000 requests", after_last, "MiB"
    )
    report.add(
        "query, growth since the first 100 requests", after_last / after_first, "x", options.goal("<= 1.05")
    )


def _ingest(pages: int) -> Peak:
    """Return the peak while one document goes through a new stack. Raises `RuntimeError` where it is refused."""
    with asked_stack() as bench, Peak() as peak:
        done = index(bench.stack, {f"memory/{pages}.pdf": pages_of_words(pages, WORDS)}, _TIMEOUT_S)
    if done.not_indexed or not peak.worker:
        raise RuntimeError(f"{pages} pages were not indexed: {done.rows}, {peak}")
    return peak


def _query(options: Options) -> tuple[float, float]:
    """Return the function's resident memory in MiB after 100 and after 1,000 questions (short form: 200).

    Raises `RuntimeError` where a question fails, `BenchError` where no question can be made.
    """
    texts = Texts.read(options.folders("xquad"), 100)
    looks = 2 if options.short else 10
    with asked_stack() as bench, bar("query", looks) as step:
        name = FilledCollection(bench.stack, texts, 1_000).name
        questions, sizes = cycle(bench.answerable(texts.questions, name)), list[float]()
        for _ in range(looks):
            answers = bench.ask(list(islice(questions, _QUESTIONS)), name)
            if failed := [answer for answer in answers if answer.status != 200]:
                raise RuntimeError(f"{len(failed)} of {_QUESTIONS} questions failed: {failed[0].body}")
            # All questions of one client go to one environment, the largest.
            workers = workers_of(psutil.Process(), StackOptions.query_handler)
            sizes.append(max(worker.memory_info().rss for worker in workers) / 2**20)
            step()
    return sizes[0], sizes[-1]
