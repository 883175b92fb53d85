"""The HTTP API through the query function's handler, on ports in memory."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock
from urllib.parse import quote

import pytest

from docwell.audit import Action
from docwell.errors import DeadlineExceeded, ModelMissing, QuotaExceeded, Unavailable
from docwell.http import edges
from docwell.http.operations import MOST_REDRIVEN
from docwell.identity import RESERVED_COLLECTION, Principal, Use, UseHistory
from docwell.models import Attributes, DocumentRecord, Mark, Part, Reason, Status
from docwell.observability import logger
from docwell.upkeep.reconcile import Pass, Phase, fact_of
from docwell.version import VERSION
from tests.unit.cases import rows
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import call, masked
from tests.unit.query.query_world import BOILER, QUESTION

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("mode", ["auto", "passages", "overview"])
def test_an_answer_names_its_mode_which_is_never_auto(world: HttpWorld, mode: str) -> None:
    (record,) = world.index.of("house/rules.pdf")
    world.index.mark("house", {record.id: [Mark(Part.OPENING, 0, len(record.chunk.text))]})
    status, answer, _ = call("POST", "/v1/query", {"question": QUESTION, "mode": mode})
    assert (status, answer["mode"]) == (200, "overview" if mode == "overview" else "passages")
    (receipt,) = world.receipts.kept.values()
    assert (receipt.request["mode"], receipt.answer["mode"]) == (mode, answer["mode"])


def test_the_clients_request_id_is_returned_and_logged_but_does_not_identify_the_answer(
    world: HttpWorld,
) -> None:
    _, answer, headers = call("POST", "/v1/query", {"question": QUESTION}, **{"x-request-id": "mine-1"})
    assert headers["x-request-id"] == ["mine-1"]
    logged = logger.get_current_keys()
    assert (logged["client_request_id"], logged["request_id"]) == ("mine-1", answer["request_id"])
    assert answer["request_id"] not in ("mine-1", "gateway-request")


@pytest.mark.parametrize("unfit", ["a b\nc", "\x1b[31m", "x" * 129, "é", ""])
def test_a_request_id_unfit_for_logs_is_replaced(world: HttpWorld, unfit: str) -> None:
    _, answer, headers = call("POST", "/v1/query", {"question": QUESTION}, **{"x-request-id": unfit})
    assert headers["x-request-id"] == [answer["request_id"]]
    assert "client_request_id" not in logger.get_current_keys()


@pytest.mark.parametrize(
    "case", rows(__file__, "bad_bodies"), ids=lambda case: f"{case['path']} {str(case['body'])[:60]}"
)
def test_a_wrong_body_gets_a_problem_document_and_does_nothing(world: HttpWorld, case: dict[str, Any]) -> None:
    status, problem, headers = call("POST", case["path"], case["body"], case.get("key", "all"))
    assert (status, headers["Content-Type"]) == (400, ["application/problem+json"])
    assert problem["type"] == "urn:docwell:problem:bad-input"
    assert uuid.UUID(problem["request_id"])
    assert problem["detail"].replace("Value error", "") == problem["detail"] != ""
    assert (world.model.asked, world.writer.forms, world.audit.events) == ([], [], [])


@pytest.mark.parametrize("type_", ["application/x-www-form-urlencoded", "text/plain"])
@pytest.mark.parametrize("name", ["content-type", "Content-Type"])
def test_a_body_is_read_as_json_whatever_its_content_type(world: HttpWorld, name: str, type_: str) -> None:
    assert call("POST", "/v1/query", {"question": QUESTION}, **{name: type_})[0] == 200


@pytest.mark.parametrize("wrong", [{"some secret words": 1}, {"question": ["some secret words"]}])
def test_a_problem_document_repeats_no_text_of_the_body(world: HttpWorld, wrong: dict[str, Any]) -> None:
    _, problem, _ = call("POST", "/v1/query", {"question": "q"} | wrong)
    assert "secret" not in json.dumps(problem)


@pytest.mark.parametrize(
    ("error", "status", "type_", "retry"),
    [
        (ModelMissing("ollama", "ollama pull fake-model"), 503, "model-missing", None),
        (Unavailable("chroma", "chroma cannot be reached", 5.0), 503, "dependency-unavailable", ["5"]),
        (DeadlineExceeded("ollama", "too slow"), 504, "deadline-exceeded", ["5"]),
        (RuntimeError("the text of a document"), 500, "internal-error", None),
    ],
)
def test_every_failure_is_a_problem_document(
    world: HttpWorld, error: Exception, status: int, type_: str, retry: list[str] | None
) -> None:
    world.model.fails = error
    got, problem, headers = call("POST", "/v1/query", {"question": QUESTION})
    assert (got, problem["type"]) == (status, f"urn:docwell:problem:{type_}")
    assert headers.get("Retry-After") == retry
    assert "text of a document" not in json.dumps(problem)


@pytest.mark.parametrize("key", ["a b+c%&é/日本.pdf", "plain.pdf", "100%25/a.pdf"])
@pytest.mark.parametrize("encoded", [True, False])
def test_a_document_is_found_by_its_key_however_the_gateway_passes_it(
    world: HttpWorld, key: str, *, encoded: bool
) -> None:
    world.ledger.records[key] = DocumentRecord(key, Status.PENDING, pages=10, pages_done=5)
    status, document, _ = call("GET", "/v1/documents/" + (quote(key, safe="") if encoded else key))
    assert status == 200
    assert (document["document"], document["status"], document["pages_done"]) == (key, "PENDING", 5)


def test_pages_that_cannot_be_read_are_listed_by_reason(world: HttpWorld) -> None:
    entries = frozenset({"too_slow 3", "reader_crashed 7-9", "too_slow 51-53"})
    world.ledger.records["house/a.pdf"] = DocumentRecord("house/a.pdf", Status.INDEXED, page_failures=entries)
    document = call("GET", "/v1/documents/house/a.pdf")[1]
    assert document["unreadable_pages"] == {"too_slow": "3,51-53", "reader_crashed": "7-9"}


def test_metrics_hold_tokens_and_latency_and_logs_hold_no_text(
    world: HttpWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    _, answer, _ = call("POST", "/v1/query", {"question": QUESTION})
    out = capsys.readouterr().out
    metrics = next(json.loads(line) for line in out.splitlines() if '"PromptTokens"' in line)
    names = {metric["Name"] for metric in metrics["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert {"PromptTokens", "CompletionTokens", "EmbedLatency", "RetrieveLatency", "GenerateLatency"} <= names
    assert {"QueryLatency", "TimeToFirstToken", "Refusals", "DroppedPassages", "TruncatedPrompts"} <= names
    (dimensions,) = metrics["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
    assert sorted(dimensions) == ["model", "service"]
    assert metrics["request_id"] == answer["request_id"]
    assert "boiler" not in out.lower()


def test_a_filter_limits_a_question_to_the_documents_that_match(world: HttpWorld) -> None:
    world.add("house/rules.pdf", BOILER, page=7, tags={"stage": "final"})
    world.add("house/other.pdf", BOILER)
    for stage, documents in (("final", {"house/rules.pdf"}), ("draft", set())):
        answer = call("POST", "/v1/query", {"question": QUESTION, "filter": {"tags": {"stage": stage}}})[1]
        assert {citation["document"] for citation in answer["citations"]} == documents


def test_documents_are_listed_by_how_their_keys_begin(world: HttpWorld) -> None:
    world.add("house/2026/a.pdf", BOILER)
    world.add("garden/2026/b.pdf", BOILER)

    def listed(query: str, key: str = "all") -> list[str]:
        status, page, _ = call("GET", f"/v1/documents?{query}", key=key)
        assert status == 200
        return [record["document"] for record in page["documents"]]

    assert listed("prefix=house/2026/") == ["house/2026/a.pdf"]
    assert listed("prefix=house/2026/&collection=garden") == []
    assert listed("prefix=g") == ["garden/2026/b.pdf"]
    assert listed("prefix=garden/", "house") == listed("prefix=attic/", "house") == []


MANY = 3000


def conversation(*messages: Any) -> dict[str, Any]:
    return {"model": "docwell", "messages": list(messages)}


LISTS = {
    "turns that are numbers": ("/v1/query", {"question": QUESTION, "history": [0] * MANY}),
    "collections": ("/v1/query", {"question": QUESTION, "collections": [0] * MANY}),
    "documents": ("/v1/search", {"question": QUESTION, "filter": {"documents": [0] * MANY}}),
    "messages": (CHAT, conversation(*[0] * 900)),
    "too many messages": (CHAT, conversation(*[0] * MANY)),
    "parts of many messages": (CHAT, conversation(*[{"role": "user", "content": [{}] * 10}] * 300)),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_wrong_entries_is_read_up_to_the_first(world: HttpWorld, name: str) -> None:
    path, body = LISTS[name]
    status, problem, _ = call("POST", path, body)
    assert status == 400
    text = problem["error"]["message"] if path == CHAT else problem["detail"]
    assert len(text.split("; ")) <= 4  # of a union, each kind


@pytest.mark.parametrize("path", ["/v1/query", "/v1/search", "/v1/feedback", "/v1/uploads"])
def test_of_thousands_of_unknown_fields_an_answer_names_some(world: HttpWorld, path: str) -> None:
    status, problem, _ = call("POST", path, dict.fromkeys(map(str, range(MANY)), 1))
    assert (status, len(problem["errors"])) == (400, edges.MOST_ERRORS)


# --- search ---


@pytest.fixture
def pages(world: HttpWorld) -> HttpWorld:
    world.add("house/notes.pdf", "Another boiler is inspected in the cellar. It never snows.", page=3)
    world.add("house/old.pdf", "The old boiler is inspected every May.", live=False)
    world.add("cellar/a.pdf", "The boiler of the cellar is inspected every June.")
    return world


def search(body: dict[str, Any], key: str = "house") -> dict[str, Any]:
    status, answer, _ = call("POST", "/v1/search", {"question": QUESTION, **body}, key)
    assert status == 200, answer
    assert isinstance(answer, dict)
    return answer


def test_the_passages_are_those_of_the_answer_in_their_order(pages: HttpWorld) -> None:
    answer = search({"top_k": 5})
    assert call("POST", "/v1/query", {"question": QUESTION, "top_k": 5}, "house")[0] == 200
    (receipt,) = pages.receipts.kept.values()
    assert [passage["document"] for passage in answer["passages"]] == [
        document for _, document, _ in receipt.passages
    ]
    assert {passage["document"] for passage in answer["passages"]} == {"house/rules.pdf", "house/notes.pdf"}


def test_a_passage_has_its_page_quote_score_and_link(pages: HttpWorld) -> None:
    (passage,) = search({"document": "house/rules.pdf"})["passages"]
    assert (passage["page"], passage["page_label"], passage["text"], passage["quote"]) == (7, "iv", BOILER, BOILER)
    assert (passage["start"], passage["end"]) == (0, len(BOILER))
    assert passage["unit"] == {"kind": "page", "label": "iv", "anchor": "page=7"}
    assert passage["link"] == "https://bucket/house/rules.pdf?versionId=v1#page=7"
    assert 0 < passage["score"] <= 1


def test_passages_come_by_document_on_request(pages: HttpWorld) -> None:
    pages.add("house/notes.pdf", "A boiler is inspected by two people.", page=4)
    answer = search({"group_by": "document"})
    assert answer["passages"] is None
    groups = {group["document"]: {hit["page"] for hit in group["passages"]} for group in answer["documents"]}
    assert groups == {"house/rules.pdf": {7}, "house/notes.pdf": {3, 4}}


def test_the_model_is_not_called_and_one_request_is_charged_and_audited(pages: HttpWorld) -> None:
    search({})
    assert pages.model.asked == []
    assert (pages.principals.requests, pages.principals.tokens) == (1, 0)
    (event,) = pages.audit.events
    assert (event.actor, event.action) == ("key:house", Action.SEARCHED)
    assert event.documents == {"house/rules.pdf", "house/notes.pdf"}
    assert pages.receipts.kept == {}


@pytest.mark.parametrize(("key", "more", "status", "expected"), rows(__file__, "dify"))
def test_dify_gets_the_passages_of_one_collection_or_an_error_in_its_shape(
    pages: HttpWorld, key: str | None, more: dict[str, Any], status: int, expected: Any
) -> None:
    pages.add("house/plan.pdf", "The boiler plan says what is inspected.", metadata={"stage": "final"})
    body = {"knowledge_id": "house", "query": QUESTION, "retrieval_setting": {"top_k": 9, "score_threshold": 0.0}}
    got, answer, _ = call("POST", "/v1/retrieval", body | more, key)
    if got == 200:
        documents = {record["metadata"]["document"] for record in answer["records"]}
        assert (got, documents) == (200, {f"house/{name}.pdf" for name in expected})
        assert all(record["content"] and record["title"] and record["score"] >= 0 for record in answer["records"])
    else:
        assert (got, answer["error_code"], set(answer)) == (status, expected, {"error_code", "error_msg"})
        assert {event.actor for event in pages.audit.refused} <= {"key:revoked", "address:127.0.0.1"}


# --- uploads, deletions, links and use ---


UPLOAD = {"document": "house/new.pdf", "size": 9}


def changes(world: HttpWorld) -> list[tuple[str, Action, frozenset[str]]]:
    return [(event.actor, event.action, event.documents) for event in world.audit.events]


def test_a_form_fixes_key_size_and_type_and_is_in_the_audit_trail(world: HttpWorld) -> None:
    status, form, _ = call("POST", "/v1/uploads", UPLOAD | {"content_type": "text/plain"}, key="porter")
    assert status == 200
    assert form == {
        "document": "house/new.pdf",
        "url": "https://bucket/",
        "fields": {"key": "house/new.pdf", "Content-Type": "text/plain"},
        "expires_in": 300,
    }
    assert world.writer.forms == [("house/new.pdf", 9, "text/plain")]
    assert changes(world) == [("key:porter", Action.UPLOADED, frozenset({"house/new.pdf"}))]
    files = [UPLOAD, UPLOAD | {"document": "house/b.pdf"}]
    _, answer, _ = call("POST", "/v1/uploads", {"files": files}, key="porter")
    assert [form["document"] for form in answer["forms"]] == ["house/new.pdf", "house/b.pdf"]
    assert changes(world)[1:] == [("key:porter", Action.UPLOADED, frozenset({"house/new.pdf", "house/b.pdf"}))]
    assert (len(world.writer.forms), world.principals.requests) == (3, 2)
    files.append(UPLOAD | {"document": "attic/a.pdf"})
    assert call("POST", "/v1/uploads", {"files": files}, key="porter")[0] == 403
    assert call("POST", "/v1/uploads", {"files": files * 9}, key="porter")[0] == 400
    assert (len(world.writer.forms), len(changes(world))) == (3, 2)
    _, unseen, _ = call("POST", "/v1/uploads", UPLOAD | {"attributes_of": "attic/a.pdf"}, key="porter")
    _, absent, _ = call("POST", "/v1/uploads", UPLOAD | {"attributes_of": "house/none.pdf"}, key="porter")
    assert (unseen["status"], unseen["detail"]) == (404, absent["detail"])
    _, problem, _ = call("POST", "/v1/uploads", UPLOAD | {"size": 0}, key="porter")
    assert [error["where"] for error in problem["errors"]] == ["body.size"]


@pytest.mark.parametrize("key", ["attic/a.pdf", "a.pdf", "/house/a.pdf", "housed/a.pdf"])
def test_a_form_for_another_collection_is_forbidden_whether_it_exists_or_not(world: HttpWorld, key: str) -> None:
    world.ledger.records["attic/a.pdf"] = DocumentRecord("attic/a.pdf", Status.PENDING)
    answer = call("POST", "/v1/uploads", UPLOAD | {"document": key}, key="porter")
    absent = call("POST", "/v1/uploads", UPLOAD | {"document": "nowhere/a.pdf"}, key="porter")
    assert answer[0] == 403
    assert masked(answer) == masked(absent)
    assert (world.writer.forms, changes(world)) == ([], [])


@pytest.mark.parametrize("writable", [None, frozenset({RESERVED_COLLECTION})])
def test_no_grant_changes_documents_of_docwell_itself(world: HttpWorld, writable: frozenset[str] | None) -> None:
    world.principals.known["key:wide"] = Principal("key:wide", collections=writable, writable=writable)
    key = f"{RESERVED_COLLECTION}/canary.pdf"
    world.ledger.records[key] = DocumentRecord(key, Status.PENDING)
    assert call("POST", "/v1/uploads", UPLOAD | {"document": key}, key="wide")[0] == 403
    assert call("DELETE", f"/v1/documents/{quote(key, safe='')}", key="wide")[0] in {403, 404}
    assert (world.writer.forms, world.writer.deleted, changes(world)) == ([], [], [])


@pytest.mark.parametrize(("caller", "document", "status"), rows(__file__, "deletions_refused"))
def test_no_other_document_is_deleted(world: HttpWorld, caller: str, document: str, status: int) -> None:
    for key in ("attic/a.pdf", "shed/a.pdf"):
        world.ledger.records[key] = DocumentRecord(key, Status.PENDING)
    assert call("DELETE", f"/v1/documents/{document}", key=caller)[0] == status
    assert (world.writer.deleted, changes(world)) == ([], [])


@pytest.mark.parametrize(("path", "named"), rows(__file__, "deletion_paths"))
def test_a_deletion_reads_the_path_in_only_one_form(world: HttpWorld, path: str, named: str) -> None:
    for key in ("house/a b.pdf", "house/a%20b.pdf", "house/a%2520b.pdf"):
        world.ledger.records[key] = DocumentRecord(key, Status.PENDING)
    assert call("DELETE", f"/v1/documents/{path}", key="porter")[:2] == (200, {"document": named})
    assert changes(world) == [("key:porter", Action.DELETED, frozenset({named}))]
    del world.ledger.records[named]
    assert call("DELETE", f"/v1/documents/{path}", key="porter")[0] == 404
    assert world.writer.deleted == [named]


def test_the_use_of_a_caller_has_its_quotas_and_its_rights_to_write(world: HttpWorld) -> None:
    world.principals.requests = 4
    assert call("GET", "/v1/usage", key="porter")[:2] == (
        200,
        {
            "id": "key:porter",
            "label": "Porter",
            "requests": 4,
            "requests_per_day": 9,
            "tokens": 0,
            "tokens_per_day": None,
            "pages": 0,
            "bytes": 0,
            "reading_s": 0,
            **dict.fromkeys(("pages_per_day", "bytes_per_day", "reading_s_per_day")),
            "writable": ["house", "shed"],
            "operates": False,
            "max_upload_bytes": 512 * 1024 * 1024,
            "ocr": False,
        },
    )
    assert world.principals.requests == 4
    assert call("GET", "/v1/usage", key="unknown")[0] == 401


def test_a_link_to_the_version_that_answers_is_charged_and_audited(world: HttpWorld) -> None:
    status, document, headers = call("GET", "/v1/documents/house/rules.pdf?link=true", key="house")
    assert status == 200
    assert document["link"].startswith("https://bucket/house/rules.pdf?versionId=")
    assert document["media_type"] is None  # a row of an earlier release
    assert world.principals.requests == 1
    assert changes(world) == [("key:house", Action.READ, frozenset({"house/rules.pdf"}))]
    assert [world.audit.events[0].request_id] == headers["x-request-id"]
    world.ledger.records["house/new.pdf"] = DocumentRecord("house/new.pdf", Status.PENDING)
    assert call("GET", "/v1/documents/house/new.pdf?link=true")[1]["link"] is None
    assert len(changes(world)) == 1


def test_a_link_names_the_kind_of_the_version_that_answers(world: HttpWorld) -> None:
    record = world.ledger.records["house/rules.pdf"]
    attributes = replace(record.live_attributes or Attributes(), media_type="text/html")
    # A newer version, of another kind, is being indexed.
    world.ledger.records["house/rules.pdf"] = replace(record, live_attributes=attributes, media_type="image/png")
    document = call("GET", "/v1/documents/house/rules.pdf?link=true")[1]
    assert document["media_type"] == "text/html"
    assert "&type=text/html#" in document["link"]


# --- the OpenAPI page ---


PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/query": {"question": QUESTION},
    "/v1/search": {"question": QUESTION},
    "/v1/chat/completions": {"model": "docwell", "messages": [{"role": "user", "content": QUESTION}]},
    "/v1/responses": {"model": "docwell", "input": QUESTION},
    "/v1/retrieval": {"knowledge_id": "house", "query": QUESTION, "retrieval_setting": {"top_k": 1}},
    "/v1/mcp": PING,
    "/v1/feedback": {"request_id": "1", "verdict": "good"},
    "/v1/uploads": {"document": "house/a.pdf", "size": 1},
}


@pytest.fixture
def page(world: HttpWorld) -> dict[str, Any]:
    document: dict[str, Any] = call("GET", "/v1/openapi.json", key=None)[1]
    return document


def called(path: str, method: str, key: str | None) -> tuple[int, Any, dict[str, Any]]:
    """Return the answer of an operation of the page to a body that fits it."""
    return call(method.upper(), path.translate(str.maketrans("", "", "{}")), BODIES.get(path), key)


def kind_of(error: dict[str, Any]) -> object:
    return error["error"]["code"] if "error" in error else error.get("type", error.get("error_code"))


@pytest.mark.parametrize("key", [None, "revoked"])
def test_no_operation_but_health_answers_without_a_valid_credential(
    world: HttpWorld, page: dict[str, Any], key: str | None
) -> None:
    assert page["info"]["version"] == VERSION
    assert page["security"] == [{name: []} for name in page["components"]["securitySchemes"]]
    for path, item in page["paths"].items():
        for method, operation in item.items():
            status, body, headers = called(path, method, key)
            is_free = (path, method) == ("/v1/health", "get")
            assert (operation.get("security") == []) == is_free == (status == 200), path
            if not is_free:
                assert kind_of(body) in {"invalid_api_key", "urn:docwell:problem:unauthenticated", -32000, 1002}, (
                    path
                )
                wrong = call(method.upper(), path, {"nothing": 1}, key)  # judged after the caller
                assert wrong[0] == 401, path
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
                assert kind_of(body) in {"insufficient_quota", "urn:docwell:problem:quota-exceeded", 429}
                assert headers["Retry-After"] == ["3600"]
            else:
                free.add(path)
    assert free == {
        "/v1/documents/{key}", "/v1/usage", "/v1/health", "/v1/ready", "/v1/status", "/v1/mcp",
    }  # fmt: skip


@pytest.mark.parametrize(("method", "path", "allow"), rows(__file__, "undeclared_methods"))
def test_an_undeclared_method_is_405(world: HttpWorld, method: str, path: str, allow: str) -> None:
    status, problem, headers = call(method, path)
    assert (status, problem["type"], headers["Allow"]) == (405, "urn:docwell:problem:method-not-allowed", [allow])


# --- operators ---


OPERATOR = "operator"
ROUTES = [("GET", "/v1/operations"), ("POST", "/v1/operations/redrive")]


def fail(world: HttpWorld, key: str) -> None:
    world.ledger.records[key] = DocumentRecord(key, Status.FAILED, reason=Reason.INTERNAL)


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(("caller", "status"), [("all", 403), ("porter", 403), ("house", 403), ("unknown", 401)])
def test_no_other_right_operates_the_system(
    world: HttpWorld, method: str, path: str, caller: str, status: int
) -> None:
    world.letters.parked = 3
    fail(world, "house/boiler.pdf")
    answer = call(method, path, key=caller)
    assert answer[0] == status
    assert "boiler" not in str(answer)
    assert [event.subject for event in world.audit.refused] == [
        "forbidden" if status == 403 else "unauthenticated"
    ]
    assert (world.letters.parked, world.audit.events) == (3, [])


def test_parts_without_a_value_yet_are_null_and_not_unknown(world: HttpWorld) -> None:
    status, answer, _ = call("GET", "/v1/operations", key=OPERATOR)
    assert status == 200
    assert (answer["reconcile"], answer["canary"], answer["unknown"]) == (None, None, {})
    assert answer["dead_letters"] == {"waiting": 0, "failed": [], "more": False}
    assert {(day["requests"], day["tokens"], day["cost"]) for day in answer["usage"]["days"]} == {(0, 0, 0.0)}
    assert world.principals.requests == 1  # the request is charged


def test_the_last_pass_of_reconcile_is_shown(world: HttpWorld) -> None:
    last = Pass(Phase.DONE, keys=7, started=5.0, drift=Counter(lost=2), documents=Counter(INDEXED=2))
    values = {"keys": "7", "rows": "0", "chunks": "0", "started": "5.0", "phase": "done", "cursor": ""}
    stored = values | {"drift": '{"lost": 2}', "documents": '{"INDEXED": 2}'}
    assert last.fact() == stored  # the form of all releases
    world.states.write(fact_of("f1"), stored)
    answer = call("GET", "/v1/operations", key=OPERATOR)[1]["reconcile"]
    assert (answer["started_at"], answer["complete"], answer["objects"]) == (5.0, True, 7)
    assert (answer["drift"], answer["documents"]) == ({"lost": 2}, {"INDEXED": 2})


def test_dead_letters_are_counted_and_a_failed_document_has_its_reason(world: HttpWorld) -> None:
    world.letters.parked = 2
    fail(world, "house/boiler.pdf")
    letters = call("GET", "/v1/operations", key=OPERATOR)[1]["dead_letters"]
    assert (letters["waiting"], [record["reason"] for record in letters["failed"]]) == (2, [Reason.INTERNAL])


def test_days_without_use_are_there_and_the_busiest_principals_have_their_quotas(world: HttpWorld) -> None:
    today = datetime.now(UTC).date()
    used = {today.isoformat(): Use(3, 40), (today - timedelta(days=13)).isoformat(): Use(1, 2)}
    caller = Principal("key:a", label="App", requests_per_day=9)
    world.principals.uses = UseHistory(used, {today.isoformat(): 0.25}, [(caller, Use(3, 40))], complete=False)
    usage = call("GET", "/v1/operations", key=OPERATOR)[1]["usage"]
    days = [(day["requests"], day["tokens"], day["cost"]) for day in usage["days"]]
    assert days == [(1, 2, 0.0), *[(0, 0, 0.0)] * 12, (3, 40, 0.25)]
    assert (usage["currency"], usage["complete"]) == ("USD", False)
    (caller_use,) = usage["principals"]
    expected = {"id": "key:a", "label": "App", "requests": 3, "requests_per_day": 9, "tokens": 40, "pages": 0}
    assert caller_use.items() >= expected.items()


def test_a_part_that_cannot_be_read_is_named_and_the_others_are_there(world: HttpWorld) -> None:
    world.principals.history_fails = Unavailable("principals", "principals: Scan answered Throttled")
    world.letters.fails = Unavailable("sqs", "sqs does not answer")
    answer = call("GET", "/v1/operations", key=OPERATOR)[1]
    assert (answer["usage"], answer["dead_letters"]) == (None, None)
    assert set(answer["unknown"]) == {"usage", "dead_letters"}
    assert "Throttled" in answer["unknown"]["usage"]


def test_a_redrive_is_audited_and_says_how_much_is_left(world: HttpWorld) -> None:
    world.letters.parked = MOST_REDRIVEN + 5
    for moved, left in ((MOST_REDRIVEN, 5), (5, 0), (0, 0)):
        status, answer, _ = call("POST", "/v1/operations/redrive", key=OPERATOR)
        assert (status, answer) == (200, {"redriven": moved, "waiting": left})
    fail(world, "house/boiler.pdf")
    for document, status in (("house/boiler.pdf", 200), ("house/none.pdf", 404)):
        assert call("POST", f"/v1/operations/redrive?document={document}", key=OPERATOR)[0] == status
    assert [(event.actor, event.action) for event in world.audit.events] == [("key:operator", Action.REDRIVEN)] * 4


def test_a_redrive_that_cannot_be_audited_moves_nothing(world: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world.letters.parked = 1
    monkeypatch.setattr(world.audit, "append", Mock(side_effect=Unavailable("audit", "throttled")))
    assert call("POST", "/v1/operations/redrive", key=OPERATOR)[0] == 503
    assert world.letters.parked == 1
