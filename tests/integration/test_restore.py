"""After a store is lost, or comes back older than the others, reconcile loses nothing (moto, real Chroma)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import boto3
import pytest

from docwell.models import Hint
from infra.local.names import LEDGER_SCHEMA

from .reconcile_world import KEYS, World, drift, fill, new_world

pytestmark = pytest.mark.integration
# Passes until no drift is left: one finds the differences, the next one the remains of the first repairs.
MOST_PASSES = 3


@pytest.fixture
def world(chroma_url: str) -> Iterator[World]:
    """A world at rest, then changed by every kind of change; its ledger and index can go back in time."""
    with new_world(chroma_url) as world:
        yield fill(world)


def change(world: World) -> None:
    """Upload, replace, upload the same content again, and delete; then bring the world to rest."""
    world.put("new.pdf")
    world.put(KEYS[0], "replaced")
    world.put(KEYS[1])
    world.delete(KEYS[2])
    for key in ("new.pdf", *KEYS[:3]):
        world.queue.send([Hint(key)])
    world.work()
    world.later()
    settle(world)


def settle(world: World) -> None:
    """Run passes and ingest until a pass finds nothing. Check the index against the bucket."""
    for _ in range(MOST_PASSES):
        if not drift(world.run()):
            break
        world.work()
        world.later()
    assert drift(world.run()) == {}
    world.check_equal()


def copy_of_ledger(world: World, name: str) -> Callable[[], None]:
    """Copy the ledger. Return a function that replaces the ledger by the copy, under another name."""
    items = boto3.client("dynamodb").scan(TableName=world.table)["Items"]

    def put_in_place() -> None:
        client = boto3.client("dynamodb")
        client.create_table(TableName=name, **LEDGER_SCHEMA)
        for item in items:
            client.put_item(TableName=name, Item=item)
        world.table = name

    return put_in_place


def copy_of_index(world: World) -> Callable[[], None]:
    """Copy the index. Return a function that replaces the index by the copy."""
    copies: dict[str, dict[str, object]] = {}
    index = world.index()
    for name in index.collections():
        parts = ["metadatas", "documents", "embeddings"]
        got = index._server.call(name, lambda chroma, parts=parts: chroma.get(include=parts))
        copies[name] = {part: got[part] for part in ("ids", *parts)}

    def put_in_place() -> None:
        drop_index(world)
        index = world.index()
        for name, copy in copies.items():
            index._server.upsert(name, index._layout.metadata(), copy)

    return put_in_place


def drop_index(world: World) -> None:
    for name in world.index().collections():
        world.index().drop(name)


LOSSES = ["old index, empty ledger", "old ledger", "old ledger, empty index", "empty index", "old index"]


@pytest.mark.parametrize("loss", [LOSSES[0], *(pytest.param(loss, marks=pytest.mark.slow) for loss in LOSSES[1:])])
def test_reconcile_repairs_a_store_that_is_lost_or_older_than_the_others(world: World, loss: str) -> None:
    older_ledger, older_index = copy_of_ledger(world, "restored"), copy_of_index(world)
    change(world)
    if "old ledger" in loss:
        older_ledger()
    if "old index" in loss:
        older_index()
    if "empty ledger" in loss:
        boto3.client("dynamodb").create_table(TableName="empty", **LEDGER_SCHEMA)
        world.table = "empty"
    if "empty index" in loss:
        drop_index(world)
    settle(world)


def test_an_old_ledger_with_documents_in_progress_is_repaired(world: World) -> None:
    world.put("at-work.pdf")
    lease = world.ledger().acquire("at-work.pdf", "a worker of then")
    assert lease is not None
    older = copy_of_ledger(world, "restored")
    change(world)
    older()
    world.later()
    settle(world)
