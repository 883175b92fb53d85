"""The canary's question, and what it lets pass."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain, repeat
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from docwell.errors import Unavailable
from docwell.upkeep.canary import KEY, PAGE, Canary, Finding
from docwell.upkeep.operations import last_canary
from docwell.wiring import small_functions as wiring
from functions.canary.handler import handler
from tests.unit.infra.emissions import CONTEXT
from tests.unit.query.query_fakes import FakeStates

HIT, MISS, ERROR = {(KEY, PAGE)}, {(KEY, PAGE + 1)}, Unavailable("lambda", "down")
Answer = Collection[tuple[str, int]] | Exception | None


class Bucket:
    def __init__(self) -> None:
        self.kept: list[str] = []

    def keep(self, key: str, content: bytes) -> None:
        assert content == b"pdf"
        self.kept.append(key)


class Versions:
    """Each version gives its answers in turn, the last one again and again."""

    def __init__(self, **answers: list[Answer]) -> None:
        self.asked: list[str] = []
        self._answers: dict[str, Iterator[Answer]] = {
            version: chain(given, repeat(given[-1])) for version, given in answers.items()
        }

    def cited(self, version: str, question: str) -> Collection[tuple[str, int]] | None:
        self.asked.append(version)
        answer = next(self._answers[version])
        if isinstance(answer, Exception):
            raise answer
        return answer


def canary(**answers: list[Answer]) -> Canary:
    return Canary(Bucket(), Versions(**answers), FakeStates(), b"pdf")


@pytest.mark.parametrize(
    ("new", "live", "allowed"),
    [
        (HIT, HIT, True),
        (HIT, ERROR, True),
        (MISS, HIT, False),
        (ERROR, HIT, False),
        (ERROR, MISS, False),
        # Its index has never had the document: the first release, or one with a new pipeline.
        (None, set(), True),
        (None, HIT, True),
        (ERROR, None, False),
        (MISS, None, False),
        # The live one is no better.
        (MISS, MISS, True),
        # A server is down.
        (ERROR, ERROR, True),
        (MISS, ERROR, True),
    ],
)
def test_a_version_takes_traffic_if_it_does_no_worse_than_the_live_one(
    new: Answer, live: Answer, allowed: bool
) -> None:
    assert canary(new=[new], live=[live]).allows("new", "live") is allowed


def test_one_failure_of_a_new_version_is_forgiven() -> None:
    assert canary(new=[ERROR, MISS, HIT], live=[HIT]).allows("new", "live")
    assert not canary(new=[ERROR, MISS, MISS, HIT], live=[HIT]).allows("new", "live")


def test_the_watch_puts_its_document_into_the_bucket() -> None:
    bucket = Bucket()
    one = Canary(bucket, Versions(live=[ERROR]), FakeStates(), b"pdf")
    assert one.watch("live") is Finding.FAILED
    assert bucket.kept == [KEY]


class Reports:
    def __init__(self) -> None:
        self.said: list[tuple[str, str, bool]] = []

    def report(self, deployment: str, execution: str, *, passed: bool) -> None:
        self.said.append((deployment, execution, passed))


HOOK = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "e-1"}


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Reports:
    found = Reports()
    settings = SimpleNamespace(live_version="live", next_version="new")
    monkeypatch.setattr(wiring, "hooks", lambda: found)
    monkeypatch.setattr(wiring, "canary_settings", lambda: settings)
    return found


@pytest.mark.parametrize("passed", [True, False])
def test_the_hook_tells_codedeploy(hooks: Reports, monkeypatch: pytest.MonkeyPatch, passed: bool) -> None:
    monkeypatch.setattr(wiring, "canary", lambda: canary(new=[HIT if passed else MISS], live=[HIT]))
    assert handler(HOOK, CONTEXT) == {"passed": passed}
    assert hooks.said == [("d-1", "e-1", passed)]


def test_a_hook_that_breaks_fails_the_deployment(hooks: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "canary", lambda: canary(new=[RuntimeError()], live=[HIT]))
    with pytest.raises(RuntimeError):
        handler(HOOK, CONTEXT)
    assert hooks.said == [("d-1", "e-1", False)]


@pytest.mark.parametrize(("cited", "value"), [(HIT, "[1.0]"), (MISS, "[0.0]"), (ERROR, "[0.0]"), (None, "[0.0]")])
def test_the_schedule_emits_the_metric(
    hooks: Reports,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cited: Answer,
    value: str,
) -> None:
    watching = canary(live=[cited])
    monkeypatch.setattr(wiring, "canary", lambda: watching)
    handler({"source": "aws.events"}, CONTEXT)
    assert f'"CanaryFound":{value}' in capsys.readouterr().out.replace(" ", "")
    assert hooks.said == []
    last = last_canary(watching.state)
    assert last is not None
    assert (last.outcome == "found") == (value == "[1.0]")


def test_a_result_that_cannot_be_stored_is_no_failure_of_the_canary(
    hooks: Reports, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watching = canary(live=[HIT])
    monkeypatch.setattr(watching.state, "write", Mock(side_effect=Unavailable("ledger", "down")))
    monkeypatch.setattr(wiring, "canary", lambda: watching)
    assert handler({}, CONTEXT) == {"outcome": "FOUND"}
    assert last_canary(watching.state) is None
    assert '"CanaryFound":[1.0]' in capsys.readouterr().out.replace(" ", "")
