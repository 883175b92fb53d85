"""The passages that `ChromaIndex` keeps in memory between searches, with a fake Chroma collection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from docwell.adapters import chroma
from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import Layout, record_fields
from docwell.models import Chunk, IndexRecord

LAYOUT = Layout("f" * 32, 0)


class FakeCollection:
    """Returns the wanted ids for any question, and notes which chunks are read."""

    def __init__(self) -> None:
        self.wanted: list[str] = []
        self.read: list[str] = []

    def query(self, **_: Any) -> dict[str, Any]:
        return {"ids": [self.wanted], "distances": [[0.5] * len(self.wanted)]}

    def get(self, *, ids: list[str], **_: Any) -> dict[str, Any]:
        self.read += ids
        rows = [record_fields(IndexRecord(id_, "a.pdf", "g", "v", Chunk("text", 1, 0, 4, 1), [])) for id_ in ids]
        return {"ids": ids, "documents": ["text"] * len(ids), "metadatas": rows}


class World:
    def __init__(self, kept_passages: int) -> None:
        self.index = ChromaIndex(ChromaServer("http://127.0.0.1:9"), LAYOUT, kept_passages)
        collections: Any = {LAYOUT.name(one): FakeCollection() for one in "cd"}
        self.index._server.opened = collections

    def read_by_search(self, ids: Sequence[str], collection: str = "c") -> list[str]:
        """Search for these chunks and return the ids of those that the server had to send."""
        fake: Any = self.index._server.opened[LAYOUT.name(collection)]
        fake.wanted, fake.read = list(ids), []
        assert [hit.id for hit in self.index.search({collection: None}, [1.0], 9)] == list(ids)
        read: list[str] = fake.read
        return read


def test_the_passages_that_were_used_least_recently_are_dropped() -> None:
    world = World(2)
    world.read_by_search(["a", "b"])
    world.read_by_search(["a"])
    assert world.read_by_search(["c"]) == ["c"]
    assert world.read_by_search(["a", "c"]) == []
    assert world.read_by_search(["b"]) == ["b"]


def test_a_collection_has_its_own() -> None:
    world = World(2)
    world.read_by_search(["a"])
    assert world.read_by_search(["a"], "d") == ["a"]


def test_none_is_older_than_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(chroma, "monotonic", lambda: now[0])
    world = World(2)
    world.read_by_search(["a"])
    now[0] = 599.0
    assert world.read_by_search(["a"]) == []
    now[0] = 601.0
    assert world.read_by_search(["a"]) == ["a"]
    assert world.read_by_search(["a"]) == []
