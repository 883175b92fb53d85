"""The events of `make invoke-…` (tests/events) have the effect of their names."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from docwell.errors import Unavailable
from docwell.http import sse
from docwell.http.streaming import StreamedResponse
from docwell.identity import Principal
from docwell.models import ObjectVersion, Status
from docwell.wiring import ingest as ingest_wiring
from docwell.wiring import reconcile as reconcile_wiring
from functions.ingest.handler import handler as ingest
from functions.query.handler import handler as query
from functions.reconcile.handler import handler as reconcile
from infra.local.names import ACCOUNT, BUCKET, INGEST_QUEUE, LOCAL_API_KEY_ID, REGION, ROOT
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import CONTEXT
from tests.unit.infra.templates import whole
from tests.unit.ingest import ingest_world
from tests.unit.upkeep import reconcile_world, test_reconcile

EVENTS = ROOT / "tests" / "events"
HANDBOOK = "handbooks/mlops-llmops-handbook.pdf"
REPORT, GUIDE = "reports/data-centre-2025-q3.pdf", "guides/when-the-lights-go-out.pdf"
QUEUE_EVENTS = ("put", "delete", "test-event", "batch")
HTTP_EVENTS = ("query", "stream", "health", "unknown-caller")


def event(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return content


@pytest.fixture
def documents(monkeypatch: pytest.MonkeyPatch) -> ingest_world.World:
    """The ingest function on ports in memory."""
    world = ingest_world.World()
    monkeypatch.setattr(ingest_wiring, "ingest", lambda: [world.ingest])
    monkeypatch.setattr(
        ingest_wiring,
        "ingest_settings",
        lambda: SimpleNamespace(queue_url="q", ocr_queue_url=None, dead_letter_queue_url="dlq", max_receives=5),
    )
    monkeypatch.setattr(ingest_wiring, "task_queue", lambda _: SimpleNamespace(delay=lambda *_: None))
    return world


def failed(name: str) -> list[str]:
    return [item["itemIdentifier"] for item in ingest(event(name), CONTEXT)["batchItemFailures"]]


def answer(name: str) -> tuple[int, dict[str, Any]]:
    found = query(event(name), CONTEXT)
    assert not isinstance(found, StreamedResponse)
    return found["statusCode"], json.loads(found["body"])


@pytest.fixture
def handbook(world: HttpWorld) -> HttpWorld:
    """The query function on ports in memory; the local stack's own key reads every collection."""
    world.principals.known[f"key:{LOCAL_API_KEY_ID}"] = Principal(f"key:{LOCAL_API_KEY_ID}", None)
    world.add(HANDBOOK, "The files of a retired model are kept for 18 months.")
    world.model.says = "The files are kept for 18 months [1]."
    return world


def test_every_event_is_tried() -> None:
    assert {path.stem for path in EVENTS.glob("*")} == {*QUEUE_EVENTS, *HTTP_EVENTS, "schedule"}


def test_put_indexes_the_document(documents: ingest_world.World) -> None:
    documents.store.put(HANDBOOK, "some text of the handbook")
    assert failed("put") == []
    assert documents.ledger.records[HANDBOOK].status is Status.INDEXED


def test_delete_removes_a_document_whose_key_the_notification_encodes(documents: ingest_world.World) -> None:
    key = "handbooks/old edition + notes.pdf"
    documents.store.put(key, "some text")
    documents.update(key)
    documents.store.delete(key)
    assert failed("delete") == []
    assert documents.ledger.records[key].status is Status.DELETED


def test_the_test_event_changes_nothing(documents: ingest_world.World) -> None:
    assert failed("test-event") == []
    assert documents.ledger.records == {}


def test_of_the_batch_what_fails_comes_again_and_the_rest_is_done(
    documents: ingest_world.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in (REPORT, GUIDE):
        documents.store.put(key, "some text")
    head = documents.store.head

    def head_that_fails(key: str) -> ObjectVersion | None:
        if key == REPORT:
            raise Unavailable("s3", "s3 cannot be reached")
        return head(key)

    monkeypatch.setattr(documents.store, "head", head_that_fails)
    # The second message is not a notification: ingest drops it, because a retry cannot succeed.
    assert failed("batch") == [event("batch")["Records"][0]["messageId"]]
    assert documents.ledger.records[GUIDE].status is Status.INDEXED


def test_query_is_answered_with_the_page(handbook: HttpWorld) -> None:
    status, body = answer("query")
    assert status == 200
    assert body["citations"][0]["document"] == HANDBOOK


def test_stream_is_answered_with_events(handbook: HttpWorld) -> None:
    found = query(event("stream"), CONTEXT)
    assert not isinstance(found, StreamedResponse)
    events = [name for name, _ in sse.read(found["body"].splitlines())]
    assert (events[0], events[-1]) == ("passages", "answer")


@pytest.mark.usefixtures("handbook")
def test_health_says_that_the_function_runs() -> None:
    status, health = answer("health")
    assert (status, health) == (200, {"status": "ok"})


@pytest.mark.usefixtures("handbook")
def test_a_caller_without_an_authorizer_is_refused() -> None:
    status, problem = answer("unknown-caller")
    assert (status, problem["type"]) == (401, "urn:docwell:problem:unauthenticated")


def test_schedule_is_what_the_template_sends_and_finds_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    template = whole()
    schedule = template["Resources"]["ReconcileFunction"]["Properties"]["Events"]["Schedule"]["Properties"]
    assert json.loads(schedule["Input"]) == event("schedule")
    world = reconcile_world.World()
    world.objects[HANDBOOK] = "e1"
    monkeypatch.setattr(reconcile_wiring, "reconcile", lambda: [world.reconcile()])
    monkeypatch.setattr(reconcile_wiring, "reindex", lambda: test_reconcile.reindex(world, "f1"))
    found = reconcile(event("schedule"), CONTEXT)
    assert found["complete"]
    assert [message.key for message in world.sent] == [HANDBOOK]


@pytest.mark.parametrize("name", QUEUE_EVENTS)
def test_queue_events_name_the_local_stacks_bucket_and_queue(name: str) -> None:
    for record in event(name)["Records"]:
        assert record["eventSourceARN"] == f"arn:aws:sqs:{REGION}:{ACCOUNT}:{INGEST_QUEUE}"
        body = json.loads(record["body"])
        buckets = [one["s3"]["bucket"]["name"] for one in body.get("Records", [])] or [body.get("Bucket")]
        assert set(buckets) <= {BUCKET, None}


def test_the_documents_of_the_events_are_examples_that_a_user_can_upload() -> None:
    examples = ROOT / "examples"
    assert all((examples / key).is_file() for key in (HANDBOOK, REPORT, GUIDE))
    asked = json.loads(event("query")["body"])
    assert asked == json.loads(event("stream")["body"])
    questions = json.loads((examples / "questions.json").read_text())
    assert asked["question"] in {one["question"] for one in questions}
