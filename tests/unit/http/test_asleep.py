"""Routes where model hosts may sleep: the default fallback, `waking` events, the status and the metric."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from docwell.errors import ModelWaking, Unavailable
from docwell.query.waking import Night, Sleeper
from docwell.wiring import query as wiring
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import STREAMING, Events, begin, call, events_of, read
from tests.unit.query.query_fakes import FakeStates
from tests.unit.query.query_world import QUESTION

ASLEEP = ModelWaking("ollama", "no model host is running")
BODY = {"question": QUESTION}


@pytest.fixture
def asleep(world: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> HttpWorld:
    """A world whose hosts sleep, and wake at the second check."""
    settings = wiring.query_settings().model_copy(update={"wake_s": 60.0})
    monkeypatch.setattr(wiring, "query_settings", lambda: settings)
    world.model.fails = ASLEEP
    checks: list[int] = []

    class Host:
        async def check(self) -> None:
            checks.append(1)
            if len(checks) == 2:
                world.model.fails = None
            if world.model.fails:
                raise world.model.fails

    sleeper = Sleeper(Host(), FakeStates(), 60.0, poll_s=0.0)
    monkeypatch.setattr(wiring, "sleeper", lambda: sleeper)
    world.query = replace(world.query, sleeper=sleeper)
    world.runtime = STREAMING
    return world


def events() -> Events:
    return events_of(begin(BODY | {"stream": True}))


def whole(body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(read(begin(body)))
    return answer


def sleep_metrics(text: str) -> list[float]:
    lines = [json.loads(line) for line in text.splitlines() if "ModelAsleep" in line]
    return [value for line in lines for value in line["ModelAsleep"]]


def test_the_sentences_come_at_once_and_by_default(asleep: HttpWorld, capsys: pytest.CaptureFixture[str]) -> None:
    answer = whole(BODY)
    assert (answer["status"], answer["fallback_reason"]) == ("extractive", "model_waking")
    assert answer["citations"][0]["page"] == 7
    assert sleep_metrics(capsys.readouterr().out) == [1.0]


def test_a_stream_shows_passages_and_progress_until_the_model_answers(
    asleep: HttpWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = events()
    names = [name for name, _ in stream]
    assert names[:2] == ["passages", "waking"]
    assert names[-1] == "answer"
    assert set(names[2:-1]) == {"waking", "token"}
    assert stream[1][1] == {"seconds": 0}
    answer = stream[-1][1]
    assert (answer["status"], answer["fallback_reason"]) == ("answered", None)
    # The question counts once when it finds no host, and once when one has answered.
    assert sleep_metrics(capsys.readouterr().out) == [1.0, 0.0]


def test_the_status_names_the_state(asleep: HttpWorld) -> None:
    def state() -> str:
        status, body, _ = call("GET", "/v1/status")
        assert (status, body["model"]) == (200, "fake-model")
        return str(body["model_host"])

    assert state() == "asleep"
    assert state() == "awake"
    asleep.model.fails = Unavailable("ollama", "down")
    assert state() == "down"


def test_at_night_a_stream_ends_at_once_and_the_status_has_the_hour(
    asleep: HttpWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stopped:
        async def check(self) -> None:
            raise ASLEEP

    night = Night.parse("0 19 * * *;0 7 * * *;Etc/UTC")
    sleeper = Sleeper(Stopped(), FakeStates(), 60.0, night, clock=lambda: 0.0)
    monkeypatch.setattr(wiring, "sleeper", lambda: sleeper)
    asleep.query = replace(asleep.query, sleeper=sleeper)
    stream = events()
    assert [name for name, _ in stream] == ["passages", "answer"]
    assert stream[-1][1]["fallback_reason"] == "model_asleep_until 1970-01-01T07:00Z"
    logged = capsys.readouterr().out
    assert sleep_metrics(logged) == []  # no host can start
    assert '"Fallbacks":[0.0]' in logged.replace(" ", "")
    problem = whole(BODY | {"fallback": "none"})
    assert (problem["type"], problem["status"]) == ("urn:docwell:problem:model_asleep", 503)
    _, body, _ = call("GET", "/v1/status")
    assert (body["model_host"], body["asleep_until"]) == ("asleep", "1970-01-01T07:00:00Z")


def test_a_status_of_sleeping_hosts_wakes_none_and_strangers_see_no_status(
    asleep: HttpWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    call("GET", "/v1/status")
    call("GET", "/v1/ready")
    assert sleep_metrics(capsys.readouterr().out) == []
    assert call("GET", "/v1/status", key="unknown")[0] == 401
