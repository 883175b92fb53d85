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
FOLDER = Rule("a", "a/2026/")
TAGGED = Rule(None, "", frozenset({("team", "legal"), ("stage", "final")}))


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
def admin(table: Any) -> PrincipalAdmin:
    return PrincipalAdmin(table, TABLE, Clock(NOON))


def grant(id_: str, *collections: str, **fields: Any) -> Grant:
    return Grant(id_, frozenset(collections), **fields)


def principal(id_: str, *collections: str, **fields: Any) -> Principal:
    return Principal(id_, frozenset(collections), **fields)


def test_a_caller_has_the_rights_of_its_grant_and_of_its_groups_and_no_others(
    principals: DynamoPrincipals, admin: PrincipalAdmin
) -> None:
    assert principals.find("key:k", ["g"]) is None
    admin.add(grant("sub:s", "a", label="S", rules=frozenset({FOLDER})))
    admin.add(grant("group:g", "b", "c", rules=frozenset({FOLDER, TAGGED})))
    admin.add(grant("group:other", "d"))
    admin.add(Grant("group:admins", None))
    both = frozenset({FOLDER, TAGGED})
    assert principals.find("sub:s") == principal("sub:s", "a", label="S", rules=frozenset({FOLDER}))
    assert principals.find("sub:s", ["g"]) == principal("sub:s", "a", "b", "c", label="S", rules=both)
    assert principals.find("sub:new", ["g"]) == principal("sub:new", "b", "c", rules=both)
    administrator, member = principals.find("sub:s", ["admins"]), principals.find("sub:s")
    assert administrator is not None
    assert member is not None
    assert (administrator.may_read("anything"), member.may_read("anything")) == (True, False)


def test_rights_to_write_are_put_together_and_a_row_without_them_has_none(
    principals: DynamoPrincipals, admin: PrincipalAdmin
) -> None:
    admin.add(grant("sub:s", "a", writable=frozenset({"a"})))
    admin.add(grant("group:g", "b", writable=frozenset({"b"})))
    admin.add(Grant("group:admins", None, writable=None))
    admin.add(Grant("group:readers", None))
    writable = {
        groups: caller.writable
        for groups in [(), ("g",), ("admins", "g"), ("readers",)]
        if (caller := principals.find("sub:s", groups))
    }
    alone = frozenset({"a"})
    assert writable == {(): alone, ("g",): alone | {"b"}, ("admins", "g"): None, ("readers",): alone}
    reader = principals.find("sub:new", ["readers"])
    assert reader is not None
    assert (reader.may_write("a"), reader.operates) == (False, False)
    admin.add(grant("group:operators", operates=True))
    operator = principals.find("sub:new", ["operators"])
    assert operator is not None
    assert operator.operates


def test_a_row_with_neither_all_nor_collections_grants_nothing(principals: DynamoPrincipals, table: Any) -> None:
    table.put_item(TableName=TABLE, Item={"principal": {"S": "key:k"}, "item": {"S": "grant"}})
    assert principals.find("key:k") == principal("key:k")


@pytest.mark.parametrize(
    ("caller", "first", "second", "expected"),
    [(5, 10, 20, 5), (None, 10, 20, 20), (None, 10, None, None), (0, 10, 20, 0)],
)
def test_the_callers_quota_wins_or_else_the_largest_of_its_groups(
    principals: DynamoPrincipals,
    admin: PrincipalAdmin,
    caller: int | None,
    first: int | None,
    second: int | None,
    expected: int | None,
) -> None:
    for id_, quota in (("sub:s", caller), ("group:1", first), ("group:2", second)):
        admin.add(grant(id_, "a", requests_per_day=quota))
    assert principals.find("sub:s", ["1", "2"]) == principal("sub:s", "a", requests_per_day=expected)


def test_the_rights_of_all_groups_of_a_token_are_read(principals: DynamoPrincipals, admin: PrincipalAdmin) -> None:
    admin.add(grant(f"group:g{MAX_GROUPS - 1:03}", "a"))
    groups = [f"g{number:03}" for number in range(MAX_GROUPS + 20)]
    assert principals.find("sub:s", groups) == principal("sub:s", "a")


def test_a_grant_comes_back_as_it_was_stored_and_is_replaced_only_on_request(admin: PrincipalAdmin) -> None:
    grants = [
        Grant("group:g", None, frozenset(), 1, 2, "G", created_at=int(NOON)),
        grant("key:k", "a", "b", requests_per_day=0, owns_key=True, created_at=int(NOON)),
        grant("key:l", "a", writable=frozenset({"a"}), created_at=int(NOON)),
        Grant("key:m", None, writable=None, created_at=int(NOON)),
        grant("sub:s", created_at=int(NOON)),
    ]
    assert all(map(admin.add, grants))
    assert [stored for stored, _ in admin.list(USAGE)] == grants
    assert not admin.add(grant("key:k", "b"))
    assert admin.get("key:k") == grants[1]
    assert admin.add(grant("key:k", "b"), replace=True)
    assert admin.get("key:k") == grant("key:k", "b", created_at=int(NOON))


def test_a_revoked_grant_is_gone_for_the_next_request(principals: DynamoPrincipals, admin: PrincipalAdmin) -> None:
    admin.add(grant("key:k", "a", owns_key=True))
    assert principals.find("key:k") is not None
    admin.revoke("key:k")
    assert principals.find("key:k") is None


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
    assert throttled.calls == 3
    for write in (principals.charge, lambda caller: principals.reserve(caller, 1)):
        with pytest.raises(Unavailable, match="ProvisionedThroughputExceeded"):
            write(Principal("key:k"))
