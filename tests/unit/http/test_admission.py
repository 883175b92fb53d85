"""The admission of one request: its caller and its charge, beside other work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from docwell.answers import Cost
from docwell.deadline import Deadline, run
from docwell.errors import DeadlineExceeded, QuotaExceeded, Unauthenticated
from docwell.http.edges import RequestAdmission
from docwell.identity import Identity, Principal, Use
from docwell.ports import Reservation

ANN = Principal("key:ann", frozenset({"house"}))
USED_UP = QuotaExceeded("used up", 60.0)
PATIENT_S = 30.0


@dataclass
class Principals:
    """Knows one caller; `go` holds up the lookup, and `may_reserve` a reservation."""

    refuses: Exception | None = None
    go: threading.Event = field(default_factory=threading.Event)
    may_reserve: threading.Event = field(default_factory=threading.Event)
    has_settled: threading.Event = field(default_factory=threading.Event)
    found: int = 0
    charged: int = 0
    reserved: int = 0
    settled: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.go.set()
        self.may_reserve.set()

    def find(self, id_: str, groups: Sequence[str] = ()) -> Principal | None:
        self.found += 1
        self.go.wait(PATIENT_S)
        return ANN if id_ == ANN.id else None

    def use(self, principal: Principal) -> Use:
        return Use(self.charged)

    def charge(self, principal: Principal) -> None:
        if self.refuses:
            raise self.refuses
        self.charged += 1

    def reserve(self, principal: Principal, tokens: int) -> Reservation:
        self.charge(principal)
        self.may_reserve.wait(PATIENT_S)
        self.reserved += tokens
        return Reservation(principal.id, "today", "1", tokens)

    def settle(self, reservation: Reservation, tokens: int, cost: Cost | None = None) -> None:
        self.settled.append(tokens)
        self.has_settled.set()


def admission(principals: Principals, id_: str = ANN.id, seconds: float = PATIENT_S) -> RequestAdmission:
    return RequestAdmission(Identity(id_), principals, Deadline(seconds))


def test_a_request_is_charged_once_however_often_it_is_asked_about() -> None:
    principals = Principals()

    async def work() -> set[str]:
        async with admission(principals) as asked:
            answers = [await asked.identified(), await asked.admitted(), await asked.admitted()]
        return {answer.principal.id for answer in answers}

    assert run(work()) == {ANN.id}
    assert (principals.found, principals.charged) == (1, 1)


def test_lookup_begins_at_once_and_other_work_goes_on_meanwhile() -> None:
    principals = Principals()
    principals.go.clear()

    async def work() -> int:
        async with admission(principals):
            found = 0
            while not found:  # the lookup runs, and nothing waits for it
                found = principals.found
                await asyncio.sleep(0.001)
            assert principals.charged == 0
            principals.go.set()
        return principals.charged

    assert run(work()) == 1


def test_a_lookup_that_hangs_ends_within_its_share_of_the_deadline() -> None:
    principals = Principals()
    principals.go.clear()
    try:
        with pytest.raises(DeadlineExceeded):
            run(admission(principals, seconds=0.2).identified())
    finally:
        principals.go.set()


def test_a_caller_that_waits_no_longer_does_not_stop_the_charge() -> None:
    principals = Principals()
    principals.go.clear()

    async def work() -> int:
        asked = admission(principals)
        waiting = asyncio.create_task(asked.admitted())
        await asyncio.sleep(0.01)
        waiting.cancel()
        principals.go.set()
        await asked.admitted()
        return principals.charged

    assert run(work()) == 1


@pytest.mark.parametrize("principals", [Principals(refuses=USED_UP), Principals()], ids=["refused", "unknown"])
def test_a_question_that_was_not_charged_settles_nothing(principals: Principals) -> None:
    id_ = ANN.id if principals.refuses else "key:none"
    asked = RequestAdmission(Identity(id_), principals, Deadline(PATIENT_S), tokens=4096)
    with pytest.raises((QuotaExceeded, Unauthenticated)):
        run(asked.admitted())
    asked.settle(0)
    assert principals.settled == []


def test_tokens_that_are_reserved_after_the_time_is_up_are_given_back_once() -> None:
    principals = Principals()
    principals.may_reserve.clear()
    asked = RequestAdmission(Identity(ANN.id), principals, Deadline(0.5), tokens=4096)
    try:
        with pytest.raises(DeadlineExceeded):
            run(asked.admitted())
        asked.settle(0)  # the follow-up
        assert principals.settled == []
    finally:
        principals.may_reserve.set()
    assert principals.has_settled.wait(PATIENT_S)
    assert (principals.reserved, principals.settled) == (4096, [0])
