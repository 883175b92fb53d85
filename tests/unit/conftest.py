"""The HTTP API on ports in memory."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterator
from functools import partial

import pytest

from docwell.config import QuerySettings
from docwell.identity import Principal
from docwell.query.query import Query
from docwell.query.readiness import Readiness
from docwell.query.receipts import ReceiptBook
from docwell.query.waking import Sleeper
from docwell.wiring import query as wiring
from tests.fresh_wiring import clear_caches
from tests.unit.http.http_calls import KEY_OF_ALL
from tests.unit.query.query_fakes import (
    FakeAudit,
    FakeDeadLetters,
    FakePrincipals,
    FakeReceipts,
    FakeStates,
    FakeWriter,
)
from tests.unit.query.query_world import BOILER, EVERYTHING, World


class HttpWorld(World):
    """A world behind the routes, with wiring in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.receipts = FakeReceipts()
        self.audit = FakeAudit()
        self.writer = FakeWriter()
        self.states = FakeStates()
        self.letters = FakeDeadLetters()
        self.principals = FakePrincipals(
            {
                f"key:{KEY_OF_ALL}": EVERYTHING,
                "key:house": Principal("key:house", frozenset({"house"})),
                "key:porter": Principal(
                    "key:porter",
                    frozenset({"house"}),
                    requests_per_day=9,
                    label="Porter",
                    writable=frozenset({"house", "shed"}),
                ),
                "key:operator": Principal("key:operator", frozenset({"house"}), operates=True),
            }
        )
        self.readiness = Readiness(
            {
                "ledger": partial(asyncio.to_thread, self.ledger.get, "health"),
                "chroma": partial(asyncio.to_thread, self.index.collections),
                "ollama": self.model.check,
            },
            kept_s=5,
        )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> HttpWorld:
    return wired_world(monkeypatch)


def wired_world(monkeypatch: pytest.MonkeyPatch) -> HttpWorld:
    """Return a world that the query function's handler uses."""
    world = HttpWorld()
    settings = QuerySettings(
        bucket="b",
        chroma_url="http://chroma",
        model_dir=".",
        ollama_url="http://ollama",
        model="fake-model",
        queue_url="q",
        parked_queue_url="p",
    )

    async def query() -> Query:
        return world.query

    replaced = {
        "query_settings": lambda: settings,
        "query": query,
        "model": lambda: world.model,
        "catalogue": lambda: world.ledger,
        "page_index": lambda: world.index,
        "readiness": lambda: world.readiness,
        "principals": lambda: world.principals,
        "receipt_book": lambda: ReceiptBook(world.receipts),
        "audit_trail": lambda: world.audit,
        "document_links": lambda: world.writer,
        "state": lambda: world.states,
        "active_pipeline": lambda: "f1",
        "dead_letters": lambda: world.letters,
        "sleeper": lambda: Sleeper(world.model, world.states, 0.0),
    }
    for name, factory in replaced.items():
        monkeypatch.setattr(wiring, name, factory)
    wiring.prompt.cache_clear()
    wiring.prices.cache_clear()
    world.add("house/rules.pdf", BOILER, page=7)
    world.model.says = "Every March [1]."
    return world


@pytest.fixture
def cold_wiring() -> Iterator[None]:
    """Make each client anew, as in a process that starts."""
    clear_caches()
    yield
    clear_caches()
    gc.unfreeze()


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove docwell's settings from the environment."""
    for name in [name for name in os.environ if name.startswith("DOCWELL_")]:
        monkeypatch.delenv(name)
