"""The retry and the breaker of a model host, on a clock that the tests move."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from docwell.answers import Completion, Message
from docwell.deadline import run
from docwell.errors import (
    BadInput,
    DeadlineExceeded,
    DocwellError,
    ModelMissing,
    ModelWaking,
    Overloaded,
    Unavailable,
)
from docwell.ports import ModelFacts
from docwell.query.model_host import Breaker, GuardedModel, whole

ASK = [Message("user", "why?")]
DOWN = Unavailable("ollama", "down")
REFUSED = Unavailable("ollama", "status 400", retry_after=None)
LATE = DeadlineExceeded("ollama", "late")
ASLEEP = ModelWaking("ollama", "asleep")


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Host:
    """Plays one outcome for each attempt, the last one again and again; a text is an answer."""

    plays: list[str | Exception]
    attempts: list[float] = field(default_factory=list)
    says_first: str = ""
    closed: int = 0
    facts_asked: int = 0
    name: str = "m"

    async def chat(self, messages: Sequence[Message], timeout_s: float) -> AsyncGenerator[str | Completion]:
        self.attempts.append(timeout_s)
        play = self.plays.pop(0) if len(self.plays) > 1 else self.plays[0]
        try:
            if self.says_first:
                yield self.says_first
            if isinstance(play, Exception):
                raise play
            yield Completion(play, 10, 2, "stop")
        finally:
            self.closed += 1

    async def facts(self) -> ModelFacts:
        self.facts_asked += 1
        return ModelFacts(4096, "d")


def guarded(host: Host, *, failures: int = 3, clock: Clock | None = None, backoff_s: float = 0.0) -> GuardedModel:
    return GuardedModel(host, Breaker(failures, 15.0, clock or Clock()), backoff_s)


def answer(model: GuardedModel, timeout_s: float = 28.0) -> str:
    return run(whole(model.chat(ASK, timeout_s))).text


def fails(model: GuardedModel, timeout_s: float = 28.0) -> DocwellError:
    with pytest.raises(DocwellError) as caught:
        answer(model, timeout_s)
    return caught.value


def test_a_failure_before_the_first_token_is_tried_once_more_within_the_same_time() -> None:
    host = Host([DOWN, "Nine"])
    assert answer(guarded(host, backoff_s=0.05), 9.0) == "Nine"
    first, second = host.attempts
    assert 8.9 < first <= 9.0
    assert 8.0 < second < first


FINAL = [REFUSED, LATE, ModelMissing("ollama", "pull"), BadInput("no"), Overloaded("o", "x"), ASLEEP]


@pytest.mark.parametrize(
    ("error", "begun", "timeout_s"),
    [*((error, "", 28.0) for error in FINAL), (DOWN, "Ni", 28.0), (DOWN, "", 0.45)],
)
def test_no_retry_follows_a_final_error_a_first_token_or_the_deadline(
    error: DocwellError, begun: str, timeout_s: float
) -> None:
    host = Host([error], says_first=begun)
    assert fails(guarded(host), timeout_s) is error
    assert len(host.attempts) == 1


def test_a_host_that_fails_again_and_again_rests() -> None:
    host, clock = Host([REFUSED, DOWN]), Clock()
    model = guarded(host, failures=3, clock=clock)
    fails(model)
    for _ in range(2):  # two attempts, then the third failure in a row
        assert fails(model) is DOWN
    attempts = len(host.attempts)
    clock.now += 5
    error = fails(model)
    assert isinstance(error, Overloaded)
    assert error.retry_after == 10.0
    assert len(host.attempts) == attempts == 4


def test_after_its_rest_a_host_that_fails_rests_again_without_a_second_attempt() -> None:
    host, clock = Host([DOWN]), Clock()
    model = guarded(host, failures=1, clock=clock)
    fails(model)
    before = len(host.attempts)
    clock.now += 15
    assert fails(model) is DOWN
    assert isinstance(fails(model), Overloaded)
    assert len(host.attempts) == before + 1


@pytest.mark.parametrize(
    ("error", "timeout_s", "rests"),
    [(DOWN, 28.0, True), (LATE, 1.0, False), *((error, 28.0, error is LATE) for error in FINAL)],
)
def test_only_failures_of_the_host_itself_count(error: DocwellError, timeout_s: float, *, rests: bool) -> None:
    model = guarded(Host([error]), failures=2)
    fails(model, timeout_s)
    fails(model, timeout_s)
    assert model.breaker.closed is not rests


def test_a_caller_that_leaves_is_not_a_failure_of_the_host_and_closes_its_answer() -> None:
    host = Host(["Nine"], says_first="Ni")
    model = guarded(host, failures=1)

    async def leave() -> None:
        async with aclosing(model.chat(ASK, 9.0)) as pieces:
            assert await anext(pieces) == "Ni"

    run(leave())
    assert host.closed == 1
    assert model.breaker.closed


def test_a_host_that_has_failed_is_not_asked_for_facts() -> None:
    host, clock = Host([DOWN]), Clock()
    model = guarded(host, failures=1, clock=clock)
    assert run(model.facts()) == (4096, "d")
    fails(model)
    with pytest.raises(Overloaded):
        run(model.facts())
    assert host.facts_asked == 1


def test_an_answer_without_its_end_is_unavailable() -> None:
    async def pieces() -> AsyncGenerator[str | Completion]:
        yield "Ni"

    with pytest.raises(Unavailable):
        run(whole(pieces()))
