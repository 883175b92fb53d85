"""The local model server sleeps and wakes as the hosts of infra/ollama.yaml do."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import chain, count, repeat
from pathlib import Path
from typing import cast
from unittest.mock import AsyncMock, Mock

import pytest

from docwell.errors import ModelWaking
from infra.local import gateway, sleeping_host
from infra.local.sleeping_host import SleepingHost
from infra.local.stack import WAKE_S
from runtime.process import Child

IDLE_S = 60.0


@dataclass
class Machine:
    """Stands for the server's process and the clock."""

    now: float = 1000.0
    starts: int = 0
    running: bool = True
    answering: bool = False
    stops: int = 0
    host: SleepingHost = field(init=False)

    def __post_init__(self) -> None:
        self.host = SleepingHost(self.start, IDLE_S, lambda: self.now)

    def start(self, _port: int) -> Child:
        self.starts, self.running = self.starts + 1, True
        return cast("Child", self)

    def stop(self, _grace_s: float) -> None:
        self.stops, self.answering = self.stops + 1, False

    def after(self, seconds: float) -> str | None:
        """The URL of the server once this time has passed."""
        self.now += seconds
        self.host.tick()
        return self.host.url


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(sleeping_host, "answers", lambda _url: machine.answering)
    return machine


def test_questions_start_one_server_that_stops_when_idle_and_starts_again(machine: Machine) -> None:
    assert machine.after(5) is None
    assert machine.starts == 0
    machine.host.ask()
    machine.host.ask()
    assert machine.starts == 1
    assert machine.after(5) is None
    machine.answering = True
    assert machine.after(1)
    machine.host.ask()
    assert machine.after(IDLE_S - 1)
    assert machine.after(1) is None
    assert machine.stops == 1
    machine.host.ask()
    assert machine.starts == 2
    machine.answering = True
    assert machine.after(1)
    machine.running = False  # it crashed
    assert machine.after(1) is None
    machine.host.ask()
    assert machine.starts == 3


def test_a_host_does_not_stop_while_it_starts_or_answers(machine: Machine) -> None:
    machine.host.ask()
    machine.after(3 * IDLE_S)
    assert machine.stops == 0
    machine.answering = True
    assert machine.after(1)
    machine.host.questions = 1
    assert machine.after(3 * IDLE_S)
    machine.host.questions = 0
    assert machine.after(IDLE_S) is None


@pytest.mark.parametrize(
    ("naps", "room", "expected"), [(0, None, ""), (2, 700, "700"), (9_999, None, "not measured")]
)
def test_a_sleeping_host_is_measured_when_it_has_woken_and_once(
    naps: int, room: int | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = chain(repeat(ModelWaking("ollama", "asleep"), naps), repeat((90.0, room)))
    measure, clock = AsyncMock(side_effect=results), count(0.0, WAKE_S / 5)
    monkeypatch.setattr(gateway, "wiring", Mock(**{"model.return_value.measure": measure}))
    monkeypatch.setattr(gateway, "time", Mock(monotonic=lambda: next(clock)))
    monkeypatch.setenv("DOCWELL_PASSAGE_TOKENS", "not measured")
    gateway.set_passage_tokens(15, tmp_path / "passages")
    assert os.environ["DOCWELL_PASSAGE_TOKENS"] == expected
    assert (calls := measure.call_count) == min(naps + 1, 5)
    gateway.set_passage_tokens(15, tmp_path / "passages")
    assert (measure.call_count > calls) == (expected == "not measured")
