"""Filtered questions with real ingest, on moto and a real Chroma server.

A filter matches the bucket as it is now, while documents are replaced, deleted and retagged.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from docwell.identity import Principal
from docwell.models import Hint
from docwell.query.retrieval import scope as selection
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Filter, find_scope
from docwell.upkeep.reconcile import Drift
from tests.unit.fakes import FakeEmbedder

from .reconcile_world import World, new_world

pytestmark = pytest.mark.integration
QUESTION = "when does the pump start"
EVERYBODY = Principal("key:all", None)


@dataclass
class Filtered(World):
    """A world whose documents are questioned under filters."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.embedder = FakeEmbedder()
        self.retrieval = Retrieval(self.ledger(), self.index())

    def upload(self, key: str, text: str, *, tags: str = "", **metadata: str) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode(), Tagging=tags, Metadata=dict(metadata))
        self.look_at(key)

    def tag(self, key: str, **tags: str) -> None:
        tag_set: Any = [{"Key": name, "Value": value} for name, value in tags.items()]
        self.s3.put_object_tagging(Bucket=self.bucket, Key=key, Tagging={"TagSet": tag_set})

    def remove(self, key: str) -> None:
        self.delete(key)
        self.look_at(key)

    def look_at(self, key: str) -> None:
        self.ingest(self.known[0]).update(Hint(key), "worker", lambda: 900.0)

    def found(self, principal: Principal = EVERYBODY, **conditions: Any) -> set[str]:
        """Return the texts that a question retrieves under a filter."""
        scope = find_scope(self.retrieval.catalogue, principal, (), None, Filter(**conditions))
        vector = self.embedder.embed_queries([QUESTION])[0].tolist()
        return {passage.chunk.text for passage in self.retrieval.search(scope, vector, 20, QUESTION).passages}


@pytest.fixture
def world(chroma_url: str) -> Iterator[Filtered]:
    with new_world(chroma_url, kind=Filtered) as made:
        assert isinstance(made, Filtered)
        yield made


def test_every_kind_of_filter_finds_its_documents(world: Filtered) -> None:
    world.reader.title, world.reader.author, world.reader.created = "Pumps of 2025", "Ada Example", "2025-06-01"
    world.upload("plant/2025/é a+b.pdf", "the pump starts early", tags="stage=final&year=2025", team="heat")
    world.reader.title, world.reader.author, world.reader.created = "Pumps of 2026", None, "2026-06-01"
    world.upload("plant/2026/b.pdf", "the pump starts late", tags="stage=draft", team="cold")
    world.reader.created = None
    world.upload("office/c.pdf", "the pump starts never")
    early, late, never = "the pump starts early", "the pump starts late", "the pump starts never"
    assert world.found() == {early, late, never}
    assert world.found(prefix="plant/") == {early, late}
    assert world.found(prefix="plant/2025/é") == {early}
    assert world.found(prefix="p") == {early, late}
    assert world.found(documents=("plant/2026/b.pdf", "office/c.pdf")) == {late, never}
    assert world.found(title="pumps 2026") == {late, never}
    assert world.found(author="EXAMPLE") == {early}
    assert world.found(created_from="2025-06-02") == {late}
    assert world.found(created_to="2025-06-01") == {early}
    assert world.found(tags={"stage": "final", "year": "2025"}) == {early}
    assert world.found(metadata={"Team": "cold"}) == {late}
    assert world.found(prefix="plant/", tags={"stage": "final"}, metadata={"team": "cold"}) == set()
    assert world.found(Principal("key:a", frozenset({"office"})), title="pumps") == {never}


def test_new_tags_whose_notification_was_lost_are_found_by_reconcile(world: Filtered) -> None:
    world.upload("a.pdf", "the pump starts early")
    world.upload("b.pdf", "the pump starts late", tags="stage=draft")
    assert world.run().drift[Drift.STALE] == 0
    world.tag("a.pdf", stage="final")
    report = world.run()
    assert (report.found, report.sent) == ([("stale", "a.pdf")], 1)
    world.look_at("a.pdf")
    assert world.found(tags={"stage": "final"}) == {"the pump starts early"}
    assert world.run(force=True).drift[Drift.STALE] == 0


def test_a_filter_finds_the_same_where_the_ledger_is_too_large_to_be_read_for_a_question(
    world: Filtered, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        world.upload(f"plant/{number:02}.pdf", f"the pump starts at {number}", tags=f"third={number % 3}")
    wanted = {f"the pump starts at {number}" for number in range(0, 30, 3)}
    assert world.found(tags={"third": "0"}) == wanted
    monkeypatch.setattr(selection, "MOST_ROWS", 10)
    assert world.found(tags={"third": "0"}) == wanted


def test_after_any_changes_a_filter_finds_exactly_the_matching_documents(world: Filtered) -> None:
    chance = random.Random(7)
    keys = [f"{folder}/{number}.pdf" for folder in ("a", "b") for number in range(4)]
    bucket: dict[str, tuple[str, str]] = {}
    for step in range(60):
        key, tag = chance.choice(keys), chance.choice("xyz")
        match chance.randrange(4) if key in bucket else 0:
            case 0 | 1:
                bucket[key] = (f"the pump starts at step {step}", tag)
                world.upload(key, bucket[key][0], tags=f"t={tag}")
            case 2:
                bucket[key] = (bucket[key][0], tag)
                world.tag(key, t=tag)
                world.look_at(key)
            case _:
                del bucket[key]
                world.remove(key)
        wanted = chance.choice("xyz")
        assert world.found(tags={"t": wanted}) == {text for text, tag in bucket.values() if tag == wanted}
        assert world.found(prefix="a/") == {text for key, (text, _) in bucket.items() if key.startswith("a/")}
