"""Garbage collection during the start of a function."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from docwell.garbage import uncollected


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_it_is_off_during_the_block_and_on_after_an_error() -> None:
    def start() -> None:
        with uncollected():
            assert not gc.isenabled()
            raise ValueError("start")

    before = gc.get_freeze_count()
    with pytest.raises(ValueError, match="start"):
        start()
    assert gc.isenabled()
    assert gc.get_freeze_count() == before


def test_the_objects_of_a_start_are_never_searched_again() -> None:
    before = gc.get_freeze_count()
    with uncollected():
        lists: list[list[int]] = [[] for _ in range(1000)]
    assert gc.get_freeze_count() >= before + len(lists)
