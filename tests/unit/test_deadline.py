"""Work within a share of the time allowed, waited for at once or later."""

from __future__ import annotations

import threading
from contextvars import ContextVar

import pytest

from docwell.deadline import Deadline, Pending
from docwell.errors import DeadlineExceeded, NotFound, QuotaExceeded

WHO: ContextVar[str] = ContextVar("who")
PATIENT_S = 30.0


def failing(error: Exception) -> Pending[None]:
    def work() -> None:
        raise error

    return Deadline(PATIENT_S).begin("work", 1.0, work)


def test_what_is_begun_goes_on_while_the_caller_does_something_else() -> None:
    go = threading.Event()
    pending = Deadline(PATIENT_S).begin("work", 1.0, lambda: go.wait(PATIENT_S))
    go.set()  # by the caller, who is not waiting yet
    assert pending.result()
    assert pending.result(), "it may be asked again"


def test_what_the_work_raises_is_raised_where_it_is_waited_for() -> None:
    with pytest.raises(NotFound):
        failing(NotFound("gone")).result()


def test_work_that_takes_longer_than_its_share_is_given_up() -> None:
    never = threading.Event()
    pending = Deadline(0.2).begin("search", 0.1, never.wait)
    with pytest.raises(DeadlineExceeded, match="search"):
        pending.result()
    never.set()


def test_as_a_context_it_is_over_at_the_end() -> None:
    go, done = threading.Event(), threading.Event()

    def work() -> None:
        go.wait(PATIENT_S)
        done.set()

    with Deadline(PATIENT_S).begin("work", 1.0, work):
        go.set()
    assert done.is_set()


def test_what_the_work_raises_goes_before_what_was_raised_meanwhile() -> None:
    with pytest.raises(QuotaExceeded), failing(QuotaExceeded("used up", 1.0)):
        raise NotFound("no such collection")


def test_an_error_raised_meanwhile_is_raised_when_the_work_is_done() -> None:
    with pytest.raises(NotFound), Deadline(PATIENT_S).begin("work", 1.0, lambda: None):
        raise NotFound("no such collection")


def test_the_work_sees_the_context_of_whoever_began_it() -> None:
    WHO.set("asker")
    assert Deadline(PATIENT_S).within("work", 1.0, WHO.get) == "asker"
