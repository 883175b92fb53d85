"""The choice of the gate's threshold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import calibration
from benchmarks.calibration import Measured, Question, scopes, threshold


def measured(name: str, scope: str, fits: list[float], *, answerable: bool = True) -> list[Measured]:
    return [Measured(name, scope, answerable, fit) for fit in fits]


def test_the_threshold_refuses_at_most_three_percent_of_the_worst_set_and_scope() -> None:
    easy = measured("articles", "alone", [0.5 + i / 1000 for i in range(100)])
    hard = measured("manuals", "mixed", [0.2 + i / 1000 for i in range(100)])
    chosen = threshold([*easy, *hard])
    assert chosen == 0.20
    assert sum(one.fit < chosen for one in hard) <= 3


def test_unanswerable_questions_do_not_move_the_threshold() -> None:
    answers = measured("articles", "alone", [0.5, 0.6])
    assert threshold([*answers, *measured("articles", "mixed", [0.1], answerable=False)]) == threshold(answers)


def test_a_document_is_left_out_with_its_translations() -> None:
    files = {"xquad": ["xquad/a.pdf", "xquad/a_de.pdf", "xquad/b.pdf"], "filings": ["filings/c.pdf"]}
    found = {
        name: (answers, places) for name, answers, places in scopes(Question("?", "xquad/a.pdf"), "xquad", files)
    }
    assert found["in the document"] == (True, {"xquad": ["xquad/a.pdf"]})
    assert found["mixed"] == (True, {"xquad": None, "filings": None})
    assert found["mixed, without its document"] == (False, {"xquad": ["xquad/b.pdf"], "filings": None})
    assert found["in another set"] == (False, {"filings": None})


def test_an_unanswerable_question_is_asked_where_its_document_is() -> None:
    asked = list(scopes(Question("?", "m/a.pdf", answerable=False), "m", {"m": ["m/a.pdf", "m/b.pdf"]}))
    assert [(name, answers) for name, answers, _ in asked] == [
        ("in the document", False),
        ("alone", False),
        ("mixed", False),
    ]


def test_the_other_numbers_of_a_calibration_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "CALIBRATIONS", tmp_path)
    monkeypatch.setattr(calibration, "ROOT", tmp_path)
    path = tmp_path / "some-model.json"
    path.write_text('{"meaning": {"unrelated": 0.4, "same": 0.9}, "gate": {"min_fit": 0.1}}', encoding="utf-8")
    calibration.write("someone/Some-Model", 0.22)
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "meaning": {"unrelated": 0.4, "same": 0.9},
        "gate": {"min_fit": 0.22},
    }


def test_a_model_that_is_not_there_is_told_by_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(calibration, "EVALUATION", tmp_path)
    (tmp_path / "xquad").mkdir()
    options = ["calibration", "--sets", "xquad", "--model", str(tmp_path / "none")]
    monkeypatch.setattr("sys.argv", options)
    assert calibration.main() == 2
    assert str(tmp_path / "none") in capsys.readouterr().err
