"""The passages that `ChromaIndex` keeps in memory between searches, with a fake Chroma collection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from docwell.adapters import chroma
from docwell.adapters.chroma import ChromaIndex
from docwell.adapters.chroma_layout import Layout
from docwell.adapters.chroma_records import record_fields
from docwell.adapters.chroma_server import ChromaServer
from docwell.models import Chunk, IndexRecord

LAYOUT = Layout("f" * 32, 0)


class FakeCollection:
    """Returns the wanted ids for any question, and notes which chunks are read after a search, or with it."""

    def __init__(self) -> None:
        self.wanted: list[str] = []
        self.read: list[str] = []
        self.sent: list[str] = []

    def query(self, *, include: Sequence[str], **_: Any) -> dict[str, Any]:
        answer = {"ids": [self.wanted], "distances": [[0.5] * len(self.wanted)]}
        if "documents" in include:
            self.sent += self.wanted
            answer |= {name: [values] for name, values in rows(self.wanted).items()}
        return answer

    def get(self, *, ids: list[str], **_: Any) -> dict[str, Any]:
        self.read += ids
        return {"ids": ids, **rows(ids)}


def rows(ids: Sequence[str]) -> dict[str, Any]:
    fields = [record_fields(IndexRecord(id_, "a.pdf", "g", "v", Chunk("text", 1, 0, 4, 1), [])) for id_ in ids]
    return {"documents": ["text"] * len(ids), "metadatas": fields}


class World:
    def __init__(self, kept_passages: int) -> None:
        self.index = ChromaIndex(ChromaServer("http://127.0.0.1:9"), LAYOUT, kept_passages)
        collections: Any = {LAYOUT.name(one): FakeCollection() for one in "cd"}
        self.index._server.known = collections

    def read_by_search(self, ids: Sequence[str], collection: str = "c") -> list[str]:
        """Search for these chunks and return the ids of those that a second request read."""
        return self.search(ids, collection).read

    def search(self, ids: Sequence[str], collection: str = "c") -> FakeCollection:
        """Search for these chunks."""
        fake: Any = self.index._server.known[LAYOUT.name(collection)]
        fake.wanted, fake.read, fake.sent = list(ids), [], []
        assert [hit.id for hit in self.index.search({collection: None}, [1.0], 9)] == list(ids)
        found: FakeCollection = fake
        return found


@pytest.fixture
def in_two_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chroma, "_MOST_WHOLE", 0)


@pytest.mark.usefixtures("in_two_requests")
def test_the_passages_that_were_used_least_recently_are_dropped() -> None:
    world = World(2)
    world.read_by_search(["a", "b"])
    world.read_by_search(["a"])
    assert world.read_by_search(["c"]) == ["c"]
    assert world.read_by_search(["a", "c"]) == []
    assert world.read_by_search(["b"]) == ["b"]


@pytest.mark.usefixtures("in_two_requests")
def test_a_collection_has_its_own() -> None:
    world = World(2)
    world.read_by_search(["a"])
    assert world.read_by_search(["a"], "d") == ["a"]


@pytest.mark.usefixtures("in_two_requests")
def test_none_is_kept_by_default() -> None:
    world = World(0)
    world.read_by_search(["a"])
    assert world.read_by_search(["a"]) == ["a"]


@pytest.mark.usefixtures("in_two_requests")
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


def test_where_most_chunks_are_new_a_search_brings_them_itself() -> None:
    world = World(9)
    world.read_by_search(["0"])  # wider, as nothing is known of the collection yet
    first, known = [*"abcde"], [*"bcdef"]
    found = world.search(first)
    assert (found.sent, found.read) == (first, [])
    found = world.search(known)  # the last search knew no chunk
    assert (found.sent, found.read) == (known, [])
    found = world.search([*"fg"])
    assert (found.sent, found.read) == ([], ["g"])


def test_chunks_that_a_search_brings_are_kept_as_long_as_any(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(chroma, "monotonic", lambda: now[0])
    world = World(9)
    world.read_by_search(["0"])
    assert world.search(["a"]).sent == world.search(["a"]).sent == ["a"]
    now[0] = 599.0
    assert world.read_by_search(["a"]) == []
    now[0] = 601.0
    assert world.read_by_search(["a"]) == ["a"]


def test_a_search_of_several_parts_of_the_index_brings_no_chunks() -> None:
    world = World(9)
    for collection in "cd":
        world.read_by_search([collection], collection)
    world.index.search({"c": None, "d": None}, [1.0], 9)
    fakes: Any = world.index._server.known.values()
    assert [fake.sent for fake in fakes] == [[], []]
