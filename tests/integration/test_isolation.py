"""Principal A never sees principal B's collections: randomised requests through the real handler.

`make test` sends 1,000 and `make test-all` 10,000. DOCWELL_ISOLATION_SEED chooses which.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from docwell.adapters.aws import client
from docwell.adapters.dynamodb.audit import DynamoAudit
from docwell.adapters.dynamodb.principals import Grant
from docwell.audit import Action
from infra.local.names import AUDIT_TABLE

from .isolation_attack import MOVES, Attack
from .isolation_endpoints import ENDPOINT_MOVES
from .isolation_world import (
    PEOPLE,
    QUESTION,
    Person,
    World,
    isolated_world,
    key,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[World]:
    with isolated_world(monkeypatch, tmp_path, lambda: "".join(capsys.readouterr())) as found:
        yield found


@pytest.mark.parametrize("requests", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_no_principal_ever_sees_a_document_of_another(world: World, requests: int) -> None:
    attack = Attack(world)
    moves, weights = zip(*MOVES, *ENDPOINT_MOVES, strict=True)
    while attack.sent < requests:
        person = attack.random.choice(PEOPLE)
        attack.random.choices(moves, weights)[0](attack, person)
    assert attack.logged  # otherwise the search in the logs proves nothing
    # A run sends every kind of request, and people get answers.
    assert len(attack.kinds) == 32, attack.kinds
    assert attack.statuses[200] > requests / 10, attack.statuses


def test_a_collection_that_is_taken_away_is_gone_from_the_next_request_on_receipts_too(world: World) -> None:
    attack, before = Attack(world), PEOPLE[1]
    body = {"question": QUESTION, "collection": "cedar", "top_k": 3}
    assert attack.send(before, "ask", "POST", "/v1/query", body).body["citations"]
    id_ = world.last_id
    assert attack.send(before, "receipt", "GET", f"/v1/receipts/{id_}").status == 200
    world.admin.add(Grant("key:two", frozenset({"dahlia"})), replace=True)
    now = Person("two", before.context, frozenset({"dahlia"}))
    requests: list[tuple[str, str, Any]] = [
        ("GET", f"/v1/receipts/{id_}", None),
        ("POST", f"/v1/receipts/{id_}/replay", None),
        ("POST", "/v1/query", body),
        ("GET", "/v1/documents", None),
        ("GET", f"/v1/documents/{quote(key('cedar', 0), safe='')}", None),
    ]
    statuses = [attack.send(now, "after", *request).status for request in requests]
    assert statuses == [404, 404, 404, 200, 404]
    world.admin.revoke("key:two")
    revoked = Person("two", before.context, frozenset())
    assert {attack.send(revoked, "revoked", *request).status for request in requests} <= {401}


def test_the_trail_has_each_link_that_was_given_and_no_other(world: World) -> None:
    attack, person = Attack(world), PEOPLE[0]
    for collection in ("amber", "cedar"):
        path = f"/v1/documents/{quote(key(collection, 0), safe='')}"
        for link in (None, "true"):
            attack.send(person, "link", "GET", path, link=link)
    (event,) = DynamoAudit(client("dynamodb"), AUDIT_TABLE).events()
    assert (event.actor, event.action, event.documents) == ("key:one", Action.READ, frozenset({key("amber", 0)}))


def test_the_attack_would_see_a_leak(world: World) -> None:
    """Check that the attack sees every leak, with a caller who may read all, judged as one who may not."""
    everything = PEOPLE[0].context | {"authorizer": {"principalId": "sub:one"}}
    impostor = Person("impostor", everything, frozenset({"amber"}))
    attack, asked = Attack(world), {"role": "user", "content": QUESTION}
    for request in (
        ("POST", "/v1/query", {"question": QUESTION, "top_k": 20}),
        ("GET", "/v1/documents", None),
        ("GET", f"/v1/documents/{quote(key('cedar', 0), safe='')}", None),
        ("POST", "/v1/search", {"question": QUESTION, "top_k": 20}),
        ("GET", "/v1/models", None),
        (
            "POST",
            "/v1/chat/completions",
            {"model": "docwell", "messages": [asked]},
        ),
        ("POST", "/v1/mcp", {"jsonrpc": "2.0", "id": 1, "method": "resources/list"}),
    ):
        with pytest.raises(AssertionError, match="impostor"):
            attack.send(impostor, "leak", *request)
