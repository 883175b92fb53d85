"""Random requests to the other endpoints: search, OpenAI's protocol and the Model Context Protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from .isolation_attack import Attack
from .isolation_world import (
    COLLECTIONS,
    DOCUMENTS_EACH,
    OPERATOR,
    QUESTION,
    UNKNOWN_CALLERS,
    Person,
    failed,
    key,
    word,
)


def searches(attack: Attack, person: Person) -> None:
    own, number = attack.own(person), attack.random.randrange(DOCUMENTS_EACH)
    bodies: list[dict[str, Any]] = [{}, {"group_by": "document"}, {"filter": {"tags": {"stage": "final"}}}]
    if own:
        bodies += [{"collection": own}, {"document": key(own, number)}]
    body = {"question": QUESTION, "top_k": 20, **attack.random.choice(bodies)}
    reply = attack.send(person, "search", "POST", "/v1/search", body)
    assert (reply.status, reply.prompts) == (200, ()), reply.body
    found = reply.body["documents" if "group_by" in body else "passages"]
    assert bool(found) == bool(person.collections), reply.body


def searches_of_others(attack: Attack, person: Person) -> None:
    number = attack.random.randrange(DOCUMENTS_EACH)
    own = attack.own(person)
    bodies: list[Callable[[str], dict[str, Any]]] = [
        lambda name: {"collection": name},
        lambda name: {"collections": [own or name, name], "group_by": "document"},
        lambda name: {"document": key(name, number)},
        lambda name: {"filter": {"documents": [key(name, number)]}},
    ]
    of = attack.random.choice(bodies)
    attack.alike(
        person,
        "search of others",
        lambda name: ("POST", "/v1/search", {"question": QUESTION, **of(name)}, {}),
        404,
    )


def chats(attack: Attack, person: Person) -> None:
    own = attack.own(person)
    models = [one["id"] for one in attack.send(person, "models", "GET", "/v1/models").body["data"]]
    assert models == ["docwell", *(f"docwell/{name}" for name in sorted(person.collections))]
    messages = [{"role": "user", "content": QUESTION}]
    body = {"model": f"docwell/{own}" if own else "docwell", "messages": messages, "stream": bool(own)}
    reply = attack.send(person, "chat", "POST", "/v1/chat/completions", body)
    assert reply.status == 200, reply.body
    assert bool(reply.prompts) == ("Sources:" in reply.everything) == bool(own), reply.body
    if own:
        person.receipts.append(attack.world.last_id)


def chats_with_others(attack: Attack, person: Person) -> None:
    messages = [{"role": "user", "content": QUESTION}]
    stream = attack.random.random() < 0.5
    attack.alike(
        person,
        "chat with others",
        lambda name: (
            "POST",
            "/v1/chat/completions",
            {"model": f"docwell/{name}", "messages": messages, "stream": stream},
            {},
        ),
        404,
    )


def calls_tools(attack: Attack, person: Person) -> None:
    own, number = attack.own(person), attack.random.randrange(DOCUMENTS_EACH)
    calls: list[tuple[str, dict[str, Any]]] = [
        ("search", {"question": QUESTION, "top_k": 20}),
        ("ask", {"question": QUESTION}),
        ("documents", {}),
    ]
    if own:
        calls.append(("overview", {"document": key(own, number)}))
    name, arguments = attack.random.choice(calls)
    reply = attack.send(person, "tool", "POST", "/v1/mcp", _message("tools/call", name=name, arguments=arguments))
    assert (reply.status, reply.body["result"]["isError"]) == (200, False), reply.body
    listed = attack.send(person, "resources", "POST", "/v1/mcp", _message("resources/list"))
    assert len(listed.body["result"]["resources"]) == len(person.collections) * DOCUMENTS_EACH
    if own:
        page = _page(own, number)
        reply = attack.send(person, "page", "POST", "/v1/mcp", _message("resources/read", uri=page))
        assert word(own, number) in reply.body["result"]["contents"][0]["text"]


def calls_tools_for_others(attack: Attack, person: Person) -> None:
    number = attack.random.randrange(DOCUMENTS_EACH)
    calls: list[Callable[[str], dict[str, Any]]] = [
        lambda name: _called("search", question=QUESTION, collection=name),
        lambda name: _called("ask", question=QUESTION, document=key(name, number)),
        lambda name: _called("overview", document=key(name, number)),
        lambda name: _called("documents", collection=name),
    ]
    call = attack.random.choice(calls)
    attack.alike(person, "tool for others", lambda name: ("POST", "/v1/mcp", call(name), {}), 200)
    # An error repeats no address, so both say the same.
    attack.alike(
        person,
        "page of others",
        lambda name: ("POST", "/v1/mcp", _message("resources/read", uri=_page(name, number)), {}),
        200,
    )


def operates(attack: Attack, person: Person) -> None:
    method, path = attack.random.choice([("GET", "/v1/operations"), ("POST", "/v1/operations/redrive")])
    reply = attack.send(person, "operate", method, path)
    if person.name != OPERATOR:
        assert reply.status == 403, reply.body
    elif method == "GET":
        assert (reply.status, reply.body["unknown"]) == (200, {}), reply.body
        shown = [one["document"] for one in reply.body["dead_letters"]["failed"]]
        assert sorted(shown) == sorted(map(failed, person.collections))
    else:
        assert (reply.status, reply.body) == (200, {"redriven": 0, "waiting": 0})


def errs(attack: Attack, person: Person) -> None:
    name = attack.foreign(person)
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/v1/search", {"question": QUESTION, "top_k": 10_000, "collection": name}),
        ("POST", "/v1/chat/completions", {"model": f"docwell/{name}", "messages": []}),
        ("POST", "/v1/mcp", {"method": name}),
    ]
    assert 400 <= attack.send(person, "error of an endpoint", *attack.random.choice(requests)).status < 500


def is_unknown(attack: Attack, person: Person) -> None:
    unknown = Person("unknown caller", attack.random.choice(UNKNOWN_CALLERS), frozenset())
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/v1/search", {"question": QUESTION}),
        ("GET", "/v1/models", None),
        ("POST", "/v1/chat/completions", {"model": "docwell", "messages": [{"role": "user", "content": "x"}]}),
        ("GET", "/v1/operations", None),
        ("POST", "/v1/operations/redrive", None),
        ("POST", "/v1/mcp", _message("tools/list")),
        ("POST", "/v1/mcp", _called("search", question=QUESTION)),
        ("POST", "/v1/mcp", _message("resources/read", uri=_page(attack.random.choice(COLLECTIONS), 0))),
    ]
    assert attack.send(unknown, "unknown caller of an endpoint", *attack.random.choice(requests)).status == 401


def _message(method: str, **params: Any) -> dict[str, Any]:
    """Return a message of the Model Context Protocol."""
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def _called(tool: str, **arguments: Any) -> dict[str, Any]:
    return _message("tools/call", name=tool, arguments=arguments)


def _page(collection: str, number: int) -> str:
    return f"docwell://documents/{quote(key(collection, number), safe='')}/pages/1"


ENDPOINT_MOVES: list[tuple[Callable[[Attack, Person], None], int]] = [
    (searches, 6),
    (searches_of_others, 8),
    (chats, 4),
    (chats_with_others, 8),
    (calls_tools, 4),
    (calls_tools_for_others, 8),
    (operates, 2),
    (errs, 4),
    (is_unknown, 6),
]
