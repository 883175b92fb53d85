"""Peak memory of the ingest worker for 10 to 5,000 pages, and of the query function over 1,000 requests.

Each document goes into the bucket of a fresh local stack with one worker. Twenty times a second the benchmark
reads the worker's resident memory, and that of the processes that open the PDF. Pages have about 150 words,
which is one chunk.
"""

from itertools import cycle, islice

import psutil

from benchmarks.pdfs import pages_of_words
from benchmarks.processes import Peak, WorkerMemory, workers_of
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
    with asked_stack() as bench, WorkerMemory() as memory:
        done = index(bench.stack, {f"memory/{pages}.pdf": pages_of_words(pages, WORDS)}, _TIMEOUT_S)
    if done.not_indexed or not memory.peak.worker:
        raise RuntimeError(f"{pages} pages were not indexed: {done.rows}, {memory.peak}")
    return memory.peak


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
