"""``make scale-out``: pages a second with 1, 2 and 4 workers of the runtime.

Each worker is a process of `python -m runtime ingest` with the real function, on a new local AWS server and a new
Chroma server. The curve is flat once no processor is free: workers and servers share this machine's.
"""

import argparse
import os
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import psutil

from benchmarks.doors import Server, local_servers, run_command
from benchmarks.pdfs import pages_of_words
from benchmarks.speed import Indexed, index
from infra.local.names import HOST
from infra.local.ports import free_port
from infra.local.stack import Stack, StackOptions
from infra.progress import bar
from infra.report import Report

# Words of each page, and pages of a range: the default of 50 gives too few messages for so few pages.
WORDS, RANGE_PAGES = 350, 10
_TIMEOUT_S = 900.0


class Site:
    """A local AWS server, a Chroma server, and the workers on them; a context manager."""

    def __init__(self, range_pages: int) -> None:
        self._exits = ExitStack()
        folder = Path(self._exits.enter_context(tempfile.TemporaryDirectory(prefix="docwell-scale-")))
        limits = {"DOCWELL_RANGE_PAGES": str(range_pages)}
        nowhere = f"http://{HOST}:9"  # there are no questions
        servers = local_servers(StackOptions(folder / "data", environment=limits), nowhere)
        self.stack, parts = self._exits.enter_context(servers)
        # The part that runs a worker.
        self.part = next(part for part in parts if part.name == "ingest")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def start(self, count: int) -> list[Server]:
        """Start workers and wait until all are ready."""
        workers = []
        for _ in range(count):
            port = free_port()
            single = {"DOCWELL_HEALTH_PORT": f"{port}", "DOCWELL_PROCESSES": "1", "DOCWELL_EMBED_THREADS": "1"}
            environment = {**self.part.environment, **single}
            workers.append(Server(self.part.command, environment, f"http://{HOST}:{port}/readyz"))
            self._exits.callback(workers[-1].kill)
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(Server.start, workers))
        return workers


def measure(report: Report, count: int, bodies: Mapping[str, bytes]) -> float:
    """Index all documents with so many workers, add the rows, and return the pages a second."""
    title = f"{count} worker{'' if count == 1 else 's'}"
    with Site(RANGE_PAGES) as site:
        workers = site.start(count)
        psutil.cpu_percent()
        done = _indexed(site.stack, bodies)
        processors = psutil.cpu_percent() / 100 * (os.cpu_count() or 1)
        slowest = max(worker.stop() for worker in workers)
        rate = done.total("pages") / done.seconds
        report.add(f"{title}: pages a second", rate, "pages/s")
        report.add(f"{title}: processors in use, of {os.cpu_count()}", processors, "processors")
        report.add(f"{title}: slowest stop without work", slowest, "s", "<= 10")
    return rate


def _indexed(stack: Stack, bodies: Mapping[str, bytes]) -> Indexed:
    """Upload and wait. Raises `RuntimeError` for a document that is not indexed."""
    done = index(stack, bodies, _TIMEOUT_S)
    if done.not_indexed:
        raise RuntimeError(f"not indexed: {done.rows}")
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description="Pages a second by the number of workers.")
    parser.add_argument("--short", action="store_true", help="1 and 2 workers, and fewer pages: for CI")
    options = parser.parse_args()
    counts, documents = ((1, 2), 5) if options.short else ((1, 2, 4), 40)
    bodies = {
        f"words/{number}.pdf": pages_of_words(RANGE_PAGES, WORDS, f"{number}") for number in range(documents)
    }
    report, rates = Report("scale-out"), dict[int, float]()
    report.add("documents", len(bodies), "documents", ">= 1")
    report.add("their pages", RANGE_PAGES * len(bodies), "pages")
    with bar("runs", len(counts)) as step:
        for count in counts:
            rates[count] = measure(report, count, bodies)
            step()
    for count in counts[1:]:
        report.add(f"{count} workers: efficiency, of {count} times one", rates[count] / rates[1] / count, "x")
    return report.finish()


if __name__ == "__main__":
    run_command(main)
