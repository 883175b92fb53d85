"""`docwell principals`, against DynamoDB and API Gateway in process."""

from __future__ import annotations

import json
import time
from typing import Any

import boto3
import pytest

from docwell.access.authorizer import Authorizer
from docwell.adapters.dynamodb.principals import DynamoApiKeys, Grant, PrincipalAdmin
from docwell.errors import Unauthenticated, Unavailable
from docwell.identity import Rule
from infra.local.names import PRINCIPALS_SCHEMA, USAGE_SCHEMA
from tests.unit.cases import rows
from tests.unit.cli.conftest import Run

DAY_S = 86_400
TABLE, USAGE = "the-principals", "their-use"


class Cloud:
    def __init__(self, run: Run) -> None:
        dynamodb = boto3.client("dynamodb")
        dynamodb.create_table(TableName=TABLE, **PRINCIPALS_SCHEMA)
        dynamodb.create_table(TableName=USAGE, **USAGE_SCHEMA)
        self.gateway: Any = boto3.client("apigateway")
        self.admin = PrincipalAdmin(dynamodb, TABLE)
        self.stored = DynamoApiKeys(dynamodb, TABLE)
        self.now = time.time()
        self._run = run

    def add(self, name: str, *options: str) -> dict[str, Any]:
        """Return the JSON of a new principal, which may read everything."""
        created: dict[str, Any] = json.loads(
            self._run("principals", "add", name, "--all", *options, "--json").stdout
        )
        return created

    def grant(self, id_: str) -> Grant:
        grant = self.admin.get(id_)
        assert grant is not None
        return grant

    def caller(self, value: str) -> str | None:
        """Return the principal that the authorizer finds for a key, None for a key that it denies."""
        try:
            return (
                Authorizer(self.stored.find, clock=lambda: self.now).identify([("x-api-key", value)]).identity.id
            )
        except Unauthenticated:
            return None

    def keys(self) -> dict[str, str]:
        """Return the values of the API keys by id."""
        return {key["id"]: key["value"] for key in self.gateway.get_api_keys(includeValues=True)["items"]}


@pytest.fixture
def cloud(aws: None, run: Run, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.setenv("DOCWELL_PRINCIPALS_TABLE", TABLE)
    monkeypatch.setenv("DOCWELL_USAGE_TABLE", USAGE)
    return Cloud(run)


def rule(collection: str | None, prefix: str, **tags: str) -> Rule:
    return Rule(collection, prefix, frozenset(tags.items()))


# --- grants ---


def test_add_makes_a_key_and_shows_it_once(run: Run, cloud: Cloud) -> None:
    result = run("principals", "add", "Finance", "--collections", "money, law", "--requests-per-day", "9")
    assert result.exit_code == 0, result.output
    ((id_, value),) = cloud.keys().items()
    assert value in result.stdout
    grant = cloud.grant(f"key:{id_}")
    assert (grant.collections, grant.requests_per_day, grant.label) == (frozenset({"money", "law"}), 9, "Finance")
    listed = run("principals", "list")
    assert f"key:{id_}" in listed.stdout
    assert "0 of 9" in listed.stdout
    assert value not in listed.output


@pytest.mark.parametrize(("options", "collections", "rules", "shown"), rows(__file__, "narrow_grants"))
def test_a_grant_can_be_narrower_than_a_collection(
    run: Run, cloud: Cloud, options: list[str], collections: list[str], rules: list[Any], shown: str
) -> None:
    result = run("principals", "add", "A", "--jwt-subject", "s", *options)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"sub:s may read {shown}\n"
    grant = cloud.grant("sub:s")
    expected = frozenset(rule(collection, prefix, **tags) for collection, prefix, tags in rules)
    assert (grant.collections, grant.rules) == (frozenset(collections), expected)
    (listed,) = json.loads(run("principals", "list", "--json").stdout)["principals"]
    assert listed["collections"] == collections
    stored = {Rule(row["collection"], row["prefix"], frozenset(row["tags"].items())) for row in listed["rules"]}
    assert stored == expected


@pytest.mark.parametrize(
    ("options", "writable", "shown"),
    [
        (["--write", "b,c", "--write", "a"], ["a", "b", "c"], ", and may write a, b, c"),
        (["--write-all"], None, ", and may write all collections"),
        ([], [], ""),
    ],
)
def test_a_grant_to_write_is_separate_from_one_to_read(
    run: Run, cloud: Cloud, options: list[str], writable: list[str] | None, shown: str
) -> None:
    result = run("principals", "add", "A", "--jwt-subject", "s", "--collections", "a", *options)
    assert result.stdout == f"sub:s may read a{shown}\n"
    (listed,) = json.loads(run("principals", "list", "--json").stdout)["principals"]
    assert listed["writable"] == writable


@pytest.mark.parametrize("options", rows(__file__, "contradictory_grants"))
def test_a_contradictory_grant_is_refused_and_makes_nothing(run: Run, cloud: Cloud, options: list[str]) -> None:
    assert run("principals", "add", "A", *options).exit_code == 2
    assert (cloud.keys(), cloud.admin.list(USAGE)) == ({}, [])


@pytest.mark.parametrize(
    ("option", "value", "id_"),
    [("--jwt-subject", "auth0|7", "sub:auth0|7"), ("--jwt-group", "staff", "group:staff")],
)
def test_a_subject_or_group_needs_no_key(run: Run, cloud: Cloud, option: str, value: str, id_: str) -> None:
    assert run("principals", "add", "A", "--collections", "a", option, value).exit_code == 0
    again = run("principals", "add", "A", "--collections", "b", option, value)
    assert (again.exit_code, "--replace" in again.stderr) == (1, True)
    assert run("principals", "add", "A", "--collections", "b", option, value, "--replace").exit_code == 0
    assert (cloud.grant(id_).collections, cloud.keys()) == (frozenset({"b"}), {})


@pytest.mark.parametrize("options", [[], ["--jwt-group", "staff"]])
def test_replace_changes_the_grant_of_an_id_and_makes_no_key(run: Run, cloud: Cloud, options: list[str]) -> None:
    first = cloud.add("app", *options)
    keys = cloud.keys()
    change = ("--collections", "a", "--requests-per-day", "5", "--replace")
    result = run("principals", "add", first["id"], *change)
    assert result.exit_code == 0, result.output
    assert "API key: " not in result.output
    assert run("principals", "add", "app", *change).exit_code == 1
    assert (cloud.keys(), len(cloud.admin.grants())) == (keys, 1)
    grant = cloud.grant(first["id"])
    assert (grant.label, grant.requests_per_day, grant.collections) == ("app", 5, frozenset({"a"}))
    assert grant.owns_key == (not options)


# --- keys ---


def test_a_key_whose_grant_or_hash_cannot_be_stored_does_not_stay(
    run: Run, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as wrong:
        wrong.setenv("DOCWELL_PRINCIPALS_TABLE", "none")
        result = run("principals", "add", "A", "--all")
    assert (result.exit_code, len(result.stderr.splitlines()), cloud.keys()) == (1, 1, {})
    first = cloud.add("app")

    def put(*_: object) -> None:
        raise Unavailable("principals", "down")

    with monkeypatch.context() as down:
        down.setattr(DynamoApiKeys, "put", put)
        for command in (("rotate", first["id"]), ("add", "other", "--all")):
            result = run("principals", *command)
            assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert list(cloud.keys().values()) == [first["api_key"]]
    assert cloud.caller(first["api_key"]) == first["id"]


def test_revoke_deletes_the_key_that_add_made_also_after_a_change(run: Run, cloud: Cloud) -> None:
    id_ = cloud.add("A")["id"]
    assert run("principals", "add", id_, "--collections", "a", "--replace").exit_code == 0
    assert run("principals", "revoke", id_).exit_code == 0
    assert (cloud.keys(), cloud.admin.list(USAGE)) == ({}, [])
    assert run("principals", "revoke", id_).exit_code == 1


def test_revoke_leaves_the_key_of_another_application(run: Run, cloud: Cloud) -> None:
    created = cloud.gateway.create_api_key(name="of another application", enabled=True)
    id_ = f"key:{created['id']}"
    assert run("principals", "revoke", id_).exit_code == 1  # not a principal of docwell
    cloud.admin.add(Grant(id_, None, label="A"))
    assert run("principals", "rotate", id_).exit_code == 0
    assert run("principals", "revoke", id_).exit_code == 0
    assert (list(cloud.keys()), cloud.stored.list()) == ([created["id"]], [])


def test_a_key_with_an_end_stops_then(cloud: Cloud) -> None:
    created = cloud.add("A", "--expires", "12h")
    assert cloud.caller(created["api_key"]) == created["id"]
    assert abs(created["keys"][0]["ends_at"] - cloud.now - DAY_S / 2) < 60
    cloud.now += DAY_S / 2 + 60
    assert cloud.caller(created["api_key"]) is None


def test_rotation_overlaps_and_keeps_the_principal(
    run: Run, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = cloud.gateway.create_usage_plan(name="p")["id"]
    monkeypatch.setenv("DOCWELL_USAGE_PLAN", plan)
    first = cloud.add("app")
    result = run("principals", "rotate", first["id"], "--overlap", "7d", "--json")
    second = json.loads(result.stdout)
    assert second["id"] == first["id"]
    assert [key["ends_at"] is None for key in second["keys"]] == [True, False]
    assert len(cloud.gateway.get_usage_plan_keys(usagePlanId=plan)["items"]) == 2
    listed = run("principals", "list")
    assert all(text in listed.stdout for text in ("never", "UTC"))
    assert second["api_key"] not in listed.output
    values = first["api_key"], second["api_key"]
    assert [cloud.caller(value) for value in values] == [first["id"]] * 2
    cloud.now += 7 * DAY_S + 60
    assert [cloud.caller(value) for value in values] == [None, first["id"]]


def test_a_leaked_key_ends_at_once_and_a_later_rotation_prolongs_no_key(run: Run, cloud: Cloud) -> None:
    first = cloud.add("app")
    result = run("principals", "rotate", first["id"], "--overlap", "0m")
    assert result.stdout.count("API key: ") == 1
    cloud.now = time.time() + 1
    assert cloud.caller(first["api_key"]) is None
    for overlap in ("1h", "9d"):
        assert run("principals", "rotate", first["id"], "--overlap", overlap).exit_code == 0
    ends = sorted((key.ends_at or 0) - cloud.now for key in cloud.stored.list())
    assert len(ends) == 3  # the first key ended and is gone
    assert abs(ends[1] - 3_600) < 60
    assert abs(ends[2] - 9 * DAY_S) < 60
    assert first["api_key"] not in cloud.keys().values()
    run("principals", "revoke", first["id"])
    assert (cloud.keys(), cloud.stored.list()) == ({}, [])


def test_a_key_of_its_own_needs_no_api_gateway(run: Run, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_API_GATEWAY", "http://127.0.0.1:9")
    first = cloud.add("app", "--key", "--expires", "12h")
    second = json.loads(run("principals", "rotate", first["id"], "--overlap", "1h", "--json").stdout)
    assert {cloud.caller(first["api_key"]), cloud.caller(second["api_key"])} == {first["id"]}
    assert first["api_key"] not in json.dumps(cloud.stored._table._client.scan(TableName=TABLE)["Items"])
    assert run("principals", "revoke", first["id"]).exit_code == 0
    assert (cloud.caller(second["api_key"]), cloud.keys(), cloud.stored.list()) == (None, {}, [])
    assert run("principals", "add", "p", "--all", "--jwt-subject", "p", "--key").exit_code == 2


def test_rotate_needs_a_principal_with_a_key(run: Run, cloud: Cloud) -> None:
    id_ = cloud.add("app")["id"]
    cloud.add("person", "--jwt-subject", "p")
    keys = cloud.keys()
    for name in ("app", "sub:p"):
        assert run("principals", "rotate", name).exit_code == 1
    assert run("principals", "rotate", id_, "--overlap", "soon").exit_code == 2
    assert cloud.keys() == keys


def test_a_trail_that_cannot_be_written_hides_no_key_and_keeps_none(
    run: Run, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCWELL_AUDIT_TABLE", "gone")
    results = [run("principals", "add", "reader", "--all")]
    (id_,) = cloud.keys()
    results.append(run("principals", "rotate", f"key:{id_}"))
    values = {*cloud.keys().values()}
    results.append(run("principals", "revoke", f"key:{id_}"))
    shown = "".join(result.stdout for result in results)
    assert len(values) == 2
    assert all(value in shown for value in values)
    assert cloud.keys() == {}
    assert [result.exit_code for result in results] == [1, 1, 1]
    assert all("not recorded in the audit trail" in result.stderr for result in results)
