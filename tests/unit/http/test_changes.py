"""Uploads, deletions and the caller's use, through the query function's handler."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

import pytest

from docwell.audit import Action
from docwell.identity import RESERVED_COLLECTION, Principal
from docwell.models import Attributes, DocumentRecord, Status
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import call, masked

WANTED = {"document": "house/new.pdf", "size": 9}


def changes(world: HttpWorld) -> list[tuple[str, Action, frozenset[str]]]:
    return [(event.actor, event.action, event.documents) for event in world.audit.events]


def test_a_form_fixes_key_size_and_type_and_is_in_the_audit_trail(world: HttpWorld) -> None:
    status, form, _ = call("POST", "/v1/uploads", WANTED | {"content_type": "text/plain"}, key="porter")
    assert status == 200
    assert form == {
        "document": "house/new.pdf",
        "url": "https://bucket/",
        "fields": {"key": "house/new.pdf", "Content-Type": "text/plain"},
        "expires_in": 300,
    }
    assert world.writer.forms == [("house/new.pdf", 9, "text/plain")]
    assert changes(world) == [("key:porter", Action.UPLOADED, frozenset({"house/new.pdf"}))]
    assert world.principals.requests == 1


@pytest.mark.parametrize("key", ["attic/a.pdf", "a.pdf", "/house/a.pdf", "housed/a.pdf"])
def test_a_form_for_another_collection_is_forbidden_whether_it_exists_or_not(world: HttpWorld, key: str) -> None:
    world.ledger.records["attic/a.pdf"] = DocumentRecord("attic/a.pdf", Status.PENDING)
    answer = call("POST", "/v1/uploads", WANTED | {"document": key}, key="porter")
    absent = call("POST", "/v1/uploads", WANTED | {"document": "nowhere/a.pdf"}, key="porter")
    assert answer[0] == 403
    assert masked(answer) == masked(absent)
    assert world.writer.forms == []
    assert changes(world) == []


def test_a_grant_to_read_is_none_to_write(world: HttpWorld) -> None:
    assert call("POST", "/v1/uploads", WANTED, key="house")[0] == 403
    assert call("POST", "/v1/uploads", WANTED, key="all")[0] == 403
    assert call("POST", "/v1/uploads", WANTED, key="unknown")[0] == 401


@pytest.mark.parametrize("writable", [None, frozenset({RESERVED_COLLECTION})])
def test_no_grant_changes_documents_of_docwell_itself(world: HttpWorld, writable: frozenset[str] | None) -> None:
    world.principals.known["key:wide"] = Principal("key:wide", collections=writable, writable=writable)
    key = f"{RESERVED_COLLECTION}/canary.pdf"
    world.ledger.records[key] = DocumentRecord(key, Status.PENDING)
    assert call("POST", "/v1/uploads", WANTED | {"document": key}, key="wide")[0] == 403
    assert call("DELETE", f"/v1/documents/{quote(key, safe='')}", key="wide")[0] in {403, 404}
    assert (world.writer.forms, world.writer.deleted, changes(world)) == ([], [], [])


def test_a_document_of_a_writable_collection_is_deleted(world: HttpWorld) -> None:
    status, answer, _ = call("DELETE", "/v1/documents/house%2Frules.pdf", key="porter")
    assert (status, answer) == (200, {"document": "house/rules.pdf"})
    assert world.writer.deleted == ["house/rules.pdf"]
    assert changes(world) == [("key:porter", Action.DELETED, frozenset({"house/rules.pdf"}))]


@pytest.mark.parametrize(
    ("caller", "document", "status"),
    [
        ("house", "house/rules.pdf", 403),  # may read it
        ("porter", "house/none.pdf", 404),
        ("porter", "attic/a.pdf", 404),
        ("porter", "shed/a.pdf", 404),  # may write there, and not read
        ("unknown", "house/rules.pdf", 401),
    ],
)
def test_no_other_document_is_deleted(world: HttpWorld, caller: str, document: str, status: int) -> None:
    for key in ("attic/a.pdf", "shed/a.pdf"):
        world.ledger.records[key] = DocumentRecord(key, Status.PENDING)
    assert call("DELETE", f"/v1/documents/{document}", key=caller)[0] == status
    assert world.writer.deleted == []
    assert changes(world) == []


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("house/a%20b.pdf", "house/a b.pdf"),
        ("house/a%2520b.pdf", "house/a%20b.pdf"),
        ("house%2Fa%252520b.pdf", "house/a%2520b.pdf"),
    ],
)
def test_a_deletion_reads_the_path_in_one_way(world: HttpWorld, path: str, named: str) -> None:
    for key in ("house/a b.pdf", "house/a%20b.pdf", "house/a%2520b.pdf"):
        world.ledger.records[key] = DocumentRecord(key, Status.PENDING)
    assert call("DELETE", f"/v1/documents/{path}", key="porter")[0] == 200
    assert world.writer.deleted == [named]
    del world.ledger.records[named]
    assert call("DELETE", f"/v1/documents/{path}", key="porter")[0] == 404
    assert world.writer.deleted == [named]


def test_the_use_of_a_caller_has_its_quotas_and_its_rights_to_write(world: HttpWorld) -> None:
    world.principals.requests = 4
    assert call("GET", "/v1/usage", key="porter")[:2] == (
        200,
        {
            "label": "Porter",
            "requests": 4,
            "requests_per_day": 9,
            "tokens": 0,
            "tokens_per_day": None,
            "writable": ["house", "shed"],
            "operates": False,
            "max_upload_bytes": 512 * 1024 * 1024,
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


def test_a_status_and_a_list_have_no_link_and_are_not_audited(world: HttpWorld) -> None:
    assert call("GET", "/v1/documents/house/rules.pdf")[1]["link"] is None
    assert world.principals.requests == 0
    assert call("GET", "/v1/documents")[1]["documents"][0]["link"] is None
    assert changes(world) == []


def test_a_link_that_is_not_given_is_not_audited(world: HttpWorld) -> None:
    world.ledger.records["house/new.pdf"] = DocumentRecord("house/new.pdf", Status.PENDING)
    assert call("GET", "/v1/documents/house/new.pdf?link=true")[1]["link"] is None
    world.ledger.records["attic/a.pdf"] = DocumentRecord("attic/a.pdf", Status.PENDING)
    theirs = call("GET", "/v1/documents/attic/a.pdf?link=true", key="house")
    assert theirs[0] == 404
    assert masked(theirs) == masked(call("GET", "/v1/documents/none/a.pdf?link=true", key="house"))
    assert changes(world) == []


def test_a_link_names_the_kind_of_the_version_that_answers(world: HttpWorld) -> None:
    record = world.ledger.records["house/rules.pdf"]
    said = replace(record.live_attributes or Attributes(), media_type="text/html")
    # A newer version, of another kind, is being indexed.
    world.ledger.records["house/rules.pdf"] = replace(record, live_attributes=said, media_type="image/png")
    document = call("GET", "/v1/documents/house/rules.pdf?link=true")[1]
    assert document["media_type"] == "text/html"
    assert "&type=text/html#" in document["link"]
