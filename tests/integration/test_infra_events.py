"""The events function's stream, filter, role and alarm, and the webhook's template."""

from __future__ import annotations

import json
from typing import Any

import pytest
from moto.events.models import EventPattern

from docwell.adapters.event_bridge import SOURCE
from docwell.events import DocumentEvent, Outcome, event_of
from docwell.models import FINAL, DocumentRecord, Status
from infra.container.sam import ROOT
from tests.unit.infra.intrinsics import Values
from tests.unit.infra.templates import content, properties, whole

pytestmark = pytest.mark.integration
WEBHOOK = ROOT / "infra" / "webhook.yaml"


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return whole()


def change(status: str, outcome: str | None) -> Any:
    """A record of the stream."""
    row = {"document": {"S": "a.pdf"}, "status": {"S": status}}
    return {"dynamodb": {"NewImage": row | ({"outcome": {"S": outcome}} if outcome else {})}}


@pytest.mark.parametrize("status", sorted(Status))
def test_the_filter_skips_changes_without_an_outcome(template: dict[str, Any], status: Status) -> None:
    (entry,) = properties(template, "LedgerChanges")["FilterCriteria"]["Filters"]
    pattern = EventPattern.load(entry["Pattern"])
    assert pattern.matches_event(change(status, f"{status} v1")) is (status in FINAL)
    assert pattern.matches_event(change(status, None)) is False


def event() -> DocumentEvent:
    created = event_of(
        Outcome(DocumentRecord("a.pdf", Status.INDEXED, version="v1"), 1_795_000_000.0), "documents"
    )
    assert created is not None
    return created


def test_a_webhook_gets_the_events_of_its_stack_with_the_body_of_one_machine() -> None:
    rule, entry = properties(content(WEBHOOK), "Rule"), event()
    envelope: Any = {"source": SOURCE, "detail-type": entry.type, "detail": entry.data}
    pattern = json.dumps(Values({"DocumentsBucket": "documents"}).of(rule["EventPattern"]))
    assert EventPattern.load(pattern).matches_event(envelope)
    another = json.dumps(Values({"DocumentsBucket": "another"}).of(rule["EventPattern"]))
    assert not EventPattern.load(another).matches_event(envelope)
    (target,) = rule["Targets"]
    body = target["InputTransformer"]["InputTemplate"]
    for name, path in target["InputTransformer"]["InputPathsMap"].items():
        value: Any = envelope
        for part in path.removeprefix("$.").split("."):
            value = value[part]
        body = body.replace(f"<{name}>", json.dumps(value))
    assert json.loads(body) == json.loads(entry.body)
    assert target["HttpParameters"]["HeaderParameters"] == {"webhook-id": "$.detail.id"}
    assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] == 24 * 3600
