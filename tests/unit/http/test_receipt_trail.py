"""The audit trail of receipts and replays, which show the quotes of an answer again."""

from __future__ import annotations

import pytest

from docwell.audit import Action
from docwell.errors import Overloaded
from functions.query.handler import handler
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import CONTEXT, KEY_OF_ALL, call, event_of
from tests.unit.query.query_world import QUESTION


def test_a_refusal_and_a_replay_are_in_the_audit_trail(world: HttpWorld) -> None:
    _, answer, _ = call("POST", "/v1/query", {"question": QUESTION})
    call("POST", f"/v1/receipts/{answer['request_id']}/replay")
    world.model.says = "I do not know."
    call("POST", "/v1/query", {"question": QUESTION})
    assert [(event.action, len(event.documents)) for event in world.audit.events] == [
        (Action.ASKED, 1),
        (Action.READ, 1),  # a replay shows the answer of the receipt too
        (Action.ASKED, 1),
        (Action.ASKED, 0),
    ]


@pytest.mark.parametrize(
    ("says", "fails", "quoted"),
    [("Every March [1].", False, True), ("I do not know.", False, False), ("Every March [1].", True, True)],
)
def test_the_audit_trail_names_the_documents_whose_quotes_a_receipt_shows(
    world: HttpWorld, says: str, *, fails: bool, quoted: bool
) -> None:
    world.model.says = says
    world.model.fails, world.model.fails_after = (Overloaded("ollama", "full"), 2) if fails else (None, 0)
    handler(event_of("POST", "/v1/query", {"question": QUESTION, "stream": True}), CONTEXT)
    ((_, id_),) = world.receipts.kept
    world.audit.events.clear()
    status, _, headers = call("GET", f"/v1/receipts/{id_}")
    (event,) = world.audit.events
    assert (status, event.actor, event.action) == (200, f"key:{KEY_OF_ALL}", Action.READ)
    assert (event.request_id, event.documents) == (
        headers["x-request-id"][0],
        {"house/rules.pdf"} if quoted else frozenset(),
    )
    assert call("GET", f"/v1/receipts/{id_}", key="house")[0] == 404
    assert len(world.audit.events) == 1
