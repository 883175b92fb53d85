"""`docwell principals`, against DynamoDB and API Gateway in process."""

from __future__ import annotations

import json
import time
from typing import Any

import boto3
import pytest

from docwell.access.authorizer import Authorizer
from docwell.adapters.dynamodb.principals import DynamoApiKeys, PrincipalAdmin
from docwell.errors import Unauthenticated, Unavailable
from docwell.identity import Rule
from infra.local.names import PRINCIPALS_SCHEMA, USAGE_SCHEMA
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import FakeApi

DAY_S = 86_400
TABLE, USAGE = "the-principals", "their-use"


class Cloud:
    def __init__(self) -> None:
        dynamodb = boto3.client("dynamodb")
        dynamodb.create_table(TableName=TABLE, **PRINCIPALS_SCHEMA)
        dynamodb.create_table(TableName=USAGE, **USAGE_SCHEMA)
        self.gateway: Any = boto3.client("apigateway")
        self.admin = PrincipalAdmin(dynamodb, TABLE)
        self.stored = DynamoApiKeys(dynamodb, TABLE)
        self.now = time.time()

    def caller(self, value: str) -> str | None:
        """Return the principal that the authorizer finds for a key, None for a key that it denies."""
        try:
            return Authorizer(self.stored, clock=lambda: self.now).identify([("x-api-key", value)]).identity.id
        except Unauthenticated:
            return None

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
    ],
)
def test_a_subject_or_group_needs_no_key(run: Run, cloud: Cloud, option: str, value: str, id_: str) -> None:
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
        *(["--all", "--expires", wrong] for wrong in ("soon", "-1d", "9", "1w", "4000d", "9999999999d")),
        ["--all", "--jwt-subject", "s", "--expires", "1d"],
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


def test_an_existing_key_is_adopted_with_its_end(run: Run, cloud: Cloud) -> None:
    made = cloud.gateway.create_api_key(name="of another application", enabled=True)
    options = ["--api-key-id", made["id"], "--expires", "30d"]
    assert run("principals", "add", "A", "--all", *options).exit_code == 0
    assert cloud.caller(made["value"]) == f"key:{made['id']}"
    cloud.now += 31 * DAY_S
    assert cloud.caller(made["value"]) is None
    assert run("principals", "add", "A", "--all", "--api-key-id", "absent").exit_code == 1
    assert cloud.admin.get("key:absent") is None


def test_revoke_leaves_a_key_that_was_there_before(run: Run, cloud: Cloud) -> None:
    key = cloud.gateway.create_api_key(name="of another application", enabled=True)["id"]
    assert run("principals", "revoke", f"key:{key}").exit_code == 1  # not a principal of docwell
    run("principals", "add", "A", "--all", "--api-key-id", key)
    assert run("principals", "rotate", "A").exit_code == 0
    assert run("principals", "revoke", f"key:{key}").exit_code == 0
    assert (list(cloud.keys()), cloud.stored.list()) == ([key], [])


def test_a_changed_grant_still_goes_with_its_key(run: Run, cloud: Cloud) -> None:
    id_ = json.loads(run("principals", "add", "A", "--all", "--json").stdout)["id"]
    change = ["--collections", "a", "--api-key-id", id_.removeprefix("key:"), "--replace"]
    assert run("principals", "add", "A", *change).exit_code == 0
    assert run("principals", "revoke", id_).exit_code == 0
    assert cloud.keys() == {}


@pytest.mark.parametrize("options", [[], ["--jwt-group", "staff"]])
def test_replace_finds_the_grant_by_its_name_and_makes_no_key(run: Run, cloud: Cloud, options: list[str]) -> None:
    first = json.loads(run("principals", "add", "app", "--all", *options, "--json").stdout)
    run("principals", "add", "other", "--all")
    keys = cloud.keys()
    change = ["--collections", "a", "--requests-per-day", "5", "--replace"]
    for name in ("app", first["id"]):
        result = run("principals", "add", name, *change)
        assert result.exit_code == 0, result.output
        assert "API key: " not in result.output
    assert cloud.keys() == keys
    assert len(cloud.admin.grants()) == 2
    changed = cloud.admin.get(first["id"])
    assert changed is not None
    assert (changed.label, changed.requests_per_day, changed.collections) == ("app", 5, frozenset({"a"}))
    assert changed.owns_key == (not options)


def test_replace_needs_one_grant_of_the_name(run: Run, cloud: Cloud) -> None:
    missing = run("principals", "add", "app", "--all", "--replace")
    assert (missing.exit_code, cloud.keys()) == (1, {})
    assert "leave out --replace" in missing.stderr
    ids = [json.loads(run("principals", "add", "app", "--all", "--json").stdout)["id"] for _ in range(2)]
    several = run("principals", "add", "app", "--collections", "a", "--replace")
    assert (several.exit_code, len(cloud.keys())) == (1, 2)
    assert all(id_ in several.stderr for id_ in ids)
    assert [grant.collections for grant in cloud.admin.grants()] == [None, None]


@pytest.mark.parametrize("named", [True, False])
def test_a_replaced_grant_refuses_an_end_for_the_key_that_it_keeps(run: Run, cloud: Cloud, named: bool) -> None:
    id_ = json.loads(run("principals", "add", "app", "--all", "--json").stdout)["id"]
    options = [] if named else ["--api-key-id", id_.removeprefix("key:")]
    result = run("principals", "add", "app", "--collections", "a", *options, "--replace", "--expires", "1d")
    assert result.exit_code == 2
    assert "rotate" in result.stderr
    assert [grant.collections for grant in cloud.admin.grants()] == [None]


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


def test_a_key_with_an_end_stops_then(run: Run, cloud: Cloud) -> None:
    made = json.loads(run("principals", "add", "A", "--all", "--expires", "12h", "--json").stdout)
    assert cloud.caller(made["api_key"]) == made["id"]
    assert abs(made["keys"][0]["ends_at"] - cloud.now - DAY_S / 2) < 60
    cloud.now += DAY_S / 2 + 60
    assert cloud.caller(made["api_key"]) is None


def test_rotation_overlaps_and_keeps_the_principal(run: Run, cloud: Cloud) -> None:
    plan = cloud.gateway.create_usage_plan(name="p")["id"]
    first = json.loads(run("principals", "add", "app", "--all", "--usage-plan", plan, "--json").stdout)
    result = run("principals", "rotate", "app", "--overlap", "7d", "--usage-plan", plan, "--json")
    second = json.loads(result.stdout)
    assert second["id"] == first["id"]
    assert [key["ends_at"] is None for key in second["keys"]] == [True, False]
    assert len(cloud.gateway.get_usage_plan_keys(usagePlanId=plan)["items"]) == 2
    listed = run("principals", "list")
    assert "never" in listed.stdout
    assert "UTC" in listed.stdout
    assert second["api_key"] not in listed.output
    values = first["api_key"], second["api_key"]
    assert [cloud.caller(value) for value in values] == [first["id"]] * 2
    cloud.now += 7 * DAY_S + 60
    assert [cloud.caller(value) for value in values] == [None, first["id"]]


def test_a_leaked_key_ends_at_once(run: Run, cloud: Cloud) -> None:
    first = json.loads(run("principals", "add", "app", "--all", "--json").stdout)
    result = run("principals", "rotate", first["id"], "--overlap", "0m")
    assert result.exit_code == 0, result.output
    cloud.now = time.time() + 1
    assert cloud.caller(first["api_key"]) is None
    assert result.stdout.count("API key: ") == 1


def test_a_second_rotation_never_prolongs_a_key_and_removes_ended_ones(run: Run, cloud: Cloud) -> None:
    first = json.loads(run("principals", "add", "app", "--all", "--json").stdout)
    for overlap in ("0m", "1h", "9d"):
        assert run("principals", "rotate", "app", "--overlap", overlap).exit_code == 0
    ends = sorted((key.ends_at or 0) - cloud.now for key in cloud.stored.list())
    assert len(ends) == 3  # the first key ended and is gone
    assert abs(ends[1] - 3_600) < 60
    assert abs(ends[2] - 9 * DAY_S) < 60
    assert first["api_key"] not in cloud.keys().values()
    run("principals", "revoke", first["id"])
    assert (cloud.keys(), cloud.stored.list()) == ({}, [])


def test_rotate_needs_one_principal_with_a_key(run: Run, cloud: Cloud) -> None:
    for options in (["--jwt-subject", "s"], [], []):
        run("principals", "add", "same", "--all", *options)
    run("principals", "add", "person", "--all", "--jwt-subject", "p")
    before = cloud.keys()
    for name in ("same", "person", "sub:p", "absent"):
        assert run("principals", "rotate", name).exit_code == 1
    assert run("principals", "rotate", "same", "--overlap", "soon").exit_code == 2
    assert cloud.keys() == before


def test_a_key_that_cannot_be_stored_does_not_stay(
    run: Run, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = json.loads(run("principals", "add", "app", "--all", "--json").stdout)

    def put(*_: object) -> None:
        raise Unavailable("principals", "down")

    with monkeypatch.context() as down:
        down.setattr(DynamoApiKeys, "put", put)
        for command in (("rotate", "app"), ("add", "other", "--all")):
            result = run("principals", *command)
            assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert list(cloud.keys().values()) == [first["api_key"]]
    assert cloud.caller(first["api_key"]) == first["id"]


def test_adopt_stores_the_keys_of_an_earlier_release(run: Run, cloud: Cloud) -> None:
    made = json.loads(run("principals", "add", "app", "--all", "--json").stdout)
    run("principals", "add", "people", "--all", "--jwt-group", "staff")
    for key in cloud.stored.list():
        cloud.stored.remove(key)
    assert cloud.caller(made["api_key"]) is None
    assert run("principals", "adopt").stdout == f"{made['id']} is stored\n"
    assert cloud.caller(made["api_key"]) == made["id"]
    assert run("principals", "adopt").stdout == ""


def test_a_key_that_api_gateway_lacks_does_not_keep_the_others_from_being_adopted(run: Run, cloud: Cloud) -> None:
    gone, kept = (json.loads(run("principals", "add", name, "--all", "--json").stdout) for name in ("a", "b"))
    for key in cloud.stored.list():
        cloud.stored.remove(key)
    cloud.gateway.delete_api_key(apiKey=gone["id"].removeprefix("key:"))
    result = run("principals", "adopt")
    assert (result.exit_code, result.stdout) == (1, f"{kept['id']} is stored\n")
    assert "1 of the keys are not stored" in result.stderr
    assert cloud.caller(kept["api_key"]) == kept["id"]


def test_an_unknown_name_is_told_where_names_are(run: Run, cloud: Cloud) -> None:
    result = run("principals", "rotate", "bob")
    assert result.exit_code == 1
    assert "there is no principal 'bob': `docwell principals list` lists them" in result.stderr
