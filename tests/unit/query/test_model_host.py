"""What spares a model host: on a clock that stands still until it is told to move."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from docwell.answers import Completion, Message
from docwell.errors import (
    BadInput,
    Cancelled,
    DeadlineExceeded,
    DocwellError,
    ModelMissing,
    Overloaded,
    Unavailable,
)
from docwell.query.model_host import CircuitBreaker, GuardedModel, InFlight, Outcome, RetryBudget

ASK = [Message("user", "why?")]
DOWN = Unavailable("ollama", "down")
REFUSED = Unavailable("ollama", "status 400", retry_after=None)
LATE = DeadlineExceeded("ollama", "late")


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
    before: Callable[[], None] = lambda: None
    says_first: str = ""
    name: str = "m"

    def chat(
        self,
        messages: Sequence[Message],
        timeout_s: float,
        on_token: Callable[[str], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> Completion:
        self.attempts.append(timeout_s)
        self.before()
        play = self.plays.pop(0) if len(self.plays) > 1 else self.plays[0]
        if self.says_first and on_token:
            on_token(self.says_first)
        if isinstance(play, Exception):
            raise play
        return Completion(play, 10, 2, "stop", 5.0)

    def check(self) -> None:
        raise DOWN


class Noted(threading.Event):
    """An event that writes down for how many seconds it is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_s: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waited_s.append(timeout)
        return super().wait(timeout)


def guarded(host: Host, *, failures: int = 3, share: float = 1.0, limit: int = 4, clock: Clock | None = None,
            backoff_s: float = 0.0) -> GuardedModel:  # fmt: skip
    now = clock or Clock()
    return GuardedModel(
        host, CircuitBreaker(failures, 15.0, now), InFlight(limit), RetryBudget(share), backoff_s, clock=now
    )


def fails(model: GuardedModel, timeout_s: float = 28.0) -> DocwellError:
    with pytest.raises(DocwellError) as caught:
        model.chat(ASK, timeout_s)
    return caught.value


def test_an_answer_comes_through() -> None:
    seen: list[str] = []
    model = guarded(Host(["Nine"], says_first="Ni"))
    assert model.chat(ASK, 9.0, seen.append).text == "Nine"
    assert (seen, model.name) == (["Ni"], "m")


def test_a_failure_before_the_first_token_is_tried_once_more_within_the_same_time() -> None:
    clock = Clock()
    host = Host([DOWN, "Nine"])

    def pass_time() -> None:
        clock.now += 2

    host.before = pass_time
    completion = guarded(host, clock=clock).chat(ASK, 9.0)
    assert completion.text == "Nine"
    assert host.attempts == [9.0, 7.0]
    assert completion.first_token_ms == 2005.0  # it counts from the request


def test_two_failures_are_told() -> None:
    host = Host([DOWN])
    assert fails(guarded(host)) is DOWN
    assert len(host.attempts) == 2


@pytest.mark.parametrize(
    "error",
    [REFUSED, LATE, ModelMissing("ollama", "pull"), Cancelled("gone"), BadInput("no"), Overloaded("o", "x")],
)
def test_what_another_attempt_cannot_mend_is_not_tried_again(error: DocwellError) -> None:
    host = Host([error])
    assert fails(guarded(host)) is error
    assert len(host.attempts) == 1


def test_a_failure_after_the_first_token_is_not_tried_again_even_when_nobody_looks() -> None:
    host = Host([DOWN], says_first="Ni")
    fails(guarded(host))
    assert len(host.attempts) == 1


def test_no_second_attempt_is_made_when_too_little_time_is_left() -> None:
    host = Host([DOWN])
    fails(guarded(host), 0.45)
    assert len(host.attempts) == 1


def test_retries_of_a_host_that_is_down_stay_within_their_share() -> None:
    host = Host([DOWN])
    model = guarded(host, share=0.1, failures=1000)
    for _ in range(100):
        fails(model)
    assert 110 <= len(host.attempts) <= 111


def test_without_a_share_nothing_is_ever_retried() -> None:
    host = Host([DOWN])
    model = guarded(host, share=0.0, failures=1000)
    for _ in range(20):
        fails(model)
    assert len(host.attempts) == 20


def test_savings_for_retries_have_a_limit() -> None:
    budget = RetryBudget(1.0)
    for _ in range(1000):
        budget.earn()
    assert sum(budget.spend() for _ in range(1000)) == 10


def test_who_goes_away_during_the_pause_is_not_asked_for_again() -> None:
    cancel = Noted()
    host = Host([DOWN], before=cancel.set)
    with pytest.raises(Cancelled):
        guarded(host, backoff_s=10.0).chat(ASK, 60.0, cancel=cancel)
    assert len(cancel.waited_s) == 1  # the pause is spent here, and is over when somebody goes away
    assert len(host.attempts) == 1


def test_a_host_that_fails_again_and_again_is_given_a_rest() -> None:
    host, clock = Host([DOWN]), Clock()
    model = guarded(host, failures=3, share=0.0, clock=clock)
    for _ in range(3):
        assert fails(model) is DOWN
    clock.now += 5
    error = fails(model)
    assert isinstance(error, Overloaded)
    assert error.retry_after == 10.0
    assert len(host.attempts) == 3


def test_after_its_rest_a_host_that_works_gets_everything_again() -> None:
    host, clock = Host([DOWN, DOWN, "Nine"]), Clock()
    model = guarded(host, failures=2, share=0.0, clock=clock)
    fails(model)
    fails(model)
    clock.now += 15
    assert model.chat(ASK, 9.0).text == "Nine"
    assert model.breaker.closed
    assert model.chat(ASK, 9.0).text == "Nine"


def test_after_its_rest_a_host_that_fails_rests_again_without_a_second_attempt() -> None:
    host, clock = Host([DOWN]), Clock()
    model = guarded(host, failures=1, clock=clock)
    fails(model)
    before = len(host.attempts)
    clock.now += 15
    assert fails(model) is DOWN
    assert isinstance(fails(model), Overloaded)
    assert len(host.attempts) == before + 1


def test_only_one_attempt_at_a_time_tries_a_rested_host() -> None:
    clock = Clock()
    breaker = CircuitBreaker(1, 15.0, clock)
    breaker.enter().settle(Outcome.FAILED)
    clock.now += 15
    probe = breaker.enter()
    with pytest.raises(Overloaded):
        breaker.enter()
    probe.settle(Outcome.UNKNOWN)  # its caller went away: the next one tries
    breaker.enter().settle(Outcome.WORKED)
    assert breaker.closed


def test_what_began_before_the_rest_says_nothing_about_the_host_after_it() -> None:
    clock = Clock()
    breaker = CircuitBreaker(1, 15.0, clock)
    early_success, early_failure = breaker.enter(), breaker.enter()
    breaker.enter().settle(Outcome.FAILED)
    early_success.settle(Outcome.WORKED)
    assert not breaker.closed
    clock.now += 15
    breaker.enter().settle(Outcome.WORKED)
    early_failure.settle(Outcome.FAILED)
    assert breaker.closed


@pytest.mark.parametrize(
    ("error", "timeout_s", "rests"),
    [
        (DOWN, 28.0, True),
        (LATE, 28.0, True),
        (LATE, 1.0, False),
        (REFUSED, 28.0, False),
        (ModelMissing("ollama", "pull"), 28.0, False),
        (Cancelled("gone"), 28.0, False),
        (BadInput("no"), 28.0, False),
    ],
    ids=["down", "late", "late with little time", "refused", "no model", "cancelled", "bad input"],
)
def test_only_failures_of_the_host_itself_count(error: DocwellError, timeout_s: float, rests: bool) -> None:
    model = guarded(Host([error]), failures=2, share=0.0)
    fails(model, timeout_s)
    fails(model, timeout_s)
    assert model.breaker.closed is not rests


def test_a_caller_that_raises_is_no_failure_of_the_host_and_frees_its_place() -> None:
    def refuse(_: str) -> None:
        raise ConnectionError

    model = guarded(Host(["Nine"], says_first="Ni"), failures=1, limit=1)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            model.chat(ASK, 9.0, refuse)
    assert model.breaker.closed


def test_a_success_starts_the_count_of_failures_anew() -> None:
    model = guarded(Host([DOWN, "Nine", DOWN, "Nine"]), failures=2, share=0.0)
    fails(model)
    model.chat(ASK, 9.0)
    fails(model)
    assert model.breaker.closed


def test_no_more_requests_are_at_work_than_the_host_is_given() -> None:
    enough, go = threading.Barrier(3), threading.Event()

    def hold() -> None:
        if not go.is_set():
            enough.wait(5)
            go.wait(5)

    model = guarded(Host(["Nine"], before=hold), limit=2)
    with ThreadPoolExecutor(2) as pool:
        first, second = (pool.submit(model.chat, ASK, 9.0) for _ in range(2))
        enough.wait(5)
        error = fails(model)
        go.set()
        assert (first.result(5).text, second.result(5).text) == ("Nine", "Nine")
    assert isinstance(error, Overloaded)
    assert error.retry_after
    assert model.chat(ASK, 9.0).text == "Nine"


def test_a_check_asks_the_host_itself_even_while_it_rests() -> None:
    model = guarded(Host([DOWN]), failures=1, share=0.0)
    fails(model)
    with pytest.raises(Unavailable) as caught:
        model.check()
    assert caught.value is DOWN
