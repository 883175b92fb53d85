"""The choice of the gate's threshold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import calibration
from benchmarks.calibration import Fit, threshold


def test_the_threshold_refuses_at_most_three_percent_of_the_worst_set_and_scope() -> None:
    easy = [Fit("articles", "alone", True, 0.5 + i / 1000) for i in range(100)]
    hard = [Fit("manuals", "mixed", True, 0.2 + i / 1000) for i in range(100)]
    unanswerable = [Fit("articles", "mixed", False, 0.1)]
    assert threshold([*easy, *hard, *unanswerable]) == 0.20
    assert sum(fit.fit < 0.20 for fit in hard) <= 3


def test_the_other_numbers_of_a_calibration_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "CALIBRATIONS", tmp_path)
    path = tmp_path / "some-model.json"
    path.write_text('{"meaning": {"same": 0.9}, "gate": {"min_fit": 0.1}}', encoding="utf-8")
    calibration.write("someone/Some-Model", 0.22)
    numbers = json.loads(path.read_text(encoding="utf-8"))
    assert numbers == {"meaning": {"same": 0.9}, "gate": {"min_fit": 0.22}}
