"""Grants to a prefix or a tag: each route shows exactly the documents that an independent oracle allows.

Random documents, tags and grants; the real handler, ledger and principals on moto. Every document has a unique
word in its key, title, tags and text.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from docwell.adapters.dynamodb import ledger
from docwell.adapters.dynamodb.principals import Grant
from docwell.identity import Rule
from docwell.models import Attributes
from docwell.query.retrieval import scope
from tests.unit.cases import rows

from .isolation_world import QUESTION, Person, Reply, World, isolated_world

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

FOLDERS = ("amber/2025/", "amber/2026/", "amber/2026/drafts/", "birch/2026/", "birch/", "", "/lead/")
TEAMS = ("legal", "sales")
ABSENT = "grove/2026/nothing.pdf"
READER = Person(
    "reader", {"authorizer": {"principalId": "sub:reader", "groups": '["first", "second"]'}}, frozenset()
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with isolated_world(tmp_path, filled=False) as world:
        yield world


class Library:
    """The documents with their tags, and what the reader's grants allow, by the words of the documentation."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.tags: dict[str, dict[str, str]] = {}
        self.grants: dict[str, tuple[frozenset[str] | None, frozenset[Rule]]] = {}
        self.words: dict[str, str] = {}
        for number in range(14):
            word = f"word{number:02}kept"
            key = f"{self.random.choice(FOLDERS)}{word}.pdf"
            self.words[key] = word
            self.tag(key)

    def tag(self, key: str, tags: dict[str, str] | None = None) -> None:
        chosen = {name: self.random.choice(TEAMS) for name in ("team", "owner") if self.random.random() < 0.6}
        self.tags[key] = chosen if tags is None else tags
        word = self.words[key]
        self.world.add(key, word, Attributes(title=f"title {word}", tags={**self.tags[key], "secret": word}))

    def grant(self, id_: str, collections: frozenset[str] | None, rules: frozenset[Rule]) -> None:
        self.grants[id_] = (collections, rules)
        self.world.admin.add(Grant(id_, collections, rules=rules), replace=True)

    def grant_at_random(self, id_: str) -> None:
        whole = frozenset(name for name in ("amber", "birch", "default") if self.random.random() < 0.15)
        self.grant(id_, whole, frozenset(self._rule() for _ in range(self.random.randrange(3))))

    def _rule(self) -> Rule:
        while True:
            key = self.random.choice(list(self.tags))
            prefix = self.random.choice(
                ["", key[: self.random.randrange(1, len(key))], self.random.choice(FOLDERS)]
            )
            team = [("team", self.random.choice(TEAMS))] if self.random.random() < 0.5 else []
            rule = Rule(self.random.choice([None, "amber", "birch", "default"]), prefix, frozenset(team))
            if rule != Rule(None):  # an empty rule would grant everything
                return rule

    def allowed(self) -> set[str]:
        return {key for key in self.tags if any(self._allows(*grant, key) for grant in self.grants.values())}

    def _allows(self, collections: frozenset[str] | None, rules: frozenset[Rule], key: str) -> bool:
        home = home_of(key)
        return (
            collections is None or home in collections or any(self._rule_allows(rule, key, home) for rule in rules)
        )

    def _rule_allows(self, rule: Rule, key: str, home: str) -> bool:
        if rule.collection is not None and rule.collection != home:
            return False
        if key[: len(rule.prefix)] != rule.prefix:
            return False
        return all(self.tags[key].get(name) == value for name, value in rule.tags)

    def send(self, method: str, path: str, body: Any = None, **query: Any) -> Reply:
        reply = self.world.ask(READER.context, method, path, body, **query)
        assert reply.status < 500, reply.everything
        output = reply.everything + "\n".join(reply.prompts)
        request = f"{path} {body} {query}"
        allowed = self.allowed()
        hidden = [word for key, word in self.words.items() if key not in allowed]
        leaks = [word for word in hidden if word in output and word not in request]
        assert not leaks, (method, path, body, query, leaks)
        return reply

    def check(self) -> None:
        """Check every route against the oracle."""
        allowed = self.allowed()
        assert set(self.listed()) == allowed
        self.check_documents(allowed)
        self.check_questions(allowed)
        self.check_collections(allowed)

    def listed(self, **query: Any) -> list[str]:
        names: list[str] = []
        cursor = None
        limit = str(self.random.randint(1, 9))
        while True:
            reply = self.send("GET", "/v1/documents", cursor=cursor, limit=limit, **query)
            assert reply.status == 200, reply.body
            names += [row["document"] for row in reply.body["documents"]]
            cursor = reply.body["cursor"]
            if cursor is None:
                assert len(names) == len(set(names))
                return names

    def check_documents(self, allowed: set[str]) -> None:
        missing = self.send("GET", f"/v1/documents/{quote(ABSENT, safe='')}")
        absent = self.send("POST", "/v1/query", {"question": QUESTION, "document": ABSENT})
        assert (missing.status, absent.status) == (404, 404)
        for key in self.random.sample(sorted(self.tags), 5):
            shown = self.send("GET", f"/v1/documents/{quote(key, safe='')}")
            asked = self.send("POST", "/v1/query", {"question": QUESTION, "document": key})
            if key in allowed:
                assert (shown.status, shown.body["document"]) == (200, key)
                assert [citation["document"] for citation in asked.body["citations"]] == [key]
            else:
                assert shown.comparable() == missing.comparable()
                assert asked.comparable() == absent.comparable()

    def check_questions(self, allowed: set[str]) -> None:
        assert self.cited() == allowed
        assert self.cited(filter={"prefix": "amber/2026/"}) == {k for k in allowed if k.startswith("amber/2026/")}
        legal = {key for key in allowed if self.tags[key].get("team") == "legal"}
        assert self.cited(filter={"tags": {"team": "legal"}}) == legal

    def cited(self, **body: Any) -> set[str]:
        reply = self.send("POST", "/v1/query", {"question": QUESTION, "top_k": 20, **body})
        assert reply.status == 200, reply.body
        self.answer_id = self.world.last_id
        assert self.send("GET", f"/v1/receipts/{self.answer_id}").status == 200
        return {citation["document"] for citation in reply.body["citations"]}

    def check_collections(self, allowed: set[str]) -> None:
        absent = self.send("POST", "/v1/query", {"question": QUESTION, "collection": "grove"})
        assert absent.status == 404
        for name in ("amber", "birch", "default"):
            own = {key for key in allowed if home_of(key) == name}
            reply = self.send("POST", "/v1/query", {"question": QUESTION, "collection": name, "top_k": 20})
            if own:
                assert {citation["document"] for citation in reply.body["citations"]} == own
                assert set(self.listed(collection=name)) == own
            else:
                assert reply.comparable() == absent.comparable()


def home_of(key: str) -> str:
    return key.split("/", maxsplit=1)[0] or "default" if "/" in key else "default"


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))])
def test_every_route_shows_what_the_grants_allow_and_nothing_else(world: World, seed: int) -> None:
    library = Library(world, seed)
    for id_ in ("sub:reader", "group:first", "group:second"):
        library.grant_at_random(id_)
    library.check()
    for key in library.random.sample(sorted(library.tags), 6):
        library.tag(key)
    library.check()  # the next request follows the new tags


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_grants_hold_where_the_ledger_is_too_large_to_be_read_for_a_question(
    world: World, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scope, "MOST_ROWS", 2)
    monkeypatch.setattr(scope, "_FIRST_ROWS", 1)
    monkeypatch.setattr(ledger, "_ROWS_AT_ONCE", 3)
    library = Library(world, seed)
    for id_ in ("sub:reader", "group:first"):
        library.grant_at_random(id_)
    allowed = library.allowed()
    assert set(library.listed()) == allowed
    library.check_documents(allowed)
    assert library.cited() == allowed


def test_a_removed_tag_hides_a_document_and_its_receipt_at_the_next_request(world: World) -> None:
    library = Library(world, 1)
    key = min(library.tags)
    library.tag(key, {"team": "legal"})
    for other in set(library.tags) - {key}:
        library.tag(other, {})
    library.grant("sub:reader", frozenset(), frozenset({Rule(None, "", frozenset({("team", "legal")}))}))
    assert library.cited() == {key}
    id_ = library.answer_id
    assert library.send("GET", f"/v1/receipts/{id_}").status == 200
    assert library.send("POST", f"/v1/receipts/{id_}/replay").status == 200
    library.tag(key, {"team": "sales"})
    assert library.cited() == set()
    assert library.listed() == []
    assert library.send("GET", f"/v1/receipts/{id_}").status == 404
    assert library.send("POST", f"/v1/receipts/{id_}/replay").status == 404


def test_a_listing_that_would_pass_too_many_foreign_documents_is_refused_without_a_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_READS", 2)
    monkeypatch.setattr(ledger, "_ROWS_AT_ONCE", 1)
    library = Library(world, 1)
    for key in library.tags:
        library.tag(key, {})
    library.grant("sub:reader", frozenset(), frozenset({Rule("amber", "", frozenset({("team", "legal")}))}))
    reply = library.send("GET", "/v1/documents", collection="amber")
    assert reply.status == 400
    assert "prefix" in reply.body["detail"]


def test_a_rule_that_cannot_be_read_grants_nothing(world: World) -> None:
    library = Library(world, 2)
    library.grant("sub:reader", frozenset(), frozenset())
    table = world.admin._table
    row = table.get({"principal": "sub:reader", "item": "grant"})
    assert row is not None
    for stored in rows(__file__, "unreadable_rules"):
        for rules in ([stored], {"amber": stored}, stored):
            table.put({**row, "rules": rules})
            assert library.listed() == [], rules
