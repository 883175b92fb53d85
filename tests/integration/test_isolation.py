"""No principal sees another's collections: each request of isolation_requests.toml through the real handler.

`make test` sends each request for each person; `make test-all` also sends 10,000 in random order, with
DOCWELL_ISOLATION_SEED as the seed.
"""

from __future__ import annotations

import json
import os
import random
import re
import tomllib
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from docwell.adapters.aws import client
from docwell.adapters.dynamodb.audit import DynamoAudit
from docwell.adapters.dynamodb.principals import Grant
from docwell.audit import Action
from infra.local.names import AUDIT_TABLE

from .isolation_world import (
    DOCUMENTS_EACH,
    OPERATOR,
    PEOPLE,
    QUESTION,
    UNKNOWN_CALLERS,
    Person,
    Reply,
    World,
    failed,
    isolated_world,
    key,
    with_key,
    word,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
Row = dict[str, Any]
ROWS: dict[str, list[Row]] = tomllib.loads(Path(__file__).with_name("isolation_requests.toml").read_text())
SEED = int(os.environ.get("DOCWELL_ISOLATION_SEED", "20261125"))
# As long as the names of real collections, so that only their existence differs.
ABSENT = ("grove", "heath", "inlet", "jungle", "kelpie", "lagoon")


def each(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", ROWS[kind], ids=lambda row: row["case"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world whose documents and people no test changes."""
    with isolated_world(tmp_path_factory.mktemp("isolation")) as world:
        yield world


def send(world: World, person: Person, row: Row, name: str, number: int = 0) -> Reply:
    """Send the request of a row for a collection, and check that no data of others comes back."""
    method, path, body, query = filled_in(row, person, name, number)
    reply = world.ask(person.context, method, path, body, **query)
    if uri := body["params"].get("uri") if isinstance(body, dict) and "params" in body else None:
        # MCP's error repeats the address that the request has.
        shown = json.loads(json.dumps(reply.body).replace(uri, ""))
        reply = replace(reply, body=shown, everything=reply.everything.replace(uri, ""))
    # A request may name anything; its prompt must hold none of it.
    prompts = "\n".join(reply.prompts)
    output = reply.everything.lower()
    leaks = [name for name in person.hidden if name in output or re.search(rf"{name}\d+kept", prompts)]
    assert not leaks, f"{row['case']} of {person.name}: {method} {path} {body} {query}: {leaks}"
    assert reply.status < 500, f"{row['case']} of {person.name}: {reply.everything}"
    return reply


def filled_in(row: Row, person: Person, name: str, number: int) -> tuple[str, str, Any, dict[str, str]]:
    """Return (method, path, body, query) with a row's placeholders replaced."""
    own = sorted(person.collections)[number % len(person.collections)] if person.collections else name
    document, mine = key(name, number), key(own, number)
    place = {"collection": {"S": own}, "document": {"S": document}, "pipeline": {"S": "p"}}
    values = {
        "name": name,
        "NAME": name.upper(),
        "own": own,
        "document": document,
        "mine": mine,
        "word": word(name, number),
        "my-word": word(own, number),
        "question": QUESTION,
        "slashed": quote(document),
        "quoted": quote(document, safe=""),
        "my-quoted": quote(mine, safe=""),
        "twice": quote(quote(document, safe=""), safe=""),
        "forged": urlsafe_b64encode(json.dumps(place).encode()).decode(),
    }
    filled = json.loads(re.sub(r"<([\w-]+)>", lambda match: values[match[1]], json.dumps(row)))
    method, path, *bodies = filled["request"]
    row["shown"] = filled.get("shows", "")
    body = bodies[0] if bodies else None
    if path in ("/v1/query", "/v1/search") and isinstance(body, dict):
        body = {"question": QUESTION, **body}
    if path == "/v1/mcp":
        body = {"jsonrpc": "2.0", "id": 1, "params": {}, **(body or {})}
    return method, path, body, filled.get("query", {})


def names_a_collection(row: Row) -> bool:
    """Return whether a request names a collection or a document of its caller."""
    request = str((row["request"], row.get("query")))
    return any(name in request for name in ("<own>", "<mine>", "<my-quoted>"))


def check_foreign(world: World, person: Person, row: Row, name: str, absent: str) -> None:
    foreign, missing = send(world, person, row, name), send(world, person, row, absent)
    assert foreign.status == row["status"], foreign.body
    assert foreign.comparable() == missing.comparable()
    assert foreign.prompts == ()


def check_own(world: World, person: Person, row: Row, number: int) -> None:
    reply = send(world, person, row, "none", number)
    assert reply.status == 200, reply.body
    assert (row["shown"] in reply.everything) is bool(person.collections), reply.body


@each("foreign")
def test_data_of_another_principal_is_answered_like_data_that_does_not_exist(world: World, row: Row) -> None:
    position = ROWS["foreign"].index(row)
    for number in (position, position + 1):
        person = PEOPLE[number % len(PEOPLE)]
        place = number % len(person.hidden)
        check_foreign(world, person, row, person.hidden[place], ABSENT[place])


@each("own")
def test_a_principal_sees_only_the_documents_of_its_collections(world: World, row: Row) -> None:
    for number, person in enumerate(PEOPLE):
        if person.collections or not names_a_collection(row):
            check_own(world, person, row, number)


@each("wrong")
def test_an_error_names_no_collection_of_others(world: World, row: Row) -> None:
    for person in PEOPLE:
        assert 400 <= send(world, person, row, person.hidden[0]).status < 500


@pytest.mark.parametrize("row", ROWS["foreign"] + ROWS["own"], ids=lambda row: row["case"])
def test_an_unknown_caller_gets_401_on_every_route(world: World, row: Row) -> None:
    context = UNKNOWN_CALLERS[len(row["case"]) % len(UNKNOWN_CALLERS)]
    assert send(world, Person("unknown caller", context, frozenset()), row, "amber").status == 401


@pytest.mark.slow
def test_no_principal_sees_data_of_others_in_10_000_random_requests(world: World) -> None:
    chance = random.Random(SEED)
    for _ in range(10_000 // 2):
        person, row = chance.choice(PEOPLE), chance.choice(ROWS["foreign"] + ROWS["own"])
        if "status" in row:
            check_foreign(world, person, row, chance.choice(person.hidden), chance.choice(ABSENT))
        elif person.collections:
            check_own(world, person, row, chance.randrange(DOCUMENTS_EACH))


def test_a_receipt_of_another_principal_is_answered_like_one_that_does_not_exist(world: World) -> None:
    asked = {"case": "ask", "request": ["POST", "/v1/query", {}]}
    send(world, PEOPLE[0], asked, "none")
    receipt = world.last_id
    absent = "0" * 8 + receipt[8:]
    requests: list[list[Any]] = [
        ["GET", "/v1/receipts/ID"],
        ["POST", "/v1/receipts/ID/replay"],
        ["POST", "/v1/feedback", {"request_id": "ID", "verdict": "bad"}],
    ]
    for request in requests:
        foreign, missing = (
            world.ask(PEOPLE[1].context, *json.loads(json.dumps(request).replace("ID", id_)))
            for id_ in (receipt, absent)
        )
        assert str(foreign.comparable()).replace(receipt, absent) == str(missing.comparable())
        assert (foreign.status, '"Feedback"' in foreign.everything) == (404, False)
    assert world.ask(PEOPLE[0].context, "GET", f"/v1/receipts/{receipt}").status == 200


def test_a_listing_continues_only_for_its_caller(world: World) -> None:
    reader, thief, names, cursor = PEOPLE[0], PEOPLE[1], list[str](), None
    while cursor or not names:
        query = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = send(world, reader, {"case": "list", "request": ["GET", "/v1/documents"], "query": query}, "none")
        names += [document["document"] for document in page.body["documents"]]
        cursor = page.body["cursor"]
        if cursor:
            stolen = {"case": "stolen cursor", "request": ["GET", "/v1/documents"], "query": {"cursor": cursor}}
            assert send(world, thief, stolen, "none").status == 400
    expected = [key(name, n) for name in reader.collections for n in range(DOCUMENTS_EACH)]
    assert sorted(names) == sorted([*expected, *map(failed, reader.collections)])


def test_only_an_operator_sees_dead_letters_and_only_those_of_its_collections(world: World) -> None:
    for person in PEOPLE:
        show, redrive = (
            send(world, person, {"case": "operate", "request": request}, "none")
            for request in (["GET", "/v1/operations"], ["POST", "/v1/operations/redrive"])
        )
        if person.name != OPERATOR:
            assert (show.status, redrive.status) == (403, 403)
            continue
        shown = [letter["document"] for letter in show.body["dead_letters"]["failed"]]
        assert sorted(shown) == sorted(map(failed, person.collections))
        assert (redrive.status, redrive.body) == (200, {"redriven": 0, "waiting": 0})


def test_a_revoked_collection_is_gone_from_the_next_request_and_from_receipts(world: World) -> None:
    person = with_key("five", "cedar", "dahlia")
    world.admin.add(Grant("key:five", person.collections))
    body = {"question": QUESTION, "collection": "cedar", "top_k": 3}
    assert world.ask(person.context, "POST", "/v1/query", body).body["citations"]
    receipt = world.last_id
    requests: list[list[Any]] = [
        ["GET", f"/v1/receipts/{receipt}"],
        ["POST", f"/v1/receipts/{receipt}/replay"],
        ["POST", "/v1/query", body],
        ["GET", "/v1/documents"],
        ["GET", f"/v1/documents/{quote(key('cedar', 0), safe='')}"],
    ]

    def statuses(*collections: str) -> list[int]:
        person = with_key("five", *collections)
        return [send(world, person, {"case": "after", "request": row}, "none").status for row in requests]

    world.admin.add(Grant("key:five", frozenset({"dahlia"})), replace=True)
    assert statuses("dahlia") == [404, 404, 404, 200, 404]
    world.admin.revoke("key:five")
    assert set(statuses()) == {401}


def test_the_audit_trail_has_each_link_that_was_given_and_no_other(world: World) -> None:
    trail = DynamoAudit(client("dynamodb"), AUDIT_TABLE)
    before = len(trail.events())
    for collection in ("amber", "cedar"):
        path = f"/v1/documents/{quote(key(collection, 0), safe='')}"
        for query in ({}, {"link": "true"}):
            send(world, PEOPLE[0], {"case": "link", "request": ["GET", path], "query": query}, "none")
    (event,) = trail.events()[before:]
    assert (event.actor, event.action, event.documents) == ("key:one", Action.READ, frozenset({key("amber", 0)}))


def test_these_checks_detect_a_leak_on_every_route(world: World) -> None:
    everything = PEOPLE[0].context | {"authorizer": {"principalId": "sub:one"}}
    impostor = Person("impostor", everything, frozenset({"amber"}))  # it may read all collections
    for row in ROWS["own"]:
        if not names_a_collection(row):
            with pytest.raises(AssertionError, match="impostor"):
                send(world, impostor, row, "none")
