"""`make infra` runs the tests of the templates, and fails when it finds none."""

from __future__ import annotations

import pytest

from infra.checks import __main__ as checks


def test_every_pattern_matches_a_file() -> None:
    assert len(checks.test_files()) >= len(checks.TESTS)


def test_a_pattern_without_a_file_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "TESTS", (*checks.TESTS, "unit/none_*.py"))
    (finding,) = checks.check(checks.tests)
    assert "unit/none_*.py" in finding
