"""`make infra` runs the tests of the templates, and reports what no checker may find."""

from __future__ import annotations

import pytest

from infra.checks import __main__ as checks
from infra.checks import tools
from infra.container.sam import StepError
from infra.findings import check


def test_a_pattern_without_a_file_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "TESTS", (*checks.TESTS, "unit/none_*.py"))
    (finding,) = check(checks.tests)
    assert "unit/none_*.py" in finding


ACCEPTED = {"data": {"Bucket": {"CKV_1": "a reason"}}}


@pytest.fixture
def _accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "accepted", lambda: ACCEPTED)


@pytest.mark.usefixtures("_accepted")
def test_an_accepted_finding_is_no_finding_in_its_resource_alone() -> None:
    result = [("data", "Bucket", "CKV_1", "no log")]
    assert tools.unaccepted(result) == []
    (line,) = tools.unaccepted([*result, ("query", "Bucket", "CKV_1", "no log")])
    assert line == "query: Bucket: CKV_1 no log"


@pytest.mark.usefixtures("_accepted")
def test_an_accepted_finding_that_is_gone_is_a_finding() -> None:
    first, second = tools.unaccepted([("data", "Bucket", "CKV_2", "no key")])
    assert first == "data: Bucket: CKV_2 no key"
    assert second == "suppressions.toml: data.Bucket: CKV_1 matches no finding"


@pytest.mark.usefixtures("_accepted")
def test_a_checker_that_finds_nothing_at_all_has_failed() -> None:
    with pytest.raises(StepError, match="found nothing"):
        tools.unaccepted([])
