"""PDFs from upload to live, and the memory of ingest and query."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle, islice
from pathlib import Path

import psutil

from benchmarks.doors import workers_of
from benchmarks.pdfs import pages_of_words
from benchmarks.speed.options import Options
from benchmarks.speed.stack import Texts, asked_stack, fill, index
from infra.local.stack import StackOptions
from infra.measuring import Spread
from infra.progress import bar
from infra.report import Report

SLICES, SHORT_PDFS = 3, 4
WORKERS = 2
# Pages of about 150 words are one chunk each; the ratio of LARGE to SMALL shows whether memory is flat.
PAGES, SMALL, LARGE = (10, 100, 1_000, 5_000), 100, 5_000
WORDS = 150
_QUESTIONS = 100  # between two looks at the query function
_TIMEOUT_S = 3600.0
_PAUSE_S = 0.05
_SAMPLES_FOR_EACH_LIST = 20


def ingest(report: Report, options: Options) -> None:
    """Measure PDFs from upload to live, in three slices; the short form takes few.

    A local stack has two workers of one thread each. The limit of the machine is the encoder's runtime alone
    (`make bench-encode`).
    """
    pdfs = options.pdfs(*options.form(("financebench", "xquad"), ()))[: options.form(None, SHORT_PDFS)]
    count = min(options.form(SLICES, 1), len(pdfs))
    slices = [sorted(pdfs, key=lambda pdf: pdf.stat().st_size)[turn::count] for turn in range(count)]
    done = []
    with asked_stack(environment={"DOCWELL_EMBED_THREADS": "1"}, ingest_workers=WORKERS) as bench:
        index(bench.stack, {f"warm-up/{number}.pdf": pdfs[0] for number in range(WORKERS)}, _TIMEOUT_S)
        with bar("slices", len(slices)) as step:
            for turn, paths in enumerate(slices):
                bodies: dict[str, bytes | Path] = {
                    f"slice-{turn}/{number:03}-{pdf.name}": pdf for number, pdf in enumerate(paths)
                }
                done.append(index(bench.stack, bodies, _TIMEOUT_S))
                step()
    report.add("PDFs", len(pdfs), "PDFs")
    report.add("pages of them", sum(result.total("pages") for result in done), "pages")
    for figure in ("pages", "chunks", "characters"):
        speeds = Spread.of([result.total(figure) / result.seconds for result in done])
        report.add_spread(f"docwell: {figure} a second", speeds, f"{figure}/s")
    report.add("docwell: PDFs that it did not index", sum(len(result.not_indexed) for result in done), "PDFs")


@contextmanager
def _ingest_memory() -> Iterator[list[int]]:
    """Collect the bytes of the ingest worker with its children during the block, twenty times a second."""
    stop, samples = threading.Event(), list[int]()
    thread = threading.Thread(target=_sample, args=(stop, samples), daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def _sample(stop: threading.Event, samples: list[int]) -> None:
    workers = list[psutil.Process]()
    while not stop.wait(_PAUSE_S):
        if not workers or len(samples) % _SAMPLES_FOR_EACH_LIST == 0:
            workers = workers_of(psutil.Process(), StackOptions.ingest_handler)
        for process in workers:
            with suppress(psutil.Error):
                samples.append(process.memory_info().rss + sum(map(_proportion, process.children(recursive=True))))


def _proportion(process: psutil.Process) -> int:
    """Return a child's part of the bytes that it shares, or 0 right after the fork, while it copies the worker."""
    try:
        return 0 if StackOptions.ingest_handler in process.cmdline() else int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def memory(report: Report, options: Options) -> None:
    """Measure the peak of the ingest worker for 10 to 5,000 pages, and the query function over 1,000 requests."""
    sizes = options.form(PAGES, (SMALL,))
    with bar("ingest", len(sizes)) as step:
        peaks: dict[int, int] = {}
        for pages in sizes:
            peaks[pages] = _peak(pages)
            step()
    for pages, peak in peaks.items():
        name = f"ingest, {pages:,} pages: peak, worker and child"
        report.add(name, peak / 1e6, "MB", options.goal("<= 500"))
    if LARGE in peaks:
        growth = peaks[LARGE] / peaks[SMALL]
        report.add(f"ingest, {LARGE:,} pages over {SMALL} pages", growth, "x", options.goal("<= 1.2"))
    after_first, after_last = _query_memory(options)
    report.add("query, after 100 requests", after_first, "MiB")
    report.add(f"query, after {options.form('1,000', '200')} requests", after_last, "MiB")
    growth = after_last / after_first
    report.add("query, growth since the first 100 requests", growth, "x", options.goal("<= 1.05"))


def _peak(pages: int) -> int:
    """Return the peak in bytes of one document in a new stack. Raises `RuntimeError` where it is refused."""
    with asked_stack() as bench, _ingest_memory() as samples:
        done = index(bench.stack, {f"memory/{pages}.pdf": pages_of_words(pages, WORDS)}, _TIMEOUT_S)
    if done.not_indexed or not samples:
        raise RuntimeError(f"{pages} pages were not indexed: {done.rows}, {len(samples)} samples")
    return max(samples)


def _query_memory(options: Options) -> tuple[float, float]:
    """Return the function's resident memory in MiB after 100 and after 1,000 questions (short form: 200).

    Raises `RuntimeError` where a question fails, `BenchError` where no question can be made.
    """
    texts, looks = Texts.read(options.pdfs("xquad"), 100), options.form(10, 2)
    with asked_stack() as bench, bar("query", looks) as step:
        name = fill(bench.stack, texts, 1_000)
        questions, sizes = cycle(bench.answerable(texts.questions, name)), list[float]()
        for _ in range(looks):
            answers = bench.ask(list(islice(questions, _QUESTIONS)), name)
            if failed := [answer for answer in answers if answer.status != 200]:
                raise RuntimeError(f"{len(failed)} of {_QUESTIONS} questions failed: {failed[0].body}")
            # All questions of one client go to one environment, which is the largest.
            workers = workers_of(psutil.Process(), StackOptions.query_handler)
            sizes.append(max(worker.memory_info().rss for worker in workers) / 2**20)
            step()
    return sizes[0], sizes[-1]
