"""The canary's question, and what it lets pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import chain, repeat
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from docwell.errors import Unavailable
from docwell.upkeep.canary import KEY, PAGE, Canary, Finding, last_canary
from docwell.wiring import small_functions as wiring
from functions.canary.handler import handler
from tests.unit.cases import rows
from tests.unit.http.http_calls import CONTEXT
from tests.unit.query.query_fakes import FakeStates

HIT, MISS, ERROR = {(KEY, PAGE)}, {(KEY, PAGE + 1)}, Unavailable("lambda", "down")
Answer = Collection[tuple[str, int]] | Exception | None


def versions(**answers: list[Answer]) -> Callable[[str, str], Any]:
    """Each version gives its answers in turn, the last one again and again."""
    turns: dict[str, Iterator[Answer]] = {
        version: chain(given, repeat(given[-1])) for version, given in answers.items()
    }

    def cited(version: str, _question: str) -> Answer:
        answer = next(turns[version])
        if isinstance(answer, Exception):
            raise answer
        return answer

    return cited


def canary(**answers: list[Answer]) -> Canary:
    return Canary(Mock(), versions(**answers), FakeStates(), b"pdf")


TURNS: dict[str, Answer] = {"hit": HIT, "miss": MISS, "error": ERROR, "nothing": set(), "unindexed": None}


@pytest.mark.parametrize(("case", "new", "live", "allowed"), rows(__file__, "turns"), ids=str)
def test_a_version_takes_traffic_if_it_does_no_worse_than_the_live_one(
    case: str, new: str, live: str, *, allowed: bool
) -> None:
    assert canary(new=[TURNS[new]], live=[TURNS[live]]).allows("new", "live") is allowed, case


def test_one_failure_of_a_new_version_is_forgiven() -> None:
    assert canary(new=[ERROR, MISS, HIT], live=[HIT]).allows("new", "live")
    assert not canary(new=[ERROR, MISS, MISS, HIT], live=[HIT]).allows("new", "live")


def test_the_watch_puts_its_document_into_the_bucket() -> None:
    keep = Mock()
    assert Canary(keep, versions(live=[ERROR]), FakeStates(), b"pdf").watch("live") is Finding.FAILED
    keep.assert_called_once_with(KEY, b"pdf")


HOOK = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "e-1"}


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Mock:
    reports = Mock()
    settings = SimpleNamespace(live_version="live", next_version="new")
    monkeypatch.setattr(wiring, "hooks", lambda: reports)
    monkeypatch.setattr(wiring, "canary_settings", lambda: settings)
    return reports


@pytest.mark.parametrize("passed", [True, False])
def test_the_hook_tells_codedeploy(hooks: Mock, monkeypatch: pytest.MonkeyPatch, passed: bool) -> None:
    monkeypatch.setattr(wiring, "canary", lambda: canary(new=[HIT if passed else MISS], live=[HIT]))
    assert handler(HOOK, CONTEXT) == {"passed": passed}
    hooks.assert_called_once_with("d-1", "e-1", "Succeeded" if passed else "Failed")


def test_a_hook_that_breaks_fails_the_deployment(hooks: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "canary", lambda: canary(new=[RuntimeError()], live=[HIT]))
    with pytest.raises(RuntimeError):
        handler(HOOK, CONTEXT)
    hooks.assert_called_once_with("d-1", "e-1", "Failed")


@pytest.mark.parametrize(("cited", "value"), [(HIT, "[1.0]"), (MISS, "[0.0]"), (ERROR, "[0.0]"), (None, "[0.0]")])
def test_the_schedule_emits_the_metric(
    hooks: Mock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cited: Answer,
    value: str,
) -> None:
    watching = canary(live=[cited])
    monkeypatch.setattr(wiring, "canary", lambda: watching)
    handler({"source": "aws.events"}, CONTEXT)
    assert f'"CanaryFound":{value}' in capsys.readouterr().out.replace(" ", "")
    hooks.assert_not_called()
    last = last_canary(watching.state)
    assert last is not None
    assert (last.outcome == "found") == (value == "[1.0]")


def test_a_result_that_cannot_be_stored_is_no_failure_of_the_canary(
    hooks: Mock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watching = canary(live=[HIT])
    monkeypatch.setattr(watching.state, "write", Mock(side_effect=Unavailable("ledger", "down")))
    monkeypatch.setattr(wiring, "canary", lambda: watching)
    assert handler({}, CONTEXT) == {"outcome": "FOUND"}
    assert last_canary(watching.state) is None
    assert '"CanaryFound":[1.0]' in capsys.readouterr().out.replace(" ", "")
