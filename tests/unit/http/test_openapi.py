"""The OpenAPI page, as generators of clients read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from docwell.errors import QuotaExceeded
from docwell.http import routes
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import call
from tests.unit.query.query_world import QUESTION

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/query": {"question": QUESTION},
    "/v1/search": {"question": QUESTION},
    "/v1/chat/completions": {"model": "docwell", "messages": [{"role": "user", "content": QUESTION}]},
    "/v1/mcp": PING,
    "/v1/feedback": {"request_id": "1", "verdict": "good"},
    "/v1/uploads": {"document": "house/a.pdf", "size": 1},
}


@pytest.fixture
def page(world: HttpWorld) -> dict[str, Any]:
    document: dict[str, Any] = call("GET", "/v1/openapi.json", key=None)[1]
    return document


def references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (value for name, value in part.items() if name == "$ref")
        part = list(part.values())
    for item in part if isinstance(part, list) else ():
        yield from references(item)


def test_each_reference_leads_to_a_part_of_the_page(page: dict[str, Any]) -> None:
    all_references = set(references(page))
    assert "#/components/schemas/CitationUnit" in all_references
    for reference in all_references:
        part: Any = page
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]


def called(path: str, method: str, key: str | None) -> tuple[int, Any, dict[str, Any]]:
    """Return the answer of an operation of the page to a body that fits it."""
    return call(method.upper(), path.translate(str.maketrans("", "", "{}")), BODIES.get(path), key)


@pytest.mark.parametrize("key", [None, "revoked"])
def test_no_operation_but_health_answers_without_a_valid_credential(
    world: HttpWorld, page: dict[str, Any], key: str | None
) -> None:
    assert page["security"] == [{name: []} for name in page["components"]["securitySchemes"]]
    for path, item in page["paths"].items():
        for method, operation in item.items():
            status, body, headers = called(path, method, key)
            is_free = (path, method) == ("/v1/health", "get")
            assert (operation.get("security") == []) == is_free == (status == 200), path
            if not is_free:
                kind = body["error"]["code"] if "error" in body else body["type"]
                assert kind in {"invalid_api_key", "urn:docwell:problem:unauthenticated"}, path
                assert (status, headers["WWW-Authenticate"]) == (401, ["Bearer"])
    assert (world.principals.requests, world.model.asked, world.audit.events) == (0, [], [])


def test_every_operation_that_is_charged_says_when_a_used_up_quota_is_renewed(
    world: HttpWorld, page: dict[str, Any]
) -> None:
    world.principals.fails = QuotaExceeded("the requests of today are used up", 3599.2)
    free = set()
    for path, item in page["paths"].items():
        for method in item:
            status, body, headers = called(path, method, "operator")
            if status == 429:
                kind = body["error"]["code"] if "error" in body else body["type"]
                assert kind in {"insufficient_quota", "urn:docwell:problem:quota-exceeded"}
                assert headers["Retry-After"] == ["3600"]
            else:
                free.add(path)
    assert free == {
        "/v1/documents/{key}", "/v1/usage", "/v1/health", "/v1/ready", "/v1/status", "/v1/mcp",
    }  # fmt: skip


def test_an_answer_of_mcp_is_an_object(page: dict[str, Any]) -> None:
    schema = page["paths"]["/v1/mcp"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    status, answer, _ = call("POST", "/v1/mcp", PING, "house")
    assert (status, schema["type"]) == (200, "object")
    assert set(schema["required"]) <= set(answer)


def test_the_page_is_made_once_however_often_strangers_ask_for_it(world: HttpWorld) -> None:
    routes._openapi_text.cache_clear()
    for _ in range(3):
        assert call("GET", "/v1/openapi.json", key=None)[0] == 200
    assert routes._openapi_text.cache_info().misses == 1


def test_the_openapi_page_describes_a_document_by_its_key_the_problem_document_and_a_streams_passages(
    page: dict[str, Any],
) -> None:
    document = page["paths"]["/v1/documents/{key}"]
    named = {method: [one["name"] for one in operation["parameters"]] for method, operation in document.items()}
    assert named == {"get": ["key", "link"], "delete": ["key"]}
    assert "Problem" in page["components"]["schemas"]
    stream = page["paths"]["/v1/query"]["post"]["responses"]["200"]["content"]["text/event-stream"]
    passage = stream["schema"]["properties"]["data"]["contentSchema"]["properties"]["passages"]["items"]
    assert {"document", "page", "likely"} <= set(passage["properties"])
