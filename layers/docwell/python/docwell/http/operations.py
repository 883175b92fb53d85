"""The routes of operators: the state of the system, and the redrive of dead letters."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Query
from aws_lambda_powertools.event_handler.router import APIGatewayRouter
from pydantic import Field

from docwell.audit import Action, AuditEvent
from docwell.errors import DocwellError, Forbidden
from docwell.http import answering, bodies
from docwell.http.edges import charge
from docwell.identity import Principal, Use
from docwell.models import Status
from docwell.query.documents import Listing, list_documents
from docwell.upkeep.canary import CanaryResult, last_canary
from docwell.upkeep.reconcile import Phase, last_pass
from docwell.wiring import query as wiring

ROUTE = "/v1/operations"
# The days of use: two weeks show a weekly pattern.
_DAYS = 14
# The most failed documents in the report. `GET /v1/documents?status=FAILED` lists all.
_FAILED = 50
# The most messages of one redrive: each takes about 20 ms, and a function answers within 28 s.
MOST_REDRIVEN = 100
router = APIGatewayRouter()  # type: ignore[no-untyped-call] # Powertools ships it so


class ReconcileBody(bodies.Body):
    """The reconcile pass in progress, else the last one, over the index that serves queries."""

    started_at: float = Field(description="Seconds since the epoch.")
    complete: bool
    phase: str
    objects: int
    chunks: int
    drift: dict[str, int] = Field(description="Differences found, by kind.")
    documents: dict[str, int] = Field(description="Documents by status.")


class DeadLettersBody(bodies.Body):
    """The messages in ingest's dead-letter queue, and the failed documents that the caller may read."""

    waiting: int = Field(description="About how many messages are parked, of all documents.")
    failed: list[bodies.DocumentBody]
    more: bool = Field(description="Whether more documents may have failed than are listed.")


class DayBody(bodies.Body):
    """The use of all principals on a UTC day. The cost is that of their answers."""

    day: str
    requests: int
    tokens: int
    cost: float


class UseBody(bodies.Body):
    """The use of the last days, the oldest first, and the busiest principals of today."""

    days: list[DayBody]
    currency: str
    principals: list[bodies.CallerBody]
    complete: bool = Field(description="False: there is more use than was read.")


class OperationsResponse(bodies.Body):
    """The state of the system. A null part has not happened yet, or is listed in `unknown`."""

    reconcile: ReconcileBody | None
    dead_letters: DeadLettersBody | None
    canary: CanaryResult | None
    usage: UseBody | None
    unknown: dict[str, str] = Field(description="The parts that could not be read, and why.")


class RedriveResponse(bodies.Body):
    """The dead letters that were sent to ingest again. Repeat the call while some remain."""

    redriven: int
    waiting: int = Field(description="About how many are still parked.")


@router.get(ROUTE, description="How the system does: drift, dead letters, canary, use and cost; for operators.")
def operations() -> OperationsResponse:
    """Return the state of each part that can be read."""
    principal = _operator()
    parts, unknown = dict[str, Any](), dict[str, str]()
    for name, read in {
        "reconcile": _reconcile,
        "dead_letters": lambda: _dead_letters(principal),
        "canary": lambda: last_canary(wiring.state()),
        "usage": _use,
    }.items():
        try:
            parts[name] = read()
        except DocwellError as error:
            parts[name], unknown[name] = None, error.detail
    return OperationsResponse(**parts, unknown=unknown)


@router.post(f"{ROUTE}/redrive", description="Send up to 100 dead letters to ingest again; for operators.")
def redrive_dead_letters(
    document: Annotated[bodies.Key | None, Query(description="Send this document alone.")] = None,
) -> RedriveResponse:
    """Send dead letters, or one document, to ingest again."""
    principal, letters = _operator(), wiring.dead_letters()
    if document:
        answering.first_visible(principal, document)
    if trail := wiring.audit_trail():  # before the redrive, so that each has an event
        trail.append(AuditEvent(principal.id, Action.REDRIVEN))
    return RedriveResponse(redriven=letters.redrive(MOST_REDRIVEN, document), waiting=letters.waiting())


def _operator() -> Principal:
    principal = charge()
    if not principal.operates:
        raise Forbidden("this principal may not operate the system: docwell principals add --operate")
    return principal


def _reconcile() -> ReconcileBody | None:
    if not (state := last_pass(wiring.state(), wiring.active_pipeline())):
        return None
    return ReconcileBody(
        started_at=state.started,
        complete=state.phase is Phase.DONE,
        phase=state.phase.value,
        objects=state.keys,
        chunks=state.chunks,
        drift=state.drift,
        documents=state.documents,
    )


def _dead_letters(principal: Principal) -> DeadLettersBody:
    listing = Listing(None, "", Status.FAILED, None, _FAILED)
    records, cursor = list_documents(wiring.catalogue(), principal, listing)
    failed = [bodies.document_body(record) for record in records]
    return DeadLettersBody(waiting=wiring.dead_letters().waiting(), failed=failed, more=cursor is not None)


def _use() -> UseBody:
    currency = wiring.prices().currency
    history = wiring.principals().history(_DAYS, currency)
    today = datetime.now(UTC).date()
    days = []
    for ago in reversed(range(_DAYS)):
        day = (today - timedelta(days=ago)).isoformat()
        use, cost = history.days.get(day, Use()), round(history.costs.get(day, 0.0), 6)
        days.append(DayBody(day=day, requests=use.requests, tokens=use.tokens, cost=cost))
    callers = [bodies.CallerBody(**asdict(principal) | asdict(use)) for principal, use in history.today]
    return UseBody(days=days, currency=currency, principals=callers, complete=history.complete)
