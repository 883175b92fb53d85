"""Rows in which dependencies fail: Chroma's network, AWS, the PDF readers and the disk."""

import contextlib
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from benchmarks.faults.aws import Rule
from benchmarks.faults.row import BUCKETS, Outcome, Run, key_of, scene, users
from benchmarks.faults.workers import Workers
from benchmarks.faults.world import World
from benchmarks.proxy import Fault, Proxy
from docwell.adapters.documents.launching import FORK_SERVER

# The workers' timeout for Chroma, and a stall that is longer.
_CHROMA_TIMEOUT_S = 1.0
_STALL_S = 1.6
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
    world = World(run.seed)
    proxy = Proxy(world.chroma.port, seed=run.seed, stall_s=_STALL_S)
    proxy.probability = 0.3
    places = {
        "DOCWELL_CHROMA_URL": proxy.url,
        "DOCWELL_CHROMA_TIMEOUT_S": str(_CHROMA_TIMEOUT_S),
        # So short that a worker sometimes loses it while it waits for Chroma.
        "DOCWELL_LEASE_S": "2",
    }
    with contextlib.closing(proxy), scene(run, outcome, world, 2, environment=places):
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
    met = sum(proxy.seen[fault] for fault in _CHROMA_FAULTS)
    outcome.must_happen("requests with a fault", met, "requests")
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
        world = World(f"{run.seed} {versioned}", versioned=versioned)
        with scene(run, outcome, world, 2):
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
    outcome, kills, done = Outcome(), run.times(100, 5), 0
    world = World(run.seed)
    with scene(run, outcome, world, 2) as (workers, _):
        with users(world, 30):
            for number in run.steps(kills):
                run.say(f"kill {number + 1} of {kills}")
                done += _kill_reader(workers, world.random)
        outcome.stuck(workers.settle(120))
        # The documents are healthy, so a rebuild must index those that were refused for a killed reader.
        refused = world.comparator().compare(believe_refusals=True)
        outcome.add(refused)
        for key in list(world.current):
            world.hint(key, rebuild=True)
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
                # A fork of the worker that has not started the reader yet has the worker's command. The fork
                # server does not read; only its forks are in its session and have its command.
                command = process.cmdline()
                is_server = str(FORK_SERVER) in command and os.getsid(process.pid) == process.pid
                if command != worker.cmdline() and not is_server:
                    yield process


def disk_full(run: Run) -> Outcome:
    """The workers cannot write a file of more than 100 bytes, as on a full disk."""
    outcome, rounds = Outcome(), run.times(10, 2)
    world = World(run.seed)
    with scene(run, outcome, world, 2) as (workers, _):
        # Python chooses its folder for temporary files once, and only a writable one.
        for number in range(6):
            world.put(key_of(number), pages=1)
        outcome.stuck(workers.settle(120))
        for number in run.steps(rounds):
            run.say(f"full disk {number + 1} of {rounds}")
            with users(world, 20), _limit_files(workers):
                time.sleep(3)
    outcome.must_happen("messages that failed", workers.outcomes["failed"], "messages")
    return outcome


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
