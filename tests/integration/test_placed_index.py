"""Collections over three real Chroma servers, one of which is killed, loses its volume, or leaves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.faults.chroma import ChromaServer
from docwell.errors import Unavailable
from docwell.models import Hint, collection_of
from docwell.ports import PartialHits
from tests.unit.fakes import DIMENSION

from .reconcile_world import World, drift, new_world

pytestmark = pytest.mark.integration
KEYS = [f"folder-{number}/a.pdf" for number in range(12)]
ASKED = [1.0] + [0.0] * (DIMENSION - 1)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ChromaServer]]:
    made = [ChromaServer(tmp_path_factory.mktemp(f"chroma-{number}")) for number in range(3)]
    try:
        for one in made:
            one.start()
        yield made
    finally:
        for one in made:
            one.kill()


@pytest.fixture
def world(servers: list[ChromaServer]) -> Iterator[World]:
    """A world at rest on three servers, each with some of the collections."""
    with new_world(",".join(one.url for one in servers)) as made:
        for key in KEYS:
            made.put(key)
        made.run()
        made.work()
        made.later()
        made.check_equal()
        assert {len(keys_of(made, one)) > 0 for one in servers} == {True}
        yield made


def keys_of(world: World, server: ChromaServer) -> list[str]:
    """Return the keys whose collection the ledger places on a server."""
    facts = {key: world.state.read(f"chroma/{world.known[0]}/{collection_of(key)}") for key in KEYS}
    return [key for key, fact in facts.items() if fact["server"] == server.url]


def test_a_killed_server_fails_its_own_collections_and_loses_nothing(
    world: World, servers: list[ChromaServer]
) -> None:
    killed = servers[1]
    own = keys_of(world, killed)
    killed.kill()
    try:
        index = world.index()
        found = index.search(None, ASKED, 1000)
        assert isinstance(found, PartialHits)
        assert {hit.document for hit in found} == set(KEYS) - set(own)
        listed = index.containing({collection_of(key): [key] for key in KEYS}, ["."], 1000)
        assert isinstance(listed, PartialHits)
        assert {hit.document for hit in listed} == set(KEYS) - set(own)
        assert listed.missing == {collection_of(key) for key in own}
        for key in KEYS:
            world.put(key, "other text")
            place = {collection_of(key): None}
            if key in own:
                with pytest.raises(Unavailable, match="server 2 of 3"):
                    index.search(place, ASKED, 5)
                with pytest.raises(Unavailable):
                    world.ingest(world.known[0]).update(Hint(key), "worker", lambda: 100.0)
            else:
                assert index.search(place, ASKED, 5)
                world.ingest(world.known[0]).update(Hint(key), "worker", lambda: 100.0)
    finally:
        killed.start()
    world.later()
    world.run()
    world.work()
    world.later()
    world.check_equal()
    assert drift(world.run()) == {}


def test_reconcile_rebuilds_a_lost_volume_alone(world: World, servers: list[ChromaServer]) -> None:
    own = keys_of(world, servers[2])
    servers[2].lose_volume()
    servers[2].start()
    assert drift(world.run()) == {"lost": len(own)}
    world.work()
    world.later()
    world.check_equal()


def test_reconcile_moves_the_collections_of_a_server_that_left(world: World, servers: list[ChromaServer]) -> None:
    own = keys_of(world, servers[0])
    others = {key for key in KEYS if key not in own}
    world.chroma_url = ",".join(one.url for one in servers[1:])
    assert drift(world.run()) == {"lost": len(own)}
    world.work()
    world.later()
    world.check_equal()
    assert keys_of(world, servers[0]) == []
    assert others < set(keys_of(world, servers[1]) + keys_of(world, servers[2]))
