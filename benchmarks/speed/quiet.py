"""Whether this machine is quiet enough for a timing to mean something."""

from __future__ import annotations

import time

import psutil

from benchmarks.measuring import Spread

# What others may take of the processor, and how far the quartiles of one fixed piece of work may lie apart.
MOST_BUSY = 0.15
MOST_SPREAD = 0.15
_LOOK_S = 2.0
_REPEATS = 15
_STEPS = 200_000


class TooNoisyError(Exception):
    """Other work, or a processor whose speed changes, would drown what is measured."""


def check_quiet() -> float:
    """The larger of the two shares above. Raises `TooNoisyError` with what to do."""
    busy: float = psutil.cpu_percent(interval=_LOOK_S) / 100
    if busy > MOST_BUSY:
        raise TooNoisyError(
            f"{_by_whom()} {busy:.0%} of the processor is busy with other work: stop it, or pass --noisy"
        )
    one = Spread.of([_work() for _ in range(_REPEATS)])
    spread = (one.high - one.low) / one.median
    if spread > MOST_SPREAD:
        raise TooNoisyError(
            f"the same work takes times that differ by {spread:.0%}: try again later, or pass --noisy"
        )
    return max(busy, spread)


def _work() -> float:
    started = time.perf_counter()
    total = 0
    for step in range(_STEPS):
        total += step * step
    return time.perf_counter() - started


def _by_whom() -> str:
    processes = list(psutil.process_iter(["name", "pid"]))
    for process in processes:
        _share(process)
    time.sleep(0.5)
    busiest = max(processes, key=_share)
    return f"{busiest.info['name']} (process {busiest.info['pid']}) is at work;"


def _share(process: psutil.Process) -> float:
    try:
        return float(process.cpu_percent())
    except psutil.Error:
        return 0.0
