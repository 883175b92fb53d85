"""Collections over several servers, with fake servers and a fake ledger."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from docwell.adapters import placed_index
from docwell.adapters.placed_index import PlacedIndex, Placement
from docwell.errors import Unavailable
from docwell.models import Chunk, IndexRecord, Passage
from docwell.ports import PartialHits, Places
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope
from tests.unit.fakes import FakeIndex
from tests.unit.query.query_world import EVERYTHING, World

URLS = ("http://a:1/", "http://b:1/", "http://c:1/")
COLLECTIONS = [f"folder-{number}" for number in range(30)]


@dataclass
class Facts:
    stored: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def read(self, name: str) -> Mapping[str, str]:
        return self.stored.get(name, {})

    def claim(self, name: str, values: Mapping[str, str], instead_of: Mapping[str, str]) -> bool:
        if self.read(name) != instead_of:
            return False
        self.stored[name] = values
        return True


class Server(FakeIndex):
    """A fake index that can fail, or wait."""

    down = False
    waits: threading.Event | None = None
    searches = 0

    def holds(self, collection: str) -> bool:
        self.check()
        return bool(self.chunks.get(collection))

    def search(self, places: Places | None, vector: Sequence[float], k: int) -> list[Passage]:
        self.searches += 1
        if self.waits is not None:
            self.waits.wait(30)
        self.check()
        return super().search(places, vector, k)

    def containing(self, places: Places, patterns: Sequence[str], limit: int) -> list[Passage]:
        self.check()
        return super().containing(places, patterns, limit)

    def upsert(self, collection: str, records: Sequence[IndexRecord]) -> None:
        self.check()
        super().upsert(collection, records)

    def check(self) -> None:
        if self.down:
            raise Unavailable("chroma", "chroma cannot be reached (ConnectError)")


class Servers:
    def __init__(self, urls: Sequence[str] = URLS, facts: Facts | None = None) -> None:
        self.facts = facts or Facts()
        self.by_url = {url: Server() for url in urls}
        self.index = self.index_over(*urls)

    def index_over(self, *urls: str, fingerprint: str = "f") -> PlacedIndex:
        servers: Any = {url: self.by_url.setdefault(url, Server()) for url in urls}
        return PlacedIndex(servers, Placement(self.facts, fingerprint, urls))

    def fill(self, index: PlacedIndex | None = None) -> None:
        for name in COLLECTIONS:
            (index or self.index).upsert(name, [record(name)])

    def places(self) -> dict[str, list[str]]:
        return {name: [url for url, one in self.by_url.items() if one.chunks.get(name)] for name in COLLECTIONS}


def record(collection: str) -> IndexRecord:
    return IndexRecord(f"{collection}-1", f"{collection}/a.pdf", "g", "v", Chunk("text", 1, 0, 4, 1), [1.0])


@pytest.fixture
def servers() -> Servers:
    servers = Servers()
    servers.fill()
    return servers


def test_each_collection_is_on_one_server_and_each_server_has_some(servers: Servers) -> None:
    places = servers.places()
    assert all(len(urls) == 1 for urls in places.values())
    assert {urls[0] for urls in places.values()} == set(URLS)
    assert {fact["server"] for fact in servers.facts.stored.values()} == set(URLS)


def test_a_new_server_moves_no_collection_and_gets_new_ones(servers: Servers) -> None:
    before = servers.places()
    wider = servers.index_over(*URLS, "http://d:1/")
    servers.fill(wider)
    assert servers.places() == before
    for number in range(30):
        wider.upsert(f"new-{number}", [record(f"new-{number}")])
    assert servers.by_url["http://d:1/"].chunks


def test_a_re_index_places_all_collections_again(servers: Servers) -> None:
    servers.fill(servers.index_over(*URLS, "http://d:1/", fingerprint="next"))
    assert servers.by_url["http://d:1/"].chunks


def test_only_the_collections_of_a_removed_server_are_placed_again(servers: Servers) -> None:
    before = servers.places()
    lost = URLS[1]
    servers.by_url[lost].chunks.clear()
    left = servers.index_over(URLS[0], URLS[2])
    servers.fill(left)
    after = servers.places()
    assert {name for name in COLLECTIONS if after[name] != before[name]} == {
        name for name in COLLECTIONS if before[name] == [lost]
    }
    assert all(len(urls) == 1 for urls in after.values())


def test_an_index_from_before_stays_on_the_first_server() -> None:
    servers = Servers()
    for name in COLLECTIONS:
        servers.by_url[URLS[0]].upsert(name, [record(name)])
    assert len(servers.index.search({COLLECTIONS[3]: None}, [1.0], 5)) == 1
    servers.fill()
    assert all(urls == [URLS[0]] for urls in servers.places().values())


def test_the_places_of_many_collections_are_read_at_once(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_at_once, real = threading.Barrier(2), servers.facts.read

    def read(name: str) -> Mapping[str, str]:
        two_at_once.wait(10)
        return real(name)

    monkeypatch.setattr(servers.facts, "read", read)
    fresh = servers.index_over(*URLS)
    assert len(fresh.search(dict.fromkeys(COLLECTIONS[:8]), [1.0], 50)) == 8


def test_two_workers_that_place_a_collection_at_once_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = Servers()
    other = servers.index_over(*reversed(URLS[1:]))
    real = servers.facts.claim

    def late(*arguments: Any) -> bool:
        monkeypatch.setattr(servers.facts, "claim", real)
        other.upsert("folder-0", [record("folder-0")])
        return real(*arguments)

    monkeypatch.setattr(servers.facts, "claim", late)
    servers.index.upsert("folder-0", [record("folder-0")])
    assert len(servers.places()["folder-0"]) == 1


def test_a_question_to_all_is_answered_by_the_other_servers_and_says_so(servers: Servers) -> None:
    servers.by_url[URLS[1]].down = True
    found = servers.index.search(None, [1.0], 50)
    assert isinstance(found, PartialHits)
    assert {hit.document.partition("/")[0] for hit in found} == {
        name for name, urls in servers.places().items() if urls != [URLS[1]]
    }
    asked = servers.by_url[URLS[1]].searches
    servers.by_url[URLS[1]].down = False
    assert isinstance(servers.index.search(None, [1.0], 50), PartialHits)
    assert servers.by_url[URLS[1]].searches == asked  # it rests
    servers.index._failed_at.clear()
    assert not isinstance(servers.index.search(None, [1.0], 50), PartialHits)


def test_only_questions_to_collections_of_the_lost_server_fail(servers: Servers) -> None:
    servers.by_url[URLS[1]].down = True
    for name, urls in servers.places().items():
        if urls == [URLS[1]]:
            with pytest.raises(Unavailable, match="server 2 of 3"):
                servers.index.search({name: None}, [1.0], 5)
        else:
            found = servers.index.search({name: None}, [1.0], 5)
            assert len(found) == 1
            assert not isinstance(found, PartialHits)


def test_no_server_is_unavailable(servers: Servers) -> None:
    for one in servers.by_url.values():
        one.down = True
    with pytest.raises(Unavailable, match="of 3"):
        servers.index.search(None, [1.0], 5)


def test_a_list_from_the_other_servers_names_the_collections_that_it_misses(servers: Servers) -> None:
    servers.by_url[URLS[1]].down = True
    lost = {name for name, urls in servers.places().items() if urls == [URLS[1]]}
    places = {name: [f"{name}/a.pdf"] for name in COLLECTIONS}
    found = servers.index.containing(places, ["text"], 50)
    assert isinstance(found, PartialHits)
    assert found.missing == lost
    assert {hit.document.partition("/")[0] for hit in found} == set(COLLECTIONS) - lost
    with pytest.raises(Unavailable, match="server 2 of 3"):
        servers.index.containing({name: places[name] for name in lost}, ["text"], 50)


def test_a_list_that_fails_rests_no_server_and_asks_none_that_rests(servers: Servers) -> None:
    lost, places = servers.by_url[URLS[1]], {name: [f"{name}/a.pdf"] for name in COLLECTIONS}
    lost.down = True
    servers.index.containing(places, ["text"], 50)
    lost.down = False
    assert not isinstance(servers.index.search(None, [1.0], 50), PartialHits)
    lost.down = True
    servers.index.search(None, [1.0], 50)  # it rests now
    lost.down = False
    there = {name: keys for name, keys in places.items() if servers.places()[name] == [URLS[1]]}
    with pytest.raises(Unavailable):
        servers.index.containing(there, ["text"], 50)


def test_a_list_of_collections_on_servers_that_answer_is_whole(servers: Servers) -> None:
    servers.by_url[URLS[1]].down = True
    there = {name: [f"{name}/a.pdf"] for name, urls in servers.places().items() if urls != [URLS[1]]}
    found = servers.index.containing(there, ["text"], 50)
    assert len(found) == len(there)
    assert not isinstance(found, PartialHits)


@pytest.fixture
def silence() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_silent_server_does_not_delay_the_others(
    servers: Servers, silence: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placed_index, "_ANSWERS_WITHIN_S", 0.2)
    servers.by_url[URLS[2]].waits = silence
    assert isinstance(servers.index.search(None, [1.0], 50), PartialHits)


def test_an_answer_from_a_part_of_the_index_is_partial() -> None:
    class Partial(FakeIndex):
        def search(self, places: Places | None, vector: Sequence[float], k: int) -> list[Passage]:
            return PartialHits(super().search(places, vector, k))

    world = World()
    world.add("house/a.pdf", "the boiler is warm")
    partial = Partial(world.index.chunks)
    vector = world.embedder.embed_queries(["boiler"])[0].tolist()
    for index, expected in ((world.index, False), (partial, True)):
        found = Retrieval(world.ledger, index).search(Scope(EVERYTHING), vector, 3, "boiler")
        assert (len(found.passages), found.partial) == (1, expected)
