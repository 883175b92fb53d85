"""Random requests of the people of the isolated world; each answer is checked for data of others."""

from __future__ import annotations

import json
import os
import random
import re
import uuid
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from .isolation_world import (
    COLLECTIONS,
    DOCUMENTS_EACH,
    PEOPLE,
    QUESTION,
    UNKNOWN_CALLERS,
    Person,
    Reply,
    World,
    forbidden,
    key,
    listed,
    word,
)

SEED = int(os.environ.get("DOCWELL_ISOLATION_SEED", "20261125"))
# As long as the names of real collections, so that only their existence differs.
ABSENT = ("grove", "heath", "inlet", "jungle", "kelpie", "lagoon")


class Attack:
    """Sends random requests of one person after the other, and checks each answer for data of others."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = random.Random(SEED)
        self.sent = 0
        self.logged = False
        self.kinds: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()

    def send(self, person: Person, kind: str, method: str, path: str, body: Any = None, **query: Any) -> Reply:
        reply = self.world.ask(person.context, method, path, body, **query)
        self.sent += 1
        self.kinds[kind] += 1
        self.statuses[reply.status] += 1
        self.logged = self.logged or '"message":"problem"' in reply.everything
        others = forbidden(person.collections)
        out = reply.everything.lower()
        # A request may name anything; its prompt must hold none of it.
        given = "\n".join(reply.prompts)
        leaks = [name for name in others if name in out or re.search(rf"{name}\d+kept", given)]
        assert not leaks, f"request {self.sent} ({kind}) of {person.name}: {method} {path} {body} {query}: {leaks}"
        assert reply.status < 500, f"request {self.sent} ({kind}): {reply.everything}"
        return reply

    def alike(self, person: Person, kind: str, request: Callable[[str], tuple[Any, ...]], status: int) -> None:
        """Check that data of others is answered like missing data: the same bytes except for the request id."""
        theirs, absent = self.foreign(person), self.random.choice(ABSENT)
        told = []
        for collection in (theirs, absent):
            method, path, body, query = request(collection)
            told.append(self.send(person, kind, method, path, body, **query).told())
        assert told[0] == told[1], (person.name, kind, theirs)
        assert told[0][0] == status, (kind, told[0])

    def foreign(self, person: Person) -> str:
        return self.random.choice([name for name in COLLECTIONS if name not in person.collections])

    def own(self, person: Person) -> str | None:
        return self.random.choice(sorted(person.collections)) if person.collections else None

    # --- the requests ---

    def asks(self, person: Person) -> None:
        body: dict[str, Any] = {"question": QUESTION, "top_k": self.random.randint(1, 20)}
        chosen = self.random.randrange(4)
        own = self.own(person)
        if chosen == 1 and own:
            body["collection"] = own
        elif chosen == 2 and own:
            body["collections"] = sorted(person.collections)
        elif chosen == 3 and own:
            body["document"] = key(own, self.random.randrange(DOCUMENTS_EACH))
        if self.random.random() < 0.2:
            body["history"] = [{"question": f"of {self.foreign(person)}?", "answer": "none"}]
            body["question"] = f"{QUESTION} in all collections"
        if self.random.random() < 0.3:
            body["stream"] = True
        reply = self.send(person, "ask", "POST", "/v1/query", body)
        assert reply.status == 200, reply.body
        answer = reply.body["answer"] if "stream" in body else reply.body
        if person.collections:
            assert answer["status"] == "answered", (body, answer, reply.prompts[-1:])
            assert answer["citations"]
        if "history" not in body:  # a receipt may repeat the name from the history
            person.receipts.append(self.world.last_id)

    def asks_with_a_filter(self, person: Person) -> None:
        number = self.random.randrange(DOCUMENTS_EACH)
        everywhere = self.random.choice(
            [
                {"title": "title"},
                {"author": "author of"},
                {"created_from": "2026-01-01"},
                {"tags": {"stage": "final"}},
                {"metadata": {"number": str(number)}},
            ]
        )
        body = {"question": QUESTION, "top_k": 20, "filter": everywhere}
        reply = self.send(person, "ask with a filter", "POST", "/v1/query", body)
        assert reply.status == 200, reply.body
        assert reply.body["status"] == ("answered" if person.collections else "refused"), reply.body
        own = self.own(person)
        if own:
            mine = self.random.choice(
                [
                    {"prefix": f"{own}/"},
                    {"documents": [key(own, number)]},
                    {"title": word(own, number)},
                    {"tags": {"secret": word(own, number)}},
                    {"metadata": {"Owner": own}},
                ]
            )
            reply = self.send(person, "ask with a filter", "POST", "/v1/query", {**body, "filter": mine})
            assert reply.status == 200, reply.body
            assert {one["document"].split("/")[0] for one in reply.body["citations"]} == {own}

    def asks_for_others_with_a_filter(self, person: Person) -> None:
        number = self.random.randrange(DOCUMENTS_EACH)
        # The receipt of the request repeats its filter, so check only what comes back.
        wanted: list[tuple[Callable[[str], dict[str, Any]], int]] = [
            (lambda name: {"prefix": f"{name}/"}, 200),
            (lambda name: {"prefix": name}, 200),
            (lambda name: {"prefix": key(name, number)}, 200),
            (lambda name: {"title": word(name, number)}, 200),
            (lambda name: {"author": name}, 200),
            (lambda name: {"tags": {"secret": word(name, number)}}, 200),
            (lambda name: {"metadata": {"owner": name}}, 200),
            (lambda name: {"documents": [key(name, number)]}, 404),
            (lambda name: {"documents": [key(self.own(person) or name, 0), key(name, number)]}, 404),
        ]
        of, status = self.random.choice(wanted)
        told = []
        for name in (self.foreign(person), self.random.choice(ABSENT)):
            body = {"question": QUESTION, "filter": of(name)}
            reply = self.send(person, "filter for others", "POST", "/v1/query", body)
            assert reply.status == status, reply.body
            if status == 200:
                assert (reply.body["status"], reply.body["citations"], reply.prompts) == ("refused", [], ())
                reply.body.pop("timings_ms")
                reply.body.pop("cost")
            told.append(reply.told())
        assert told[0] == told[1]

    def lists_by_prefix(self, person: Person) -> None:
        own = self.own(person)
        if own:
            reply = self.send(person, "list by prefix", "GET", "/v1/documents", prefix=f"{own}/")
            names = [row["document"] for row in reply.body["documents"]]
            assert names == listed(own)
        self.alike(
            person,
            "list of others by prefix",
            lambda name: ("GET", "/v1/documents", None, {"prefix": self.random.choice((f"{name}/", name))}),
            200,
        )

    def asks_of_others(self, person: Person) -> None:
        own, number = self.own(person), self.random.randrange(DOCUMENTS_EACH)
        bodies: list[Callable[[str], dict[str, Any]]] = [
            lambda name: {"collection": name},
            lambda name: {"collections": [name]},
            lambda name: {"collections": [own or name, name]},
            lambda name: {"document": key(name, number)},
            lambda name: {"document": key(name, number), "collection": name},
        ]
        if own:
            bodies.append(lambda name: {"document": key(name, number), "collection": own})
        more = self.random.choice(bodies)
        history = [{"question": QUESTION, "answer": "no"}] if self.random.random() < 0.2 else []
        self.alike(
            person,
            "ask of others",
            lambda name: ("POST", "/v1/query", {"question": QUESTION, "history": history, **more(name)}, {}),
            404,
        )

    def asks_in_other_words(self, person: Person) -> None:
        name = self.foreign(person)
        strange = [
            f" {name}",
            f"{name} ",
            name.upper(),
            f"{name}/",
            f"/{name}",
            f"{name}\0",
            "*",
            "..",
            f"default/{name}",
        ]
        body = {"question": QUESTION, "collection": self.random.choice(strange)}
        assert self.send(person, "ask in other words", "POST", "/v1/query", body).status == 404

    def lists(self, person: Person) -> None:
        own = self.own(person) if self.random.random() < 0.5 else None
        limit, seen, cursor = self.random.randint(1, 5), [], None
        while True:
            reply = self.send(
                person, "list", "GET", "/v1/documents", collection=own, cursor=cursor, limit=str(limit)
            )
            assert reply.status == 200, reply.body
            seen += [row["document"] for row in reply.body["documents"]]
            cursor = reply.body["cursor"]
            if cursor is None:
                break
            person.cursors.append(cursor)
        names = [own] if own else sorted(person.collections)
        assert seen == [document for name in names for document in listed(name)]

    def lists_of_others(self, person: Person) -> None:
        status = self.random.choice([None, "INDEXED", "DELETED"])
        replies = [
            self.send(person, "list of others", "GET", "/v1/documents", collection=name, status=status)
            for name in (self.foreign(person), self.random.choice(ABSENT))
        ]
        assert replies[0].told() == replies[1].told()

    def lists_with_a_stolen_cursor(self, person: Person) -> None:
        others = [other for other in PEOPLE if other.cursors and not other.collections & person.collections]
        own = self.own(person)
        if others and self.random.random() < 0.5:
            cursor = self.random.choice(self.random.choice(others).cursors)
            reply = self.send(
                person, "stolen cursor", "GET", "/v1/documents", cursor=cursor, collection=own, limit="3"
            )
            assert reply.status == 400, reply.body
            return

        def forged(name: str) -> str:
            place = {"collection": {"S": own or name}, "document": {"S": key(name, 0)}, "pipeline": {"S": "p"}}
            return urlsafe_b64encode(json.dumps(place).encode()).decode()

        self.alike(
            person, "forged cursor", lambda name: ("GET", "/v1/documents", None, {"cursor": forged(name)}), 400
        )

    def looks_at(self, person: Person) -> None:
        own = self.own(person)
        if own:
            name = key(own, self.random.randrange(DOCUMENTS_EACH))
            link = self.random.choice([None, "true"])
            reply = self.send(person, "document", "GET", f"/v1/documents/{quote(name, safe='')}", link=link)
            assert (reply.status, reply.body["document"]) == (200, name)
            assert bool(reply.body["link"]) == bool(link)

    def looks_at_others(self, person: Person) -> None:
        own, number = self.own(person), self.random.randrange(DOCUMENTS_EACH)
        paths: list[Callable[[str], str]] = [
            lambda name: quote(key(name, number), safe=""),
            lambda name: quote(key(name, number)),
            lambda name: quote(quote(key(name, number), safe=""), safe=""),
            lambda name: quote(f"{own}/../{key(name, number)}", safe=""),
            lambda name: f"{own}%2F..%2F{quote(key(name, number))}",
            lambda name: quote(f"/{key(name, number)}", safe=""),
            lambda name: quote(key(name, number).upper(), safe=""),
        ]
        path, method = self.random.choice(paths), self.random.choice(["GET", "GET", "DELETE"])
        query = self.random.choice([{}, {"link": "true"}])
        self.alike(
            person, "document of others", lambda name: (method, f"/v1/documents/{path(name)}", None, query), 404
        )

    def uploads_to_others(self, person: Person) -> None:
        self.alike(
            person,
            "upload to others",
            lambda name: ("POST", "/v1/uploads", {"document": key(name, 0), "size": 9}, {}),
            403,
        )

    def looks_at_receipts(self, person: Person) -> None:
        others = [id_ for other in PEOPLE if other is not person for id_ in other.receipts[-20:]]
        if not others:
            return
        ids = (self.random.choice(others), str(uuid.UUID(int=self.random.getrandbits(128))))
        requests: list[Callable[[str], tuple[str, str, Any]]] = [
            lambda id_: ("GET", f"/v1/receipts/{id_}", None),
            lambda id_: ("POST", f"/v1/receipts/{id_}/replay", None),
            lambda id_: ("POST", "/v1/feedback", {"request_id": id_, "verdict": "bad"}),
        ]
        request = self.random.choice(requests)
        told = []
        for id_ in ids:
            reply = self.send(person, "receipt of others", *request(id_))
            told.append(tuple(str(part).replace(id_, "ID") for part in reply.told()))
        assert told[0] == told[1]
        if person.receipts and self.random.random() < 0.3:
            mine = self.random.choice(person.receipts[-20:])
            assert self.send(person, "receipt", "GET", f"/v1/receipts/{mine}").status == 200

    def errs(self, person: Person) -> None:
        name = self.foreign(person)
        requests: list[tuple[str, str, Any]] = [
            ("POST", "/v1/query", {"question": QUESTION, "collection": [name]}),
            ("POST", "/v1/query", {"question": QUESTION, "collection": name, "collections": [name]}),
            ("POST", "/v1/query", {"question": QUESTION, "top_k": 10_000, "collection": name}),
            ("POST", "/v1/query", {"question": "", "document": key(name, 0)}),
            ("POST", "/v1/query", f'{{"question": "{QUESTION}", "collection": "{name}"'),
            ("GET", f"/v1/{name}", None),
            ("GET", f"/v1/documents/{name}", None),
            ("GET", f"/v2/documents/{quote(key(name, 0))}", None),
            ("DELETE", f"/v1/documents/{quote(key(name, 0))}", None),
        ]
        assert 400 <= self.send(person, "error", *self.random.choice(requests)).status < 500

    def is_unknown(self, person: Person) -> None:
        unknown = Person("unknown caller", self.random.choice(UNKNOWN_CALLERS), frozenset())
        requests: list[tuple[str, str, Any]] = [
            ("POST", "/v1/query", {"question": QUESTION}),
            ("POST", "/v1/query", {"question": QUESTION, "collection": self.random.choice(COLLECTIONS)}),
            ("GET", "/v1/documents", None),
            ("GET", f"/v1/documents/{quote(key(self.random.choice(COLLECTIONS), 0))}", None),
            ("GET", "/v1/receipts/request-00000000", None),
            ("POST", "/v1/feedback", {"request_id": "request-00000000", "verdict": "good"}),
        ]
        assert self.send(unknown, "unknown caller", *self.random.choice(requests)).status == 401

    def reads_what_is_public(self, person: Person) -> None:
        path = self.random.choice(["/v1/health", "/v1/openapi.json"])
        assert self.send(person, "public", "GET", path).status == 200


# Weights: expensive requests come less often.
MOVES: list[tuple[Callable[[Attack, Person], None], int]] = [
    (Attack.asks, 8),
    (Attack.asks_of_others, 12),
    (Attack.asks_with_a_filter, 4),
    (Attack.asks_for_others_with_a_filter, 8),
    (Attack.lists_by_prefix, 4),
    (Attack.asks_in_other_words, 4),
    (Attack.lists, 4),
    (Attack.lists_of_others, 8),
    (Attack.lists_with_a_stolen_cursor, 8),
    (Attack.looks_at, 6),
    (Attack.looks_at_others, 14),
    (Attack.uploads_to_others, 4),
    (Attack.looks_at_receipts, 6),
    (Attack.errs, 8),
    (Attack.is_unknown, 6),
    (Attack.reads_what_is_public, 1),
]
