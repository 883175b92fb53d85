"""Operators' routes: the document of what is known, and the redrive, through the query function's handler."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from docwell.audit import Action
from docwell.errors import Unavailable
from docwell.identity import Principal, Use, UseHistory
from docwell.models import DocumentRecord, Reason, Status
from docwell.upkeep.operations import MOST_REDRIVEN
from docwell.upkeep.reconcile import Pass, Phase, fact_of
from tests.unit.conftest import HttpWorld
from tests.unit.http.http_calls import call

OPERATOR = "operator"
ROUTES = [("GET", "/v1/operations"), ("POST", "/v1/operations/redrive")]


def fail(world: HttpWorld, key: str) -> None:
    world.ledger.records[key] = DocumentRecord(key, Status.FAILED, reason=Reason.INTERNAL)


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(("caller", "status"), [("all", 403), ("porter", 403), ("house", 403), ("unknown", 401)])
def test_no_other_right_operates_the_system(
    world: HttpWorld, method: str, path: str, caller: str, status: int
) -> None:
    assert world.letters is not None
    world.letters.parked = 3
    fail(world, "house/boiler.pdf")
    answer = call(method, path, key=caller)
    assert answer[0] == status
    assert "boiler" not in str(answer)
    assert (world.letters.parked, world.audit.events) == (3, [])


def test_what_has_not_happened_is_null_and_nothing_is_unknown(world: HttpWorld) -> None:
    status, answer, _ = call("GET", "/v1/operations", key=OPERATOR)
    assert status == 200
    assert (answer["reconcile"], answer["canary"], answer["unknown"]) == (None, None, {})
    assert answer["dead_letters"] == {"waiting": 0, "failed": [], "more": False}
    assert answer["model"] == {"name": "fake-model", "host": "awake"}
    assert [(prompt["name"], prompt["share"]) for prompt in answer["prompts"]] == [("answer", 1.0)]
    assert {(one["requests"], one["tokens"], one["cost"]) for one in answer["usage"]["days"]} == {(0, 0, 0.0)}
    assert world.principals.requests == 1  # a look is charged


def test_the_last_pass_of_reconcile_is_shown(world: HttpWorld) -> None:
    last = Pass(Phase.DONE, keys=7, started=5.0, drift=Counter(lost=2), documents=Counter(INDEXED=2))
    world.states.write(fact_of("f1"), last.fact())
    answer = call("GET", "/v1/operations", key=OPERATOR)[1]["reconcile"]
    assert (answer["started_at"], answer["complete"], answer["objects"]) == (5.0, True, 7)
    assert (answer["drift"], answer["documents"]) == ({"lost": 2}, {"INDEXED": 2})


def test_failed_documents_are_named_only_where_the_operator_may_read_them(world: HttpWorld) -> None:
    assert world.letters is not None
    world.letters.parked = 2
    for key in ("house/boiler.pdf", "attic/chest.pdf"):
        fail(world, key)
    answer = call("GET", "/v1/operations", key=OPERATOR)[1]
    letters = answer["dead_letters"]
    assert (letters["waiting"], [one["document"] for one in letters["failed"]]) == (2, ["house/boiler.pdf"])
    assert letters["failed"][0]["reason"] == Reason.INTERNAL
    assert "chest" not in str(answer)


def test_days_without_use_are_there_and_the_busiest_principals_have_their_quotas(world: HttpWorld) -> None:
    today = datetime.now(UTC).date()
    used = {today.isoformat(): Use(3, 40), (today - timedelta(days=13)).isoformat(): Use(1, 2)}
    caller = Principal("key:a", label="App", requests_per_day=9)
    world.principals.uses = UseHistory(used, {today.isoformat(): 0.25}, [(caller, Use(3, 40))], complete=False)
    found = call("GET", "/v1/operations", key=OPERATOR)[1]["usage"]
    days = [(one["requests"], one["tokens"], one["cost"]) for one in found["days"]]
    assert days == [(1, 2, 0.0), *[(0, 0, 0.0)] * 12, (3, 40, 0.25)]
    assert (found["currency"], found["complete"]) == ("USD", False)
    assert found["principals"] == [
        {
            "id": "key:a",
            "label": "App",
            "requests": 3,
            "requests_per_day": 9,
            "tokens": 40,
            "tokens_per_day": None,
        }
    ]


def test_a_part_that_cannot_be_read_is_named_and_the_others_are_there(world: HttpWorld) -> None:
    world.principals.history_fails = Unavailable("principals", "principals: Scan answered Throttled")
    world.letters = None
    answer = call("GET", "/v1/operations", key=OPERATOR)[1]
    assert (answer["usage"], answer["dead_letters"]) == (None, None)
    assert set(answer["unknown"]) == {"usage", "dead_letters"}
    assert "Throttled" in answer["unknown"]["usage"]
    assert answer["model"]["host"] == "awake"


def test_a_redrive_is_audited_and_says_how_much_is_left(world: HttpWorld) -> None:
    assert world.letters is not None
    world.letters.parked = MOST_REDRIVEN + 5
    for moved, left in ((MOST_REDRIVEN, 5), (5, 0), (0, 0)):
        status, answer, _ = call("POST", "/v1/operations/redrive", key=OPERATOR)
        assert (status, answer) == (200, {"redriven": moved, "waiting": left})
    assert [(one.actor, one.action) for one in world.audit.events] == [("key:operator", Action.REDRIVEN)] * 3


def test_a_redrive_that_cannot_be_audited_moves_nothing(world: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def append(_event: object) -> None:
        raise Unavailable("audit", "throttled")

    assert world.letters is not None
    world.letters.parked = 1
    monkeypatch.setattr(world.audit, "append", append)
    assert call("POST", "/v1/operations/redrive", key=OPERATOR)[0] == 503
    assert world.letters.parked == 1
