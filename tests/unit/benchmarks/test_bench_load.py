"""The simulation behind `make bench-load`, with few documents."""

from __future__ import annotations

import pytest

from benchmarks.speed import load
from benchmarks.speed.load import Bucket, MortalCopier
from benchmarks.speed.load_world import World
from benchmarks.speed.options import Options
from infra.report import Report


def test_a_load_that_is_killed_often_loses_nothing_and_copies_nothing_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(load, "SHORT_DOCUMENTS", 3000)
    monkeypatch.setattr(load, "CASES", ((8, 0, 5.0),))
    report = Report("bench-load")
    load.measure(report, Options(short=True))
    assert report.ok
    found = {row.metric.partition(": ")[2]: row.value for row in report.rows}
    assert found["kills of the load"] == load.KILLS
    assert found["deaths of workers"] > 0


def test_a_document_that_is_lost_or_copied_twice_is_seen() -> None:
    world = World(8, 0.0)
    copier = MortalCopier(world, set())
    rows, _ = Bucket(3).page("")
    for one in (rows[0], rows[1], rows[1]):
        copier.copy(one, one.key)
    world.settle()
    report = Report("bench-load")
    world.waits.append(1.0)
    load._add(report, Options(short=True), "load", world, 3)
    found = {row.metric: row.value for row in report.rows}
    assert (found["load: documents lost"], found["load: documents copied twice"]) == (1, 1)
