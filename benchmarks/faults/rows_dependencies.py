"""Rows in which dependencies fail: Chroma's network, AWS, the PDF readers and the disk."""

import contextlib
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.faults.aws import Rule
from benchmarks.faults.reader import Reader
from benchmarks.faults.row import BUCKETS, Outcome, Run, key_of, scene, users
from benchmarks.faults.workers import Workers
from benchmarks.faults.world import World
from benchmarks.proxy import Fault, Proxy

# The workers' timeout for Chroma, and a stall that is longer.
_CHROMA_TIMEOUT_S = 1.0
_STALL_S = 1.6
_DISK_BYTES = 2 * 1024 * 1024
_CHROMA_FAULTS = (
    Fault.RESET_REQUEST,
    Fault.RESET_ANSWER,
    Fault.UNAVAILABLE,
    Fault.ERROR_AFTER,
    Fault.HANG,
    Fault.LATE,
    Fault.TRICKLE,
)


def chroma_network(run: Run) -> Outcome:
    """Chroma through a proxy: refused, reset mid-body, 5xx after the write, stalls, a trickle."""
    outcome = Outcome()
    seconds = run.times(15, 2)
    with World(run.seed) as world:
        proxy = Proxy(world.chroma.port, seed=run.seed, stall_s=_STALL_S)
        proxy.probability = 0.3
        places = {
            "DOCWELL_CHROMA_URL": proxy.url,
            "DOCWELL_CHROMA_TIMEOUT_S": str(_CHROMA_TIMEOUT_S),
            # So short that a worker sometimes loses it while it waits for Chroma.
            "DOCWELL_LEASE_S": "2",
        }
        with (
            contextlib.closing(proxy),
            Workers(world, 2, world.environment(**places)) as workers,
            Reader(world, run.seed) as reader,
        ):
            with users(world, 30):
                for faults in [*((fault,) for fault in _CHROMA_FAULTS), _CHROMA_FAULTS]:
                    run.say(faults[0].value if len(faults) == 1 else "all of them")
                    proxy.behave(*faults)
                    time.sleep(seconds)
                    proxy.behave(Fault.DOWN)
                    time.sleep(min(seconds / 4, 2.0))
                    proxy.behave()
                    run.advance(1 / (len(_CHROMA_FAULTS) + 1))
            proxy.wait_idle()
            outcome.at_rest(world, workers, run)
            outcome.read(reader)
            outcome.must_happen(
                "requests with a fault", sum(proxy.seen[fault] for fault in _CHROMA_FAULTS), "requests"
            )
    return outcome


_AWS_FAULTS: dict[str, tuple[Rule, ...]] = {
    "DynamoDB throttles": (Rule("dynamodb", 0.5, 400, "ProvisionedThroughputExceededException"),),
    "DynamoDB fails after the write": (Rule("dynamodb", 0.2, 500, "InternalServerError", after=True),),
    "S3 GET 404": (Rule("GET", 0.4, 404, "NoSuchVersion"),),
    "S3 403": (Rule("GET", 0.3, 403, "AccessDenied"), Rule("HEAD", 0.2, 403, "AccessDenied")),
    "S3 slow-down": (Rule("GET", 0.6, 503, "SlowDown"), Rule("HEAD", 0.6, 503, "SlowDown")),
    "changed while it is read": (Rule("GET", 0.8, 0, "", delay_s=0.4), Rule("HEAD", 0.3, 0, "", delay_s=0.2)),
}


def aws(run: Run) -> Outcome:
    """DynamoDB throttles and loses answers; S3 gives 404, 403 and SlowDown; objects change while they are read."""
    outcome = Outcome()
    seconds, faults = run.times(15, 2), 0
    buckets = run.variants(*BUCKETS)
    for versioned in buckets:
        seed = f"{run.seed} {versioned}"
        with scene(run, outcome, 2, seed=seed, versioned=versioned) as (world, *_):
            with users(world, 12):
                for name, rules in _AWS_FAULTS.items():
                    run.say(f"{name} ({'versions' if versioned else 'no versions'})")
                    world.fail(*rules)
                    time.sleep(seconds)
                    run.advance(1 / len(buckets) / len(_AWS_FAULTS))
            faults += world.fail()
    outcome.must_happen("requests with a fault", faults, "requests")
    return outcome


def parser_killed(run: Run) -> Outcome:
    """SIGKILL for children that read a PDF. A document refused for it must be indexed on the next try."""
    outcome = Outcome()
    kills = run.times(100, 5)
    with World(run.seed) as world, Workers(world, 2) as workers, Reader(world, run.seed) as reader:
        done = 0
        with users(world, 30):
            for number in run.steps(kills):
                run.say(f"kill {number + 1} of {kills}")
                done += _kill_reader(workers, world.random)
        outcome.stuck(workers.settle(120))
        # The documents are healthy, so a rebuild must index those that were refused for a killed reader.
        comparator = world.comparator()
        refused = comparator.compare(believe_refusals=True)
        outcome.add(refused)
        for key in list(world.current):
            world.hint(key, rebuild=True)
        outcome.at_rest(world, workers, run)
        outcome.read(reader)
        outcome.must_happen("kills", done, "readers")
        outcome.facts["refused for it"] = refused.statuses["REJECTED"]
    return outcome


def _kill_reader(workers: Workers, chooser: random.Random) -> int:
    """Wait for a process that reads a PDF, then kill it after a moment. Return 1 where there was one."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        process = next(_readers_of_pdfs(workers), None)
        if process is None:
            time.sleep(0.005)
            continue
        time.sleep(chooser.uniform(0, 0.05))
        with contextlib.suppress(psutil.Error):
            process.kill()
            return 1
    return 0


def _readers_of_pdfs(workers: Workers) -> Iterator[psutil.Process]:
    for worker in workers.processes():
        with contextlib.suppress(psutil.Error):
            for process in worker.children(recursive=True):
                # A fork of the worker that has not started the reader yet has the worker's command.
                if process.cmdline() != worker.cmdline():
                    yield process


def disk_full(run: Run) -> Outcome:
    outcome = Outcome()
    rounds = run.times(10, 2)
    with World(run.seed) as world, _small_disk(world.root / "tmp") as (folder, fill):
        small = world.environment(TMPDIR=str(folder))
        with Workers(world, 2, small) as workers, Reader(world, run.seed) as reader:
            # Python chooses its folder for temporary files once, and only a writable one.
            for number in range(6):
                world.put(key_of(number), pages=1)
            outcome.stuck(workers.settle(120))
            for number in run.steps(rounds):
                run.say(f"full disk {number + 1} of {rounds}")
                with users(world, 20), fill(workers):
                    time.sleep(3)
            outcome.at_rest(world, workers, run)
            outcome.read(reader)
            outcome.must_happen("messages that failed", workers.outcomes["failed"], "messages")
    return outcome


Fill = Callable[[Workers], contextlib.AbstractContextManager[None]]


@contextmanager
def _small_disk(folder: Path) -> Iterator[tuple[Path, Fill]]:
    """Yield a file system of 2 MB where this user may mount one, else a limit on the size of files."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "none", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(["mount", *options], check=False, capture_output=True)
    if not mounted or mounted.returncode != 0:
        yield folder, _limit_files
        return

    @contextmanager
    def fill(_: Workers) -> Iterator[None]:
        ballast = folder / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        try:
            yield
        finally:
            ballast.unlink(missing_ok=True)

    try:
        yield folder, fill
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _limit_files(workers: Workers) -> Iterator[None]:
    limits = []
    for process in workers.processes():
        with contextlib.suppress(psutil.Error):
            limit = process.rlimit(psutil.RLIMIT_FSIZE)
            process.rlimit(psutil.RLIMIT_FSIZE, (100, limit[1]))
            limits.append((process, limit))
    try:
        yield
    finally:
        for process, limit in limits:
            with contextlib.suppress(psutil.Error):
                process.rlimit(psutil.RLIMIT_FSIZE, limit)
