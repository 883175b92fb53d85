"""The token ratio of a model's weights, loaded and saved."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from docwell.deadline import Deadline, run
from docwell.errors import Unavailable
from docwell.query.writing import SAVE_EVERY, Calibration
from docwell.text.tokens import bound_of
from tests.unit.query.query_fakes import FakeModel, FakeStates

BOUND = bound_of("the boiler is inspected every March " * 20)
NAME = "tokens#qwen@sha256:fake"


def teach(calibration: Calibration, reports: int) -> None:
    for _ in range(reports):
        calibration.ratio.observe(BOUND, round(BOUND.most * 0.7))


def load(calibration: Calibration) -> int:
    run(calibration.load(Deadline(5)))
    return calibration.ratio.observations


def test_one_process_continues_with_the_ratio_that_another_learnt() -> None:
    states = FakeStates()
    calibration = Calibration(FakeModel(name="qwen"), states)
    assert load(calibration) == 0
    teach(calibration, SAVE_EVERY)
    calibration.save()
    assert list(states.kept) == [NAME]
    assert load(Calibration(FakeModel(name="qwen"), states)) == SAVE_EVERY
    assert load(Calibration(FakeModel(name="another"), states)) == 0


def test_only_every_tenth_update_is_saved() -> None:
    states = FakeStates()
    calibration = Calibration(FakeModel(name="qwen"), states)
    load(calibration)
    teach(calibration, SAVE_EVERY - 1)
    calibration.save()
    assert states.kept == {}


def test_a_store_that_fails_costs_no_answer_and_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    states = FakeStates()
    first = Calibration(FakeModel(name="qwen"), states)
    load(first)
    teach(first, SAVE_EVERY)
    first.save()
    second, read = Calibration(FakeModel(name="qwen"), states), states.read

    def down(_name: str) -> Mapping[str, str]:
        raise Unavailable("ledger", "down")

    monkeypatch.setattr(states, "read", down)
    assert load(second) == 0
    teach(second, SAVE_EVERY)
    monkeypatch.setattr(states, "write", down)
    second.save()  # without a digest there is no name to write to
    monkeypatch.setattr(states, "read", read)
    assert load(second) == SAVE_EVERY
