"""``make scale-out``: pages a second with 1, 2 and 4 workers of the runtime.

Each worker is a process of `python -m runtime ingest` with the real function, on a new local AWS server and a new
Chroma server. The curve is flat once no processor is free: workers and servers share this machine's.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.doors import Server, local_servers, run_command
from benchmarks.pdfs import pages_of_words
from benchmarks.speed import index
from infra.local.names import HOST
from infra.local.ports import free_port
from infra.local.stack import Part, Stack, StackOptions
from infra.progress import bar
from infra.report import Report

# Words of each page, and pages of a range: the default of 50 gives too few messages for so few pages.
WORDS, RANGE_PAGES = 350, 10
_TIMEOUT_S = 900.0


@contextmanager
def new_site(count: int, range_pages: int) -> Iterator[tuple[Stack, Part, list[Server]]]:
    """Run a local AWS server, a Chroma server and `count` workers during the block, once all are ready.

    The part is that of a worker.
    """
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="docwell-scale-")))
        limits = {"DOCWELL_RANGE_PAGES": str(range_pages)}
        nowhere = f"http://{HOST}:9"  # there are no questions
        servers = local_servers(StackOptions(folder / "data", environment=limits), nowhere)
        stack, parts = exits.enter_context(servers)
        part = next(part for part in parts if part.name == "ingest")
        workers = []
        for _ in range(count):
            port = free_port()
            single = {"DOCWELL_HEALTH_PORT": f"{port}", "DOCWELL_PROCESSES": "1", "DOCWELL_EMBED_THREADS": "1"}
            workers.append(Server(part.command, {**part.environment, **single}, f"http://{HOST}:{port}/readyz"))
            exits.callback(workers[-1].kill)
        with ThreadPoolExecutor() as pool:
            list(pool.map(Server.start, workers))
        yield stack, part, workers


def measure(report: Report, count: int, bodies: Mapping[str, bytes]) -> float:
    """Index all documents with so many workers, add the rows, and return the pages a second.

    Raises `RuntimeError` for a document that is not indexed.
    """
    title = f"{count} worker{'' if count == 1 else 's'}"
    with new_site(count, RANGE_PAGES) as (stack, _, workers):
        done = index(stack, bodies, _TIMEOUT_S)
        if done.not_indexed:
            raise RuntimeError(f"not indexed: {done.rows}")
        slowest = max(worker.stop() for worker in workers)
        rate = done.total("pages") / done.seconds
        report.add(f"{title}: pages a second", rate, "pages/s")
        report.add(f"{title}: slowest stop without work", slowest, "s", "<= 10")
    return rate


def main() -> int:
    parser = argparse.ArgumentParser(description="Pages a second by the number of workers.")
    parser.add_argument("--short", action="store_true", help="1 and 2 workers, and fewer pages: for CI")
    options = parser.parse_args()
    counts, documents = ((1, 2), 5) if options.short else ((1, 2, 4), 40)
    bodies = {
        f"words/{number}.pdf": pages_of_words(RANGE_PAGES, WORDS, f"{number}") for number in range(documents)
    }
    report, rates = Report("scale-out"), dict[int, float]()
    with bar("runs", len(counts)) as step:
        for count in counts:
            rates[count] = measure(report, count, bodies)
            step()
    for count in counts[1:]:
        report.add(f"{count} workers: efficiency, of {count} times one", rates[count] / rates[1] / count, "x")
    return report.finish()


if __name__ == "__main__":
    run_command(main)
