"""Grants on DynamoDB's own conditions (moto, in process)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from docwell.adapters.aws import client
from docwell.adapters.dynamodb.principals import DynamoPrincipals, Grant, PrincipalAdmin
from docwell.errors import Unavailable
from docwell.identity import MAX_GROUPS, Principal, Rule
from infra.local.names import PRINCIPALS_SCHEMA, USAGE_SCHEMA

from .waiting import Clock

pytestmark = pytest.mark.integration
TABLE, USAGE = "principals", "usage"
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        for name, schema in ((TABLE, PRINCIPALS_SCHEMA), (USAGE, USAGE_SCHEMA)):
            boto3.client("dynamodb").create_table(TableName=name, **schema)
        yield client("dynamodb")


@pytest.fixture
def principals(table: Any) -> DynamoPrincipals:
    return DynamoPrincipals(table, TABLE, USAGE, max_in_flight=1, longest_s=30)


@pytest.fixture
def admin(table: Any, clock: Clock) -> PrincipalAdmin:
    return PrincipalAdmin(table, TABLE, clock)


def grant(id_: str, *collections: str, **more: Any) -> Grant:
    return Grant(id_, frozenset(collections), **more)


def test_whoever_has_no_grant_is_nobody(principals: DynamoPrincipals) -> None:
    assert principals.find("key:k", ["g"]) is None


def test_own_and_groups_collections_are_put_together(principals: DynamoPrincipals, admin: PrincipalAdmin) -> None:
    admin.add(grant("sub:s", "a", label="S"))
    admin.add(grant("group:g", "b", "c"))
    admin.add(grant("group:other", "d"))
    assert principals.find("sub:s") == Principal("sub:s", frozenset({"a"}), label="S")
    assert principals.find("sub:s", ["g"]) == Principal("sub:s", frozenset({"a", "b", "c"}), label="S")
    assert principals.find("sub:new", ["g"]) == Principal("sub:new", frozenset({"b", "c"}))


def test_own_and_groups_rules_are_put_together(principals: DynamoPrincipals, admin: PrincipalAdmin) -> None:
    own, first = Rule("a", "a/2026/"), Rule(None, "", frozenset({("team", "legal"), ("stage", "final")}))
    admin.add(grant("sub:s", "b", rules=frozenset({own})))
    admin.add(grant("group:g", rules=frozenset({own, first})))
    assert principals.find("sub:s") == Principal("sub:s", frozenset({"b"}), frozenset({own}))
    assert principals.find("sub:s", ["g"]) == Principal("sub:s", frozenset({"b"}), frozenset({own, first}))


def test_rights_to_write_are_put_together_and_a_row_without_them_has_none(
    principals: DynamoPrincipals, admin: PrincipalAdmin
) -> None:
    admin.add(grant("sub:s", "a", writable=frozenset({"a"})))
    admin.add(grant("group:g", "b", writable=frozenset({"b"})))
    admin.add(Grant("group:admins", None, writable=None))
    admin.add(Grant("group:readers", None))
    writable = {
        groups: found.writable
        for groups in [(), ("g",), ("admins", "g"), ("readers",)]
        if (found := principals.find("sub:s", groups))
    }
    mine = frozenset({"a"})
    assert writable == {(): mine, ("g",): mine | {"b"}, ("admins", "g"): None, ("readers",): mine}
    found = principals.find("sub:new", ["readers"])
    assert found is not None
    assert not found.may_write("a")


def test_a_group_that_sees_all_opens_all_to_its_members_alone(
    principals: DynamoPrincipals, admin: PrincipalAdmin
) -> None:
    admin.add(grant("sub:s", "a"))
    admin.add(Grant("group:admins", None))
    found, other = principals.find("sub:s", ["admins"]), principals.find("sub:s")
    assert found is not None
    assert other is not None
    assert (found.may_read("anything"), other.may_read("anything")) == (True, False)


def test_a_row_that_says_neither_all_nor_collections_opens_nothing(
    principals: DynamoPrincipals, table: Any
) -> None:
    table.put_item(TableName=TABLE, Item={"principal": {"S": "key:k"}, "item": {"S": "grant"}})
    found = principals.find("key:k")
    assert found is not None
    assert found.collections == frozenset()


@pytest.mark.parametrize(
    ("own", "first", "second", "expected"),
    [(5, 10, 20, 5), (None, 10, 20, 20), (None, 10, None, None), (0, 10, 20, 0)],
)
def test_an_own_quota_wins_and_else_the_groups_largest(
    principals: DynamoPrincipals,
    admin: PrincipalAdmin,
    own: int | None,
    first: int | None,
    second: int | None,
    expected: int | None,
) -> None:
    for id_, quota in (("sub:s", own), ("group:1", first), ("group:2", second)):
        admin.add(grant(id_, "a", requests_per_day=quota))
    found = principals.find("sub:s", ["1", "2"])
    assert found is not None
    assert found.requests_per_day == expected


def test_as_many_groups_as_a_token_can_have_are_read_at_once(
    principals: DynamoPrincipals, admin: PrincipalAdmin
) -> None:
    last = f"g{MAX_GROUPS - 1:03}"
    admin.add(grant(f"group:{last}", "a"))
    found = principals.find("sub:s", [f"g{number:03}" for number in range(MAX_GROUPS + 20)])
    assert found is not None
    assert found.collections == frozenset({"a"})


def test_a_grant_comes_back_as_it_was_given(admin: PrincipalAdmin) -> None:
    given = [
        Grant("group:g", None, 1, 2, "G", int(NOON)),
        grant("key:k", "a", "b", requests_per_day=0, owns_key=True, created_at=int(NOON)),
        grant("key:l", "a", writable=frozenset({"a"}), created_at=int(NOON)),
        Grant("key:m", None, writable=None, created_at=int(NOON)),
        grant("sub:s", created_at=int(NOON)),
    ]
    for one in given:
        assert admin.add(one)
    assert [one for one, _ in admin.list(USAGE)] == given
    assert admin.get("key:k") == given[1]


def test_a_grant_is_replaced_only_when_that_is_meant(admin: PrincipalAdmin) -> None:
    admin.add(grant("key:k", "a"))
    assert not admin.add(grant("key:k", "b"))
    assert admin.get("key:k") == grant("key:k", "a", created_at=int(NOON))
    assert admin.add(grant("key:k", "b"), replace=True)
    assert admin.get("key:k") == grant("key:k", "b", created_at=int(NOON))


def test_a_revoked_grant_is_gone_for_the_next_request(principals: DynamoPrincipals, admin: PrincipalAdmin) -> None:
    admin.add(grant("key:k", "a", owns_key=True))
    assert principals.find("key:k") is not None
    removed = admin.revoke("key:k")
    assert removed is not None
    assert removed.owns_key
    assert principals.find("key:k") is None
    assert admin.revoke("key:k") is None


class Throttled:
    """A throttled table: batches come back unprocessed, writes are refused."""

    calls = 0

    def batch_get_item(self, RequestItems: Any) -> Any:  # noqa: N803 - boto3's name
        self.calls += 1
        return {"Responses": {}, "UnprocessedKeys": RequestItems}

    def update_item(self, **_: Any) -> Any:
        raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "UpdateItem")


def test_a_throttled_table_is_unavailable_at_once() -> None:
    throttled: Any = Throttled()
    principals = DynamoPrincipals(throttled, TABLE, USAGE, max_in_flight=1, longest_s=30)
    with pytest.raises(Unavailable, match="throttled"):
        principals.find("key:k", ["g"])
    assert throttled.calls == 2
    for write in (principals.charge, lambda principal: principals.reserve(principal, 1)):
        with pytest.raises(Unavailable, match="ProvisionedThroughputExceeded"):
            write(Principal("key:k"))
