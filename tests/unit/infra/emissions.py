"""`python -m tests.unit.infra.emissions SERVICE`: make one function log every metric that it has.

The real handler runs with fakes for its ports, and prints the lines that CloudWatch would get. Each service needs
a separate process: Powertools reads the service's name once, and a process has one cold start.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus
from types import SimpleNamespace

import pytest

from docwell.answers import Completion, Cost, Message, Mode
from docwell.config import QuerySettings
from docwell.errors import Overloaded, QuotaExceeded, Unauthenticated, Unavailable
from docwell.identity import Principal
from docwell.models import Chunk, CitationUnit, DocumentRecord, IndexRecord, Status
from docwell.ports import Reservation
from docwell.query.conversation import Conversation
from docwell.query.modes import Modes, Router
from docwell.query.overview import Overview
from docwell.query.prompting import load_prompt
from docwell.query.query import Query
from docwell.query.receipts import ReceiptBook
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.writing import Calibration
from docwell.upkeep.canary import Finding
from docwell.wiring import ingest as ingest_wiring
from docwell.wiring import query as query_wiring
from docwell.wiring import reconcile as reconcile_wiring
from docwell.wiring import small_functions
from tests.unit.fakes import FakeEmbedder, FakeIndex, FakeLedger
from tests.unit.ingest import ingest_world
from tests.unit.query.query_fakes import FakeReceipts, FakeStates
from tests.unit.upkeep import reconcile_world, test_reconcile

CONTEXT = SimpleNamespace(
    function_name="function",
    memory_limit_in_mb=1024,
    invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:function",
    aws_request_id="lambda-request",
    get_remaining_time_in_millis=lambda: 900_000,
)


def ingest(patch: pytest.MonkeyPatch) -> None:
    """Ingest short and long documents, a rejected one, one whose index is down, and an unknown message."""
    from functions.ingest.handler import handler

    world = ingest_world.World(range_pages=1)
    patch.setattr(ingest_wiring, "ingest", lambda: (world.ingest,))
    settings = SimpleNamespace(
        max_receives=5, queue_url="queue", ocr_queue_url=None, dead_letter_queue_url="dead-letters"
    )
    patch.setattr(ingest_wiring, "ingest_settings", lambda: settings)
    patch.setattr(ingest_wiring, "task_queue", lambda _url: SimpleNamespace(delay=lambda _receipt, _seconds: None))

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
    patch.setattr(reconcile_wiring, "reconcile", lambda: (world.reconcile(),))
    patch.setattr(reconcile_wiring, "reindex", lambda: test_reconcile.reindex(world, "f1"))
    handler({"action": "reconcile"}, CONTEXT)


class Model:
    """A model host with both ports. It raises `fails` instead of an answer."""

    name = "fake-model"
    options: Mapping[str, object] = {}
    fails: Exception | None = None

    async def chat(self, messages: Sequence[Message], timeout_s: float) -> AsyncGenerator[str | Completion]:
        if self.fails:
            raise self.fails
        yield Completion("The boiler is inspected every March [1].", 100, 9, "stop")

    async def check(self) -> None:
        """Return: the host is always up."""

    async def context_length(self) -> int:
        return 4096

    async def digest(self) -> str | None:
        return None


class Links:
    """Links without a target."""

    def link(self, document: str, version: str, unit: CitationUnit, media_type: str | None = None) -> str:
        return f"https://bucket/{document}?{version}#{unit.anchor}"


class Callers:
    """One principal, which may read everything. `used_up` says whether its quota is used up."""

    used_up = False

    def find(self, id_: str, groups: Sequence[str] = ()) -> Principal | None:
        return Principal(id_, collections=None) if id_ == "key:known" else None

    def charge(self, principal: Principal) -> None:
        if self.used_up:
            raise QuotaExceeded("the requests of today are used up", 60)

    def reserve(self, principal: Principal, tokens: int) -> Reservation:
        self.charge(principal)
        return Reservation(principal.id, "today", "1", tokens)

    def settle(self, reservation: Reservation, tokens: int, cost: Cost | None = None) -> None:
        """Count nothing."""


class Silent:
    """A reranker that gives no scores."""

    async def rerank(self, question: str, texts: Sequence[str], timeout_s: float) -> Sequence[float]:
        return ()


def use_case(model: Model) -> tuple[Query, FakeLedger]:
    """The query use case over one document of one passage."""
    ledger, index, embedder = FakeLedger(), FakeIndex(), FakeEmbedder()
    text = "The boiler is inspected every March."
    chunk = Chunk(text, 7, 0, len(text), 6)
    vector = embedder.embed_passages([text])[0].tolist()
    index.upsert("house", [IndexRecord("chunk", "house/rules.pdf", "live", "v1", chunk, vector)])
    also = Chunk(f"{text} Bring tools.", 8, 0, len(text) + 13, 8)  # there is an order of two
    index.upsert("house", [IndexRecord("also", "house/rules.pdf", "live", "v1", also, vector)])
    ledger.records["house/rules.pdf"] = DocumentRecord("house/rules.pdf", Status.INDEXED, live_generation="live")
    retrieval = Retrieval(ledger, index)
    built = Query(
        retrieval=retrieval,
        reranker=Silent(),
        embedder=embedder,
        model=model,
        conversation=Conversation(model, load_prompt("rewrite"), 4000),
        calibration=Calibration(model, FakeStates()),
        modes=Modes(Router(embedder), {Mode.OVERVIEW: Overview(index, load_prompt("overview"))}, retrieval),
        links=Links(),
    )
    return built, ledger


def query(patch: pytest.MonkeyPatch) -> None:
    """Ask questions that are answered, fall back and fail; reject callers; record feedback."""
    from functions.query.handler import handler

    model, callers = Model(), Callers()
    built, ledger = use_case(model)
    settings = QuerySettings(
        bucket="b", chroma_url="http://c", model_dir=".", ollama_url="http://o", model=model.name, wake_s=600
    )

    async def wired() -> Query:
        return built

    patch.setattr(query_wiring, "query", wired)
    for name, part in {"catalogue": ledger, "principals": callers, "model": model}.items():
        patch.setattr(query_wiring, name, lambda part=part: part)
    patch.setattr(query_wiring, "query_settings", lambda: settings)
    patch.setattr(query_wiring, "calibration", lambda: built.calibration)

    receipts = FakeReceipts()
    patch.setattr(query_wiring, "receipt_book", lambda: ReceiptBook(receipts))

    def ask(key: str = "known", path: str = "/v1/query", **body: object) -> int:
        sent = body or {"question": "how often is the boiler inspected", "fallback": "none"}
        context = {"requestId": "gateway-request", "authorizer": {"principalId": f"key:{key}"}, "stage": "live"}
        event = {"path": path, "httpMethod": "POST", "requestContext": context, "body": json.dumps(sent)}
        status: int = handler(event, CONTEXT)["statusCode"]
        return status

    assert ask() == HTTPStatus.OK
    ((_, request_id),) = receipts.kept
    assert ask(path="/v1/feedback", request_id=request_id, verdict="good") == HTTPStatus.OK
    model.fails = Unavailable("ollama", "ollama cannot be reached")
    assert ask(question="how often is the boiler inspected", fallback="extractive") == HTTPStatus.OK
    model.fails = Overloaded("ollama", "the model host is given a rest")
    assert ask() == HTTPStatus.SERVICE_UNAVAILABLE
    model.fails = RuntimeError()
    assert ask() == HTTPStatus.INTERNAL_SERVER_ERROR
    assert ask(key="unknown") == HTTPStatus.UNAUTHORIZED
    callers.used_up = True
    assert ask() == HTTPStatus.TOO_MANY_REQUESTS


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

    def identify(_headers: object) -> None:
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
