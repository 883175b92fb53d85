"""``make scale-out``: pages a second with 1, 2 and 4 workers of the runtime, and workers that die or stop.

Each worker is a process of `python -m runtime ingest` with the real function, on a new local AWS server and a new
Chroma server. Afterwards the index is compared with the bucket. The curve is flat once no processor is free:
workers, Chroma and the AWS server share this machine's.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import httpx
import psutil

from benchmarks.doors import local_servers, run_command
from benchmarks.faults.compare import Comparator, PipelinePlace
from benchmarks.pdfs import pages_of_words
from benchmarks.speed.stack import CHUNK_TOKENS, Indexed, index
from infra.local.console import StackConsole
from infra.local.names import HOST, LEDGER_TABLE, ROOT
from infra.local.ports import answers, free_port
from infra.local.stack import MODEL_DIR, Part, Stack, StackOptions
from infra.local.supervisor import ensure_embedder
from infra.progress import bar
from infra.report import Report

WORKERS, SHORT_WORKERS = (1, 2, 4), (1, 2)
# Documents of one run: minutes on 2 cores, and seconds with --short.
DOCUMENTS, SHORT_DOCUMENTS = 40, 5
# Words of each page.
WORDS = 350
# Pages of a range. The default of 50 gives too few messages for so few pages.
RANGE_PAGES = 10
# The document has one range for each worker. A range takes 2 s or more: longer than GRACE_S.
DEATH_RANGES, DEATH_PAGES = 3, 150
# A killed worker's message is redelivered after this time.
VISIBILITY_S = 6
# The runtime's smallest value: a stopped worker cannot finish its range, and returns its message to the queue.
GRACE_S = 1
# Longer than the upload's own message takes to queue its ranges, and shorter than a range.
_INTO_S = 0.3
_TIMEOUT_S = 900.0
_READY_S = 120.0
# The leases of dead workers expire within this time.
_SETTLE_S = 60.0


class Worker:
    """One process of the runtime."""

    def __init__(self, part: Part, log: Path, **settings: object) -> None:
        """Start it."""
        self._port, self._log = free_port(), log
        variables = {
            "DOCWELL_HEALTH_PORT": self._port,
            "DOCWELL_PROCESSES": 1,
            "DOCWELL_EMBED_THREADS": 1,
            **settings,
        }
        environment = {**part.environment, **{name: str(value) for name, value in variables.items()}}
        with log.open("w", encoding="utf-8") as out:
            self.process = subprocess.Popen(part.command, env=environment, stdout=out, stderr=out)

    @property
    def given_back(self) -> int:
        """The number of messages that it returned to the queue."""
        return self._log.read_text(encoding="utf-8").count("goes back to its queue")

    def wait_ready(self) -> None:
        """Wait until it can work. Raises `RuntimeError` if it ends first."""
        deadline = time.monotonic() + _READY_S
        while not answers(f"http://{HOST}:{self._port}/readyz"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"a worker did not start: {self._log.read_text(encoding='utf-8')[-2000:]}")
            time.sleep(0.1)

    def wait_busy(self) -> None:
        """Wait until it has worked on one message for some time. Raises `TimeoutError`."""
        deadline = time.monotonic() + _TIMEOUT_S
        before = None
        while (message := self._message()) is None or message != before:
            if time.monotonic() > deadline:
                raise TimeoutError("a worker got no message")
            before = message
            time.sleep(_INTO_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> float:
        """Send SIGTERM; return the seconds until its end. Raises `RuntimeError` for another status than 0."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        if status := self.process.wait(60):
            raise RuntimeError(f"a stopped worker ended with {status}")
        return time.monotonic() - started

    def _message(self) -> str | None:
        """Return the number of the message that it works on, None if there is none."""
        try:
            metrics = httpx.get(f"http://{HOST}:{self._port}/metrics", timeout=5, trust_env=False).text
        except httpx.HTTPError:
            return None
        if not re.search(r"(?m)^docwell_function_concurrent_executions\{.*\} 1\.0$", metrics):
            return None
        count = re.search(r"(?m)^docwell_function_invocations_total\{.*\} (\S+)$", metrics)
        return count[1] if count else ""


class Site:
    """A local AWS server, a Chroma server, and the workers on them; a context manager."""

    def __init__(self, range_pages: int) -> None:
        self._exits = ExitStack()
        self._folder = Path(self._exits.enter_context(tempfile.TemporaryDirectory(prefix="docwell-scale-")))
        options = StackOptions(
            self._folder / "data",
            environment={"DOCWELL_RANGE_PAGES": str(range_pages), "DOCWELL_VISIBILITY_S": str(VISIBILITY_S)},
        )
        nowhere = f"http://{HOST}:9"  # there are no questions
        self.stack, parts = self._exits.enter_context(local_servers(options, nowhere))
        # The part that runs a worker.
        self.part = next(part for part in parts if part.name == "ingest")
        self._range_pages = range_pages
        self._workers: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()
        self._exits.close()

    def start(self, count: int, **settings: object) -> Sequence[Worker]:
        """Start workers and wait until all are ready."""
        first = len(self._workers)
        logs = [self._folder / f"worker-{number}.log" for number in range(first, first + count)]
        new = [Worker(self.part, log, **settings) for log in logs]
        self._workers += new
        for worker in new:
            worker.wait_ready()
        return new

    def differences(self) -> Mapping[str, int]:
        """Return the differences between index and bucket by their kind."""
        place = PipelinePlace(MODEL_DIR, CHUNK_TOKENS)
        differences = Comparator(self.stack, [place], self._range_pages).compare_patiently(_SETTLE_S)
        for line in differences.lines():
            print(line, file=sys.stderr)
        return differences.count


def measure(report: Report, count: int, bodies: Mapping[str, bytes]) -> float:
    """Index all documents with so many workers, add the rows, and return the pages a second."""
    by = f"{count} worker{'' if count == 1 else 's'}"
    with Site(RANGE_PAGES) as site:
        workers = site.start(count)
        psutil.cpu_percent()
        done = _indexed(site.stack, bodies)
        processors = psutil.cpu_percent() / 100 * (os.cpu_count() or 1)
        stops = [worker.stop() for worker in workers]
        rate = done.total("pages") / done.seconds
        report.add(f"{by}: pages a second", rate, "pages/s")
        report.add(f"{by}: processors in use, of {os.cpu_count()}", processors, "processors")
        report.add(f"{by}: slowest stop without work", max(stops), "s", "<= 10")
        _add_differences(report, by, site)
    return rate


def deaths(report: Report) -> None:
    """Kill one worker and stop another in the middle of their ranges; a third does the remaining work."""
    bodies = {"words/long.pdf": pages_of_words(DEATH_PAGES, WORDS)}
    with Site(DEATH_PAGES // DEATH_RANGES) as site:
        killed, stopped, _ = site.start(DEATH_RANGES, DOCWELL_GRACE_S=GRACE_S)
        done = list[Indexed]()
        upload = threading.Thread(target=lambda: done.append(_indexed(site.stack, bodies)))
        upload.start()
        _wait_ranges(site.stack)
        killed.wait_busy()
        killed.kill()
        stopped.wait_busy()
        seconds = stopped.stop()
        upload.join(_TIMEOUT_S)
        report.add("a worker killed in a range: documents not indexed", len(done) != 1, "documents", "== 0")
        report.add(f"a worker stopped in a range, grace {GRACE_S} s: until its end", seconds, "s", "<= 10")
        report.add("a worker stopped in a range: messages given back", stopped.given_back, "messages", ">= 1")
        _add_differences(report, "killed and stopped", site)


def _indexed(stack: Stack, bodies: Mapping[str, bytes]) -> Indexed:
    """Upload and wait. Raises `RuntimeError` for a document that is not indexed."""
    done = index(stack, bodies, _TIMEOUT_S)
    if done.not_indexed:
        raise RuntimeError(f"not indexed: {done.rows}")
    return done


def _wait_ranges(stack: Stack) -> None:
    """Wait until the ranges of the document are in the queue or in work."""
    dynamodb, deadline = stack.client("dynamodb"), time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        rows = dynamodb.scan(TableName=LEDGER_TABLE)["Items"]
        if any(row.get("dispatched", {}).get("BOOL") for row in rows):
            return
        time.sleep(0.02)
    raise TimeoutError("no range was sent")


def _add_differences(report: Report, by: str, site: Site) -> None:
    for kind, count in site.differences().items():
        report.add(f"{by}: {kind}", count, "chunks", "== 0")


def main() -> int:
    parser = argparse.ArgumentParser(description="Pages a second by the number of workers, and their deaths.")
    parser.add_argument("--short", action="store_true", help="1 and 2 workers, and fewer pages: for CI")
    options = parser.parse_args()
    ensure_embedder(StackConsole(ROOT / "build" / "scale-out"))
    numbers = range(SHORT_DOCUMENTS if options.short else DOCUMENTS)
    bodies = {f"words/{number}.pdf": pages_of_words(RANGE_PAGES, WORDS, f"{number}") for number in numbers}
    report = Report("scale-out")
    report.add("documents", len(bodies), "documents", ">= 1")
    report.add("their pages", RANGE_PAGES * len(bodies), "pages")
    counts = SHORT_WORKERS if options.short else WORKERS
    rates: dict[int, float] = {}
    with bar("runs", len(counts) + 1) as step:
        for count in counts:
            rates[count] = measure(report, count, bodies)
            step()
        deaths(report)
        step()
    for count, rate in rates.items():
        if count > 1:
            report.add(f"{count} workers: efficiency, of {count} times one", rate / rates[1] / count, "x")
    return report.finish()


if __name__ == "__main__":
    run_command(main)
