"""`python -m tests.unit.infra.emissions SERVICE`: make one function log every metric that it has.

The real handler runs with fakes for its ports, and prints the lines that CloudWatch would get. Each service needs
a separate process: Powertools reads the service's name once, and a process has one cold start.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from http import HTTPStatus
from types import SimpleNamespace

import pytest

from docwell.errors import Overloaded, QuotaExceeded, Unauthenticated, Unavailable
from docwell.models import DocumentRecord, Status
from docwell.query.waking import Sleeper
from docwell.upkeep.canary import Finding
from docwell.wiring import ingest as ingest_wiring
from docwell.wiring import query as query_wiring
from docwell.wiring import small_functions
from tests.unit.conftest import wired_world
from tests.unit.http.http_calls import CONTEXT, call
from tests.unit.ingest import ingest_world
from tests.unit.query.query_world import BOILER, QUESTION
from tests.unit.upkeep import reconcile_world, test_reconcile


def ingest(patch: pytest.MonkeyPatch) -> None:
    """Ingest short and long documents, a rejected one, one whose index is down, and an unknown message."""
    from functions.ingest.handler import handler

    world = ingest_world.World(range_pages=1)
    patch.setattr(ingest_wiring, "ingest", lambda: (world.ingest,))
    settings = SimpleNamespace(
        max_receives=5, queue_url="queue", ocr_queue_url=None, dead_letter_queue_url="dead-letters"
    )
    patch.setattr(ingest_wiring, "ingest_settings", lambda: settings)
    queue = SimpleNamespace(delay=lambda _receipt, _seconds: None)
    patch.setattr("docwell.wiring.pipelines.task_queue", lambda _: queue)

    def send(body: object) -> None:
        attributes = {"ApproximateReceiveCount": "1"}
        record = {"messageId": "m", "receiptHandle": "r", "body": json.dumps(body), "attributes": attributes}
        handler(
            {"Records": [record | {"eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:here:me:queue"}]},
            CONTEXT,
        )

    world.store.put("a.pdf", "the pump starts")
    world.store.put("b.pdf", "!encrypted")
    world.store.put("long.pdf", "the pump starts\fthe tank is full")
    for key in ("a.pdf", "b.pdf", "long.pdf"):
        send({"Records": [{"s3": {"object": {"key": key}}}]})
    for range_ in world.queue.sent:
        send({"docwell": asdict(range_)})
    send({"something": "else"})

    def down() -> None:
        raise Unavailable("chroma", "chroma cannot be reached")

    world.index.before_upsert = down
    world.store.put("c.pdf", "the valve closes")
    send({"Records": [{"s3": {"object": {"key": "c.pdf"}}}]})


def reconcile(patch: pytest.MonkeyPatch) -> None:
    """Run a pass that finds drift."""
    from functions.reconcile.handler import handler

    world = reconcile_world.World()
    world.indexed("a.pdf")
    world.objects["b.pdf"] = "e1"
    world.add("c.pdf", DocumentRecord("c.pdf", Status.REJECTED, updated_at=reconcile_world.LONG_AGO))
    patch.setattr(small_functions, "reconcile", lambda: (world.reconcile(),))
    patch.setattr(small_functions, "reindex", lambda: test_reconcile.reindex(world, "f1"))
    handler({"action": "reconcile"}, CONTEXT)


class Silent:
    """A reranker that gives no scores."""

    async def rerank(self, question: str, texts: Sequence[str], timeout_s: float) -> Sequence[float]:
        return ()


def query(patch: pytest.MonkeyPatch) -> None:
    """Ask questions that are answered, fall back and fail; reject callers; record feedback."""
    world = wired_world(patch)
    world.add("house/rules.pdf", f"{BOILER} Bring tools.", page=8)  # a reranker has two passages to order
    world.query = replace(world.query, reranker=Silent())
    settings = query_wiring.query_settings().model_copy(update={"wake_s": 600.0})
    patch.setattr(query_wiring, "query_settings", lambda: settings)
    patch.setattr(query_wiring, "sleeper", lambda: Sleeper(world.model, world.states, settings.wake_s))

    def ask(expected: HTTPStatus, path: str = "/v1/query", key: str = "house", **body: object) -> None:
        status, _, _ = call("POST", path, body or {"question": QUESTION, "fallback": "none"}, key)
        assert status == expected

    ask(HTTPStatus.OK)
    ((_, request_id),) = world.receipts.kept
    ask(HTTPStatus.OK, "/v1/feedback", request_id=request_id, verdict="good")
    world.model.fails = Unavailable("ollama", "ollama cannot be reached")
    ask(HTTPStatus.OK, question=QUESTION, fallback="extractive")
    world.model.fails = Overloaded("ollama", "the model host is given a rest")
    ask(HTTPStatus.SERVICE_UNAVAILABLE)
    world.model.fails = RuntimeError()
    ask(HTTPStatus.INTERNAL_SERVER_ERROR)
    ask(HTTPStatus.UNAUTHORIZED, key="unknown")
    world.principals.fails = QuotaExceeded("the requests of today are used up", 60)
    ask(HTTPStatus.TOO_MANY_REQUESTS)


def canary(patch: pytest.MonkeyPatch) -> None:
    """Ask the live version on a schedule."""
    from functions.canary.handler import handler

    entry = SimpleNamespace(watch=lambda _live: Finding.FOUND, remember=lambda _found: None)
    patch.setattr(small_functions, "canary", lambda: entry)
    patch.setattr(small_functions, "canary_settings", lambda: SimpleNamespace(live_version="live"))
    handler({}, CONTEXT)


def authorizer(patch: pytest.MonkeyPatch) -> None:
    """Deny a caller without a credential."""
    from functions.authorizer.handler import handler

    def identify(_headers: object, _address: str) -> None:
        raise Unauthenticated("no credential")

    patch.setattr(small_functions, "authorizer", lambda: SimpleNamespace(identify=identify))
    denied = handler({"methodArn": "arn:aws:execute-api:us-east-1:1:a/live/POST/v1/query", "headers": {}}, CONTEXT)
    assert denied["policyDocument"]["Statement"][0]["Effect"] == "Deny"


RECORDINGS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "ingest": ingest,
    "query": query,
    "reconcile": reconcile,
    "canary": canary,
    "authorizer": authorizer,
}

if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as monkeypatch:
        RECORDINGS[sys.argv[1]](monkeypatch)
