"""Garbage collection during the start of a function."""

from __future__ import annotations

import gc

import pytest

from docwell.garbage import uncollected


def test_it_is_off_during_the_block_and_on_after_an_error() -> None:
    def start() -> None:
        with uncollected():
            assert not gc.isenabled()
            raise ValueError("start")

    with pytest.raises(ValueError, match="start"):
        start()
    assert gc.isenabled()


def test_it_stays_off_where_the_process_has_switched_it_off() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_objects_of_a_start_are_never_searched_again() -> None:
    before = gc.get_freeze_count()
    with uncollected():
        made: list[list[int]] = [[] for _ in range(1000)]
    try:
        assert gc.get_freeze_count() >= before + len(made)
    finally:
        gc.unfreeze()
