"""Whether this machine is quiet enough for a timing to mean something, before a benchmark, during it and after.

Before: a benchmark does not begin while other work takes the processor, or while the same work takes times that
differ. What has just ended may still be winding down, so a noisy machine is looked at again for a minute. During:
processor time that neither this process nor its children used was used by others. After: the same look again.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil

from infra.measuring import Spread
from infra.report import Report

# What others may take of the processor, and how far the quartiles of one fixed piece of work may lie apart.
MOST_BUSY = 0.15
MOST_SPREAD = 0.15
_LOOK_S = 2.0
_PATIENCE_S = 60.0
_PAUSE_S = 5.0
_REPEATS = 25
# Hashing lets go of the interpreter's lock, so that all cores work at once: about 10 ms.
_BLOCK = bytes(4 * 1024 * 1024)


class TooNoisyError(Exception):
    """Other work, or a processor whose speed changes, would drown what is measured."""


@dataclass(frozen=True, slots=True)
class Noise:
    """One look.

    `busy` is the share (0 to 1) of the processor that work is taking; `spread` how far the quartiles of the same
    work, done over and over on all cores, lie apart, in parts of its median; `work_s` that median.
    """

    busy: float
    spread: float
    work_s: float

    @property
    def share(self) -> float:
        """The larger of the two shares."""
        return max(self.busy, self.spread)

    @property
    def complaint(self) -> str | None:
        """Why nothing can be timed now; None where it can."""
        if self.busy > MOST_BUSY:
            return f"{self.busy:.0%} of the processor is busy with other work"
        if self.spread > MOST_SPREAD:
            return f"the same work takes times that differ by {self.spread:.0%}"
        return None


@dataclass(frozen=True, slots=True)
class ProcessorTime:
    """Seconds since some moment: of the clock, of all cores at work, and of this process with its children."""

    clock_s: float
    all_s: float
    own_s: float


def taken_by_others(before: ProcessorTime, after: ProcessorTime, cores: int) -> float:
    """The share (0 to 1) of all cores that other work took between two moments.

    >>> taken_by_others(ProcessorTime(0, 0, 0), ProcessorTime(10, 18, 16), cores=2)
    0.1
    """
    others_s = (after.all_s - before.all_s) - (after.own_s - before.own_s)
    return max(0.0, others_s / ((after.clock_s - before.clock_s) * cores))


def look() -> Noise:
    """How noisy it is now: takes some seconds in which this process must do nothing else."""
    busy: float = psutil.cpu_percent(interval=_LOOK_S) / 100
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        one = Spread.of([_work(pool) for _ in range(_REPEATS)])
    return Noise(busy, (one.high - one.low) / one.median, one.median)


def wait_for_quiet(
    patience_s: float = _PATIENCE_S,
    look: Callable[[], Noise] = look,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Noise:
    """The first look that finds the machine quiet.

    Raises:
        TooNoisyError: none does so in `patience_s` seconds; the message says what to do.
    """
    until = clock() + patience_s
    while True:
        noise = look()
        if noise.complaint is None:
            return noise
        if clock() >= until:
            raise TooNoisyError(f"{noise.complaint} ({_by_whom()}): stop it or try again later, or pass --noisy")
        sleep(_PAUSE_S)


class Watch:
    """The noise around one benchmark: make it before, `note` it after.

    Raises:
        TooNoisyError: the machine is too noisy to begin.
    """

    def __init__(self) -> None:
        self._before = wait_for_quiet()
        self._started = _processor_time()

    def note(self, report: Report) -> None:
        """Rows on the noise before, during and after. They have no goal: the page of figures warns by them."""
        others = taken_by_others(self._started, _processor_time(), os.cpu_count() or 1)
        after = look()
        report.add("noise before", self._before.share * 100, "%")
        report.add("processor taken by others meanwhile", others * 100, "%")
        report.add("noise after", after.share * 100, "%")
        report.add("speed of the processor after, of that before", self._before.work_s / after.work_s * 100, "%")


def _work(pool: ThreadPoolExecutor) -> float:
    started = time.perf_counter()
    for _ in pool.map(lambda _: hashlib.sha256(_BLOCK).digest(), range(os.cpu_count() or 1)):
        pass
    return time.perf_counter() - started


def _processor_time() -> ProcessorTime:
    times = psutil.cpu_times()._asdict()
    # `user` holds the guests' time already.
    at_work = sum(times.values()) - sum(times.get(name, 0) for name in ("idle", "iowait", "guest", "guest_nice"))
    me = psutil.Process()
    own = sum(me.cpu_times()[:4])  # user and system, its own and of children that have ended
    own += sum(_seconds(child) for child in me.children(recursive=True))
    return ProcessorTime(time.monotonic(), at_work, own)


def _seconds(process: psutil.Process) -> float:
    try:
        return float(sum(process.cpu_times()[:4]))
    except psutil.Error:  # it has ended, and its time is in its parent's
        return 0.0


def _by_whom() -> str:
    processes = [process for process in psutil.process_iter(["name", "pid"]) if process.pid != os.getpid()]
    for process in processes:
        _share(process)
    time.sleep(0.5)
    share, busiest = max(((_share(process), process) for process in processes), key=lambda pair: pair[0])
    if share < MOST_BUSY * 100:
        return "by no process that can be seen: another machine on this hardware, perhaps"
    return f"most by {busiest.info['name']}, process {busiest.info['pid']}"


def _share(process: psutil.Process) -> float:
    try:
        return float(process.cpu_percent())
    except psutil.Error:
        return 0.0
