"""Which pipelines' ledgers note outcomes, which become events."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from docwell.ingest.ingest import Ingest
from docwell.pipeline import Roles
from docwell.wiring import ingest as wiring


@pytest.mark.parametrize(
    ("roles", "noted"),
    [
        (Roles("f1"), {"f1": True}),
        (Roles("f1", "f2"), {"f1": True, "f2": False}),
        (Roles("f2", None, {"f1": 1.0}), {"f2": True}),
    ],
)
def test_only_the_active_pipeline_notes_outcomes_even_after_a_switch_under_a_warm_function(
    monkeypatch: pytest.MonkeyPatch, roles: Roles, noted: dict[str, bool]
) -> None:
    ledgers: dict[str, bool] = {}

    def ledger_of(_: object, fingerprint: str, lease_s: float, *, notes_outcomes: bool) -> Mock:
        ledgers[fingerprint] = notes_outcomes
        return Mock(fingerprint=fingerprint)

    built = tuple(Ingest("b", Mock(), Mock(), Mock(), Mock(), Mock(), name) for name in ("f1", "f2"))
    monkeypatch.setattr(wiring, "_ingest", lambda: built)
    monkeypatch.setattr(wiring, "ingest_settings", lambda: SimpleNamespace(lease_s=90.0))
    monkeypatch.setattr(wiring, "pipelines", lambda _: {"f1": None, "f2": None})
    monkeypatch.setattr(wiring, "roles_of", lambda _: roles)
    monkeypatch.setattr(wiring, "ledger_of", ledger_of)
    use_cases = wiring.ingest()
    assert ledgers == noted
    bound: dict[str, Any] = {use_case.fingerprint: use_case.ledger for use_case in use_cases}
    assert {name: ledger.fingerprint for name, ledger in bound.items()} == {name: name for name in noted}
