"""When a benchmark of speed may begin, and what it says of the noise meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from benchmarks.speed import quiet
from benchmarks.speed.quiet import Noise, ProcessorTime, TooNoisyError, taken_by_others, wait_for_quiet
from infra.report import Report

QUIET = Noise(busy=0.02, spread=0.03, work_s=0.01)
BUSY = Noise(busy=0.5, spread=0.03, work_s=0.01)
UNSTEADY = Noise(busy=0.02, spread=0.4, work_s=0.01)


def looks(*noises: Noise) -> Callable[[], Noise]:
    found: Iterator[Noise] = iter(noises)
    return lambda: next(found)


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


def test_a_machine_that_is_quiet_at_once_is_not_waited_for(time: Time) -> None:
    assert wait_for_quiet(60, looks(QUIET), time.sleep, time.clock) == QUIET
    assert time.now == 0


def test_work_that_is_just_ending_is_waited_for(time: Time) -> None:
    assert wait_for_quiet(60, looks(BUSY, UNSTEADY, QUIET), time.sleep, time.clock) == QUIET


@pytest.mark.parametrize(("noise", "why"), [(BUSY, "50% of the processor"), (UNSTEADY, "differ by 40%")])
def test_a_machine_that_stays_noisy_is_refused_with_the_reason_and_what_to_do(
    noise: Noise, why: str, time: Time
) -> None:
    with pytest.raises(TooNoisyError, match=rf"{why}.*--noisy"):
        wait_for_quiet(60, lambda: noise, time.sleep, time.clock)
    assert 60 <= time.now < 70


@pytest.mark.parametrize(
    ("all_s", "own_s", "share"),
    [
        (20, 20, 0.0),  # a benchmark may take the whole processor itself
        (20, 15, 0.25),
        (15, 16, 0.0),  # clocks of processes are coarse
    ],
)
def test_only_what_others_took_is_noise(all_s: float, own_s: float, share: float) -> None:
    before = ProcessorTime(clock_s=100, all_s=1000, own_s=10)
    after = ProcessorTime(clock_s=110, all_s=1000 + all_s, own_s=10 + own_s)
    assert taken_by_others(before, after, cores=2) == pytest.approx(share)


def test_the_work_of_children_is_ones_own() -> None:
    before = quiet._processor_time()
    subprocess.run([sys.executable, "-c", "sum(range(5_000_000))"], check=True)
    spent = quiet._processor_time().own_s - before.own_s
    assert spent > 0.01


def test_noise_after_is_told_beside_noise_before(monkeypatch: pytest.MonkeyPatch) -> None:
    slower = Noise(busy=0.3, spread=0.1, work_s=0.02)
    monkeypatch.setattr(quiet, "wait_for_quiet", lambda: QUIET)
    monkeypatch.setattr(quiet, "look", lambda: slower)
    report = Report("bench-x")
    quiet.Watch().note(report)
    rows = {row.metric: row.value for row in report.rows}
    assert rows["noise before"] == pytest.approx(3)
    assert rows["noise after"] == pytest.approx(30)
    assert rows["speed of the processor after, of that before"] == pytest.approx(50)
