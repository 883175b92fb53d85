"""The use of all principals by day, and dead letters, on moto."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from docwell.adapters.dynamodb import principals as principals_module
from docwell.adapters.dynamodb.principals import DynamoPrincipals, Grant, PrincipalAdmin
from docwell.adapters.sqs import SqsDeadLetters
from docwell.answers import Cost
from docwell.identity import Principal, Use
from infra.local.names import PRINCIPALS_SCHEMA, USAGE_SCHEMA

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()
DAY_S = 86_400
COST = Cost(0.25, "USD", 1.0, 1.0, "prices")
ANN, BOB = Principal("key:ann"), Principal("sub:bob")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDBClient]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("dynamodb")
        client.create_table(TableName="grants", **PRINCIPALS_SCHEMA)
        client.create_table(TableName="usage", **USAGE_SCHEMA)
        yield client


def principals(table: DynamoDBClient, now: float = NOON) -> DynamoPrincipals:
    return DynamoPrincipals(table, "grants", "usage", max_in_flight=9, longest_s=30.0, clock=lambda: now)


def ask(callers: DynamoPrincipals, who: Principal, cost: Cost | None = COST) -> None:
    callers.settle(callers.reserve(who, 100), 10, cost)


def test_use_and_costs_of_all_principals_are_summed_by_day(table: DynamoDBClient) -> None:
    for who in (ANN, ANN, BOB):
        ask(principals(table), who)
    ask(principals(table, NOON - DAY_S), BOB)
    ask(principals(table, NOON - 3 * DAY_S), ANN)
    principals(table).charge(ANN)  # a search costs no model
    found = principals(table).history(3, "USD")
    assert found.days == {"2026-11-25": Use(4, 30), "2026-11-24": Use(1, 10)}
    assert found.costs == {"2026-11-25": 0.75, "2026-11-24": 0.25}
    assert found.complete


def test_the_busiest_of_today_come_first_with_the_quotas_of_their_grants(
    table: DynamoDBClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    PrincipalAdmin(table, "grants").add(Grant("key:ann", None, requests_per_day=9, label="Ann's"))
    for who in (ANN, BOB, BOB):
        ask(principals(table), who)
    ask(principals(table, NOON - DAY_S), ANN)
    today = principals(table).history(2, "USD").today
    assert [(one.id, one.label, one.requests_per_day, use.requests) for one, use in today] == [
        ("sub:bob", "", None, 2),
        ("key:ann", "Ann's", 9, 1),
    ]
    monkeypatch.setattr(principals_module, "_BUSIEST", 1)
    assert [one.id for one, _ in principals(table).history(2, "USD").today] == ["sub:bob"]


def test_costs_in_another_currency_are_left_out(table: DynamoDBClient) -> None:
    ask(principals(table), ANN)
    ask(principals(table), BOB, replace(COST, currency="EUR"))
    assert principals(table).history(1, "USD").costs == {"2026-11-25": 0.25}


def test_a_question_without_an_answer_costs_nothing_and_its_tokens_are_settled(table: DynamoDBClient) -> None:
    ask(principals(table), ANN, cost=None)
    found = principals(table).history(1, "USD")
    assert (found.days, found.costs) == ({"2026-11-25": Use(1, 10)}, {"2026-11-25": 0})


def test_a_history_that_is_too_long_is_not_complete(
    table: DynamoDBClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):  # a page ends after 1 MB
        row = {"principal": {"S": f"key:{number}"}, "day": {"S": "2026-11-25"}, "requests": {"N": "1"}}
        table.put_item(TableName="usage", Item={**row, "large": {"S": "x" * 390_000}})
    whole = principals(table).history(1, "USD")
    assert (whole.days["2026-11-25"].requests, whole.complete) == (3, True)
    monkeypatch.setattr(principals_module, "_PAGES", 1)
    part = principals(table).history(1, "USD")
    assert part.days["2026-11-25"].requests < 3
    assert not part.complete


def test_a_grant_to_operate_is_stored_and_comes_from_a_group_too(table: DynamoDBClient) -> None:
    admin = PrincipalAdmin(table, "grants")
    admin.add(Grant("key:ann", None))
    admin.add(Grant("group:operators", frozenset(), operates=True))
    found = principals(table).find("key:ann")
    assert found is not None
    assert not found.operates
    found = principals(table).find("sub:bob", ["operators"])
    assert found is not None
    assert found.operates


def test_dead_letters_are_moved_up_to_a_number_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
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
        moved: set[str] = set()
        while found := sqs.receive_message(QueueUrl=ingest, MaxNumberOfMessages=10).get("Messages"):
            moved |= {one["Body"] for one in found}
        assert moved == bodies
