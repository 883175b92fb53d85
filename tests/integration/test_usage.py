"""Quotas, reservations, the history of use, and dead letters, on moto in process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from threading import Lock
from typing import Any

import boto3
import pytest
from moto import mock_aws

from docwell.adapters.aws import client
from docwell.adapters.dynamodb import principals as principals_module
from docwell.adapters.dynamodb.principals import DynamoPrincipals, Grant, PrincipalAdmin
from docwell.adapters.sqs import SqsDeadLetters
from docwell.answers import Cost
from docwell.errors import QuotaExceeded, TooManyInFlight
from docwell.identity import READING, Principal, Use
from infra.local.names import PRINCIPALS_SCHEMA, USAGE_SCHEMA

from .waiting import Clock

pytestmark = pytest.mark.integration
GRANTS, USAGE = "grants", "usage"
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()
HALF_A_DAY_S = 12 * 3600
MOST, LONGEST_S = 3, 30.0
ANY = Principal("key:k")


class Counting:
    """A client that counts its calls, makes them one at a time as DynamoDB does, and can lose an answer."""

    def __init__(self, plain: Any) -> None:
        self._plain = plain
        self._lock = Lock()
        self.calls = Counter[str]()
        self.repeats = ""  # a call that is made twice, as boto3 does after a time-out

    def __getattr__(self, name: str) -> Any:
        def call(**request: Any) -> Any:
            with self._lock:
                self.calls[name] += 1
                if name == self.repeats:
                    getattr(self._plain, name)(**request)
                return getattr(self._plain, name)(**request)

        return call


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        boto3.client("dynamodb").create_table(TableName=GRANTS, **PRINCIPALS_SCHEMA)
        boto3.client("dynamodb").create_table(TableName=USAGE, **USAGE_SCHEMA)
        yield Counting(client("dynamodb"))


@pytest.fixture
def principals(table: Any, clock: Clock) -> DynamoPrincipals:
    return DynamoPrincipals(table, GRANTS, USAGE, max_in_flight=MOST, longest_s=LONGEST_S, clock=clock)


@pytest.fixture
def used(table: Any, clock: Clock) -> Callable[[], Use]:
    admin = PrincipalAdmin(table, GRANTS, clock)
    admin.add(Grant(ANY.id, None))
    return lambda: admin.list(USAGE)[0][1]


def test_a_quota_of_requests_ends_at_midnight_utc(
    principals: DynamoPrincipals, clock: Clock, used: Callable[[], Use]
) -> None:
    limited = Principal("key:k", requests_per_day=3)
    principals.charge(limited)
    principals.settle(principals.reserve(limited, 10), 10)
    principals.charge(limited)
    for refused in (principals.charge, lambda principal: principals.reserve(principal, 10)):
        with pytest.raises(QuotaExceeded) as caught:
            refused(limited)
        assert (type(caught.value), caught.value.retry_after) == (QuotaExceeded, HALF_A_DAY_S)
    assert used() == Use(3, 10)  # the refused ones do not count
    clock.now = NOON + HALF_A_DAY_S
    principals.charge(limited)
    assert used() == Use(1)


def test_a_caller_sees_its_own_use_of_today(principals: DynamoPrincipals, clock: Clock) -> None:
    assert principals.use(ANY) == Use()
    for _ in range(9):
        principals.charge(ANY)
    principals.settle(principals.reserve(ANY, 10), 7)
    principals.reserve(ANY, 100)
    principals.charge(Principal("key:other"))
    assert principals.use(ANY) == Use(11, 107)
    clock.now = NOON + HALF_A_DAY_S
    assert principals.use(ANY) == Use()


def test_a_reservation_is_charged_at_once_and_settled_once(
    principals: DynamoPrincipals, used: Callable[[], Use]
) -> None:
    reservation = principals.reserve(ANY, 4096)
    assert used() == Use(1, 4096)
    for _ in range(3):
        principals.settle(reservation, 900)
    assert used() == Use(1, 900)


@pytest.mark.parametrize("settled", [True, False])
def test_a_write_that_is_repeated_counts_once(
    principals: DynamoPrincipals, table: Counting, used: Callable[[], Use], *, settled: bool
) -> None:
    table.repeats = "update_item"
    reservation = principals.reserve(ANY, 4096)
    if settled:
        principals.settle(reservation, 900)
    assert used() == Use(1, 900 if settled else 4096)


def test_a_question_costs_two_writes(principals: DynamoPrincipals, table: Counting) -> None:
    principals.settle(principals.reserve(Principal("key:k", requests_per_day=9, tokens_per_day=99), 10), 5)
    assert table.calls == {"update_item": 2}


def test_a_question_is_settled_in_the_day_of_its_charge(
    principals: DynamoPrincipals, clock: Clock, table: Any, used: Callable[[], Use]
) -> None:
    clock.now = NOON + HALF_A_DAY_S - 1
    reservation = principals.reserve(ANY, 4096)
    clock.now += 2
    principals.settle(reservation, 900)
    assert used() == Use()
    (row,) = table.scan(TableName=USAGE)["Items"]
    assert (row["day"]["S"], row["tokens"]["N"], "in_flight" in row) == ("2026-11-25", "900", False)


def test_simultaneous_questions_exceed_the_token_quota_by_at_most_one_question(
    table: Any, clock: Clock, used: Callable[[], Use]
) -> None:
    principals = DynamoPrincipals(table, GRANTS, USAGE, max_in_flight=99, longest_s=LONGEST_S, clock=clock)
    limited = Principal("key:k", tokens_per_day=1000)

    def ask(_: int) -> QuotaExceeded | None:
        try:
            principals.settle(principals.reserve(limited, 400), 300)
        except QuotaExceeded as error:
            return error
        return None

    with ThreadPoolExecutor(16) as pool:
        refused = [error for error in pool.map(ask, range(64)) if error]
    assert used().tokens <= 1000 + 300
    assert refused


def test_reserved_tokens_are_free_again_after_the_question(principals: DynamoPrincipals) -> None:
    limited = Principal("key:k", tokens_per_day=1000)
    reservation = principals.reserve(limited, 4096)
    for refused in (principals.charge, lambda principal: principals.reserve(principal, 10)):
        with pytest.raises(TooManyInFlight) as caught:
            refused(limited)
        assert caught.value.retry_after == 1
    principals.settle(reservation, 900)
    reservation = principals.reserve(limited, 4096)
    principals.settle(reservation, 900)
    with pytest.raises(QuotaExceeded) as spent:
        principals.reserve(limited, 10)
    assert spent.value.retry_after == HALF_A_DAY_S


@pytest.mark.parametrize("name", READING)
def test_the_upload_that_crosses_a_quota_of_reading_is_the_last_of_the_day(
    principals: DynamoPrincipals, clock: Clock, used: Callable[[], Use], name: str
) -> None:
    limited = replace(ANY, **{f"{name}_per_day": 5})  # type: ignore[arg-type] # mypy takes it for any field
    for amount in (4, 9):
        principals.charge(limited, Use(pages=amount, bytes=amount, reading_s=amount + 0.5), READING)
    principals.charge(limited, Use(reading_s=0.5))  # as do questions, reading that was begun goes on
    with pytest.raises(QuotaExceeded, match="today's") as caught:
        principals.charge(limited, Use(bytes=1), READING)
    assert (used(), caught.value.retry_after) == (Use(0, 0, 13, 13, 14.5), HALF_A_DAY_S)
    clock.now += HALF_A_DAY_S
    principals.charge(limited, Use(pages=1), READING)


@pytest.mark.parametrize("quota", ["requests_per_day", "tokens_per_day"])
def test_a_quota_of_zero_allows_nothing_and_tokens_of_a_dead_process_count(
    principals: DynamoPrincipals, clock: Clock, quota: str
) -> None:
    limits: dict[str, int] = {quota: 0}
    for refused in (principals.charge, lambda principal: principals.reserve(principal, 10)):
        with pytest.raises(QuotaExceeded):
            refused(Principal("key:k", **limits))  # type: ignore[arg-type] # mypy takes the values for any field
    limited = Principal("key:k", tokens_per_day=1000)
    principals.reserve(limited, 4096)
    clock.now += LONGEST_S
    with pytest.raises(QuotaExceeded) as caught:
        principals.reserve(limited, 10)
    assert type(caught.value) is QuotaExceeded


def test_questions_in_flight_are_limited_per_principal(
    principals: DynamoPrincipals, used: Callable[[], Use]
) -> None:
    reservations = [principals.reserve(ANY, 10) for _ in range(MOST)]
    with pytest.raises(TooManyInFlight) as caught:
        principals.reserve(ANY, 10)
    assert (caught.value.status, caught.value.retry_after) == (429, 1)
    assert used() == Use(MOST, MOST * 10)
    principals.charge(ANY)  # a request without the model needs no slot
    principals.reserve(Principal("key:other"), 10)
    principals.settle(reservations[0], 5)
    principals.reserve(ANY, 10)


def test_a_process_that_dies_keeps_its_charge_and_not_its_slot(
    principals: DynamoPrincipals, clock: Clock, used: Callable[[], Use]
) -> None:
    dead = [principals.reserve(ANY, 10) for _ in range(MOST)]
    clock.now += LONGEST_S - 1
    with pytest.raises(TooManyInFlight):
        principals.reserve(ANY, 10)
    clock.now += 1
    for _ in range(MOST):
        principals.reserve(ANY, 10)
    with pytest.raises(TooManyInFlight):
        principals.reserve(ANY, 10)
    principals.settle(dead[0], 0)  # too late: its slot is another's
    assert used() == Use(2 * MOST, 2 * MOST * 10)


def test_the_row_of_a_days_use_expires_and_is_not_among_the_grants(
    principals: DynamoPrincipals, table: Any
) -> None:
    principals.charge(ANY)
    (row,) = table.scan(TableName=USAGE)["Items"]
    assert int(row["expires_at"]["N"]) == NOON + 40 * 86_400
    assert table.scan(TableName=GRANTS)["Items"] == []


COST = Cost(0.25, "USD", 1.0, 1.0, "prices")
ANN, BOB = Principal("key:ann"), Principal("sub:bob")


def ask(callers: DynamoPrincipals, caller: Principal, cost: Cost | None = COST) -> None:
    callers.settle(callers.reserve(caller, 100), 10, cost)


def test_use_and_costs_of_all_principals_are_summed_by_day(principals: DynamoPrincipals, clock: Clock) -> None:
    for days_ago, caller in ((3, ANN), (1, BOB), (0, ANN), (0, ANN), (0, BOB)):
        clock.now = NOON - days_ago * 2 * HALF_A_DAY_S
        ask(principals, caller)
    ask(principals, BOB, replace(COST, currency="EUR"))
    ask(principals, BOB, cost=None)  # a question without an answer
    principals.charge(ANN)  # a search costs no model
    history = principals.history(3, "USD")
    assert history.days == {"2026-11-25": Use(6, 50), "2026-11-24": Use(1, 10)}
    assert history.costs == {"2026-11-25": 0.5, "2026-11-24": 0.25}
    assert history.complete


def test_the_busiest_of_today_come_first_with_the_quotas_of_their_grants(
    principals: DynamoPrincipals, table: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    PrincipalAdmin(table, GRANTS).add(Grant("key:ann", None, requests_per_day=9, label="Ann's"))
    for caller in (ANN, BOB, BOB):
        ask(principals, caller)
    today = principals.history(2, "USD").today
    assert [(caller.id, caller.label, caller.requests_per_day, use.requests) for caller, use in today] == [
        ("sub:bob", "", None, 2),
        ("key:ann", "Ann's", 9, 1),
    ]
    monkeypatch.setattr(principals_module, "_BUSIEST", 1)
    assert [caller.id for caller, _ in principals.history(2, "USD").today] == ["sub:bob"]


def test_a_history_that_is_too_long_is_not_complete(
    principals: DynamoPrincipals, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):  # a page ends after 1 MB
        row = {"principal": {"S": f"key:{number}"}, "day": {"S": "2026-11-25"}, "requests": {"N": "1"}}
        table.put_item(TableName=USAGE, Item={**row, "large": {"S": "x" * 390_000}})
    history = principals.history(1, "USD")
    assert (history.days["2026-11-25"].requests, history.complete) == (3, True)
    monkeypatch.setattr(principals_module, "_PAGES", 1)
    assert not principals.history(1, "USD").complete


def test_dead_letters_are_moved_up_to_a_limit_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        sqs = boto3.client("sqs")
        parked, ingest = (sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("parked", "ingest"))
        bodies = {json.dumps({"docwell": {"key": f"{number}.pdf"}}) for number in range(14)}
        for body in bodies:
            sqs.send_message(QueueUrl=parked, MessageBody=body)
        letters = SqsDeadLetters(sqs, parked, ingest)
        assert letters.waiting() == 14
        assert (letters.redrive(12), letters.waiting()) == (12, 2)
        assert (letters.redrive(12), letters.waiting()) == (2, 0)
        assert letters.redrive(12, "é.pdf") == 1
        moved: set[str] = set()
        while messages := sqs.receive_message(QueueUrl=ingest, MaxNumberOfMessages=10).get("Messages"):
            moved |= {message["Body"] for message in messages}
        assert {json.loads(body)["docwell"]["key"] for body in moved - bodies} == {"é.pdf"}
