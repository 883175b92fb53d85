"""The comparison of a fault row at rest does not depend on the last actions of its users."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.faults.compare import Differences
from benchmarks.faults.row import Outcome, Run
from benchmarks.faults.world import Upload

LONG = Upload("c0/long.pdf", 2, pages=9)


@dataclass
class QuietWorld:
    """A bucket whose index is always right, and a record of each comparison."""

    uploads: dict[tuple[str, str], Upload] = field(default_factory=dict)
    current: dict[str, Upload] = field(default_factory=dict)
    compared: list[list[str]] = field(default_factory=list)
    queue: Any = field(default_factory=lambda: SimpleNamespace(delivered=0, dead_ever=0))

    def put_again(self, upload: Upload) -> None:
        self.uploads[upload.key, f"v{len(self.uploads) + 1}"] = self.current[upload.key] = upload

    def comparator(self) -> QuietWorld:
        return self

    def compare_patiently(self, _timeout_s: float, **_options: Any) -> Differences:
        self.compared.append(sorted(self.current))
        return Differences(chunks=sum(upload.pages for upload in self.current.values()))


@pytest.fixture
def world() -> QuietWorld:
    world = QuietWorld()
    world.put_again(Upload("c0/short.pdf", 1, pages=1))
    world.put_again(LONG)
    return world


def at_rest(world: QuietWorld) -> Outcome:
    workers = SimpleNamespace(settle=lambda *_: 0, outcomes=Counter[str](), lines=[])
    outcome = Outcome()
    outcome.at_rest(cast("Any", world), cast("Any", workers), Run("1", short=True))
    return outcome


def test_documents_that_are_there_are_compared_once(world: QuietWorld) -> None:
    del world.current["c0/short.pdf"]
    assert at_rest(world).compared == LONG.pages
    assert world.compared == [["c0/long.pdf"]]


def test_where_all_is_deleted_nothing_may_be_left_and_the_last_one_must_come_back(world: QuietWorld) -> None:
    world.current.clear()
    assert at_rest(world).compared == LONG.pages
    assert world.compared == [[], ["c0/long.pdf"]]


def test_a_row_that_uploaded_nothing_compares_nothing() -> None:
    assert at_rest(QuietWorld()).compared == 0
