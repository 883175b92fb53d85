"""`docwell principals`, against DynamoDB and API Gateway in process."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from docwell.adapters.dynamodb.principals import PrincipalAdmin
from docwell.identity import Rule
from infra.local.names import PRINCIPALS_SCHEMA, USAGE_SCHEMA
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import FakeApi

TABLE, USAGE = "the-principals", "their-use"


class Cloud:
    def __init__(self) -> None:
        dynamodb = boto3.client("dynamodb")
        dynamodb.create_table(TableName=TABLE, **PRINCIPALS_SCHEMA)
        dynamodb.create_table(TableName=USAGE, **USAGE_SCHEMA)
        self.gateway: Any = boto3.client("apigateway")
        self.admin = PrincipalAdmin(dynamodb, TABLE)

    def keys(self) -> dict[str, str]:
        """Return the values of the API keys by id."""
        return {key["id"]: key["value"] for key in self.gateway.get_api_keys(includeValues=True)["items"]}


@pytest.fixture
def cloud(aws: None, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.setenv("DOCWELL_PRINCIPALS_TABLE", TABLE)
    monkeypatch.setenv("DOCWELL_USAGE_TABLE", USAGE)
    return Cloud()


def test_add_makes_a_key_and_shows_it_once(run: Run, cloud: Cloud) -> None:
    result = run("principals", "add", "Finance", "--collections", "money, law", "--requests-per-day", "9")
    assert result.exit_code == 0, result.output
    ((id_, value),) = cloud.keys().items()
    assert value in result.stdout
    found = cloud.admin.get(f"key:{id_}")
    assert found is not None
    assert (found.collections, found.requests_per_day, found.label) == (frozenset({"money", "law"}), 9, "Finance")
    listed = run("principals", "list")
    assert f"key:{id_}" in listed.stdout
    assert "0 of 9" in listed.stdout
    assert value not in listed.output


def rule(collection: str | None, prefix: str, **tags: str) -> Rule:
    return Rule(collection, prefix, frozenset(tags.items()))


@pytest.mark.parametrize(
    ("options", "collections", "rules", "shown"),
    [
        (["--prefix", "a/2026/"], [], [rule("a", "a/2026/")], "a/2026/…"),
        (["--prefix", "a", "--collections", "b"], ["b"], [rule(None, "a")], "b, a…"),
        (["--prefix", "/a/"], [], [rule("default", "/a/")], "/a/…"),
        (["--all", "--tag", "t=x=y"], [], [rule(None, "", t="x=y")], "all collections with t=x=y"),
        (
            ["--collections", "b,c", "--prefix", "a/", "--tag", "t=x", "--tag", "u=y"],
            [],
            [rule("a", "a/", t="x", u="y"), rule("b", "", t="x", u="y"), rule("c", "", t="x", u="y")],
            "a/… with t=x with u=y, b with t=x with u=y, c with t=x with u=y",
        ),
    ],
)
def test_a_grant_can_be_narrower_than_a_collection(
    run: Run, cloud: Cloud, options: list[str], collections: list[str], rules: list[Rule], shown: str
) -> None:
    result = run("principals", "add", "A", "--jwt-subject", "s", *options)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"sub:s may read {shown}\n"
    found = cloud.admin.get("sub:s")
    assert found is not None
    assert (found.collections, found.rules) == (frozenset(collections), frozenset(rules))
    (listed,) = json.loads(run("principals", "list", "--json").stdout)["principals"]
    assert listed["collections"] == collections
    stored = [Rule(one["collection"], one["prefix"], frozenset(one["tags"].items())) for one in listed["rules"]]
    assert sorted(map(repr, stored)) == sorted(map(repr, rules))


@pytest.mark.parametrize(
    ("options", "writable", "shown"),
    [
        (["--write", "b,c", "--write", "a"], ["a", "b", "c"], "a, b, c"),
        (["--write-all"], None, "all collections"),
    ],
)
def test_a_grant_to_write_is_apart_from_that_to_read(
    run: Run, cloud: Cloud, options: list[str], writable: list[str] | None, shown: str
) -> None:
    result = run("principals", "add", "A", "--jwt-subject", "s", "--collections", "a", *options)
    assert result.stdout == f"sub:s may read a, and may write {shown}\n"
    assert run("principals", "add", "B", "--jwt-subject", "t", "--collections", "a").exit_code == 0
    listed = json.loads(run("principals", "list", "--json").stdout)["principals"]
    assert [one["writable"] for one in listed] == [writable, []]


def test_two_grants_to_write_contradict_each_other(run: Run, cloud: Cloud) -> None:
    result = run("principals", "add", "A", "--all", "--write", "a", "--write-all")
    assert result.exit_code == 2
    assert cloud.keys() == {}


def test_add_puts_the_key_into_the_usage_plan(run: Run, cloud: Cloud) -> None:
    plan = cloud.gateway.create_usage_plan(name="p")["id"]
    result = run("principals", "add", "A", "--all", "--usage-plan", plan, "--json")
    made = json.loads(result.stdout)
    (key,) = cloud.gateway.get_usage_plan_keys(usagePlanId=plan)["items"]
    assert made["id"] == f"key:{key['id']}"
    assert (made["collections"], made["api_key"]) == (None, cloud.keys()[key["id"]])


def test_a_key_that_cannot_get_its_grant_does_not_stay(run: Run, cloud: Cloud) -> None:
    result = run("principals", "add", "A", "--all", "--table", "none")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert cloud.keys() == {}


@pytest.mark.parametrize(
    ("option", "value", "id_"),
    [
        ("--jwt-subject", "auth0|7", "sub:auth0|7"),
        ("--jwt-group", "staff", "group:staff"),
        ("--api-key-id", "k7", "key:k7"),
    ],
)
def test_an_existing_subject_group_or_key_needs_no_new_key(
    run: Run, cloud: Cloud, option: str, value: str, id_: str
) -> None:
    result = run("principals", "add", "A", "--collections", "a", option, value)
    assert result.exit_code == 0, result.output
    assert cloud.admin.get(id_) is not None
    assert cloud.keys() == {}
    again = run("principals", "add", "A", "--collections", "b", option, value)
    assert again.exit_code == 1
    assert "--replace" in again.stderr
    assert run("principals", "add", "A", "--collections", "b", option, value, "--replace").exit_code == 0
    changed = cloud.admin.get(id_)
    assert changed is not None
    assert changed.collections == frozenset({"b"})


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["--all", "--collections", "a"],
        ["--collections", " , "],
        ["--collections", "a/b"],
        ["--tag", "team=legal"],
        ["--all", "--prefix", "a/"],
        ["--all", "--tag", "team"],
        ["--prefix", ""],
        ["--prefix", "é" * 513],
        ["--all", "--jwt-subject", "s", "--jwt-group", "g"],
        ["--all", "--jwt-group", "a,b"],
        ["--all", "--jwt-subject", "a b"],
        ["--all", "--requests-per-day", "-1"],
    ],
)
def test_a_contradictory_grant_is_refused_and_makes_nothing(run: Run, cloud: Cloud, wrong: list[str]) -> None:
    assert run("principals", "add", "A", *wrong).exit_code == 2
    assert (cloud.keys(), cloud.admin.list(USAGE)) == ({}, [])


def test_revoke_deletes_the_key_that_add_made(run: Run, cloud: Cloud) -> None:
    id_ = json.loads(run("principals", "add", "A", "--all", "--json").stdout)["id"]
    result = run("principals", "revoke", id_)
    assert result.exit_code == 0, result.output
    assert (cloud.keys(), cloud.admin.list(USAGE)) == ({}, [])
    assert run("principals", "revoke", id_).exit_code == 1


def test_revoke_leaves_a_key_that_was_there_before(run: Run, cloud: Cloud) -> None:
    key = cloud.gateway.create_api_key(name="of another application", enabled=True)["id"]
    assert run("principals", "revoke", f"key:{key}").exit_code == 1  # not a principal of docwell
    run("principals", "add", "A", "--all", "--api-key-id", key)
    assert run("principals", "revoke", f"key:{key}").exit_code == 0
    assert list(cloud.keys()) == [key]


def test_a_changed_grant_still_goes_with_its_key(run: Run, cloud: Cloud) -> None:
    id_ = json.loads(run("principals", "add", "A", "--all", "--json").stdout)["id"]
    change = ["--collections", "a", "--api-key-id", id_.removeprefix("key:"), "--replace"]
    assert run("principals", "add", "A", *change).exit_code == 0
    assert run("principals", "revoke", id_).exit_code == 0
    assert cloud.keys() == {}


@pytest.mark.parametrize(
    ("named", "missing"),
    [(("--usage-table", "u"), "DOCWELL_PRINCIPALS_TABLE"), (("--table", "p"), "DOCWELL_USAGE_TABLE")],
)
def test_without_a_table_the_error_says_how_to_name_one(
    run: Run, api: FakeApi, named: tuple[str, ...], missing: str
) -> None:
    result = run("principals", "list", *named, api=api)
    assert result.exit_code == 2
    assert missing in result.stderr


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_caller_learns_how_to_give_a_key(run: Run, api: FakeApi, status: int) -> None:
    api.answer = (status, {"title": "Who is asking?"})
    result = run("ask", "why?", api=api)
    assert result.exit_code == 1
    assert "DOCWELL_API_KEY" in result.stderr
