"""The comparator of the fault suite finds every kind of difference, so that a green suite is a proof."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from benchmarks.faults.__main__ import Workers
from benchmarks.faults.world import KINDS, TABLE, Differences, World

pytestmark = [pytest.mark.integration, pytest.mark.slow]

KEYS = ("c0/one.pdf", "c0/two +%é.pdf", "c1/three.pdf")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Three documents, indexed by a worker; each has one or two ranges."""
    with (
        World("compare", range_pages=2) as world,
        Workers(world, 1, world.environment()) as workers,
    ):
        for pages, key in enumerate(KEYS, 2):
            world.put(key, pages)
        assert workers.settle(120) == 0
        yield world


class Chroma:
    """Chroma's rows of one collection, the first of some, by plain HTTP."""

    def __init__(self, world: World) -> None:
        base = f"{world.stack.chroma}/api/v2/tenants/default_tenant/databases/default_database"
        self._client = httpx.Client(base_url=base, trust_env=False)
        collections = self._client.get("/collections").raise_for_status().json()
        self._id = next(
            collection["id"] for collection in collections if collection["name"].startswith("docwell-shard-")
        )

    def call(self, action: str, **request: Any) -> Any:
        return self._client.post(f"/collections/{self._id}/{action}", json=request).raise_for_status().json()

    def rows(self) -> dict[str, Any]:
        rows: dict[str, Any] = self.call("get", limit=1, include=["metadatas", "documents", "embeddings"])
        return rows

    @contextlib.contextmanager
    def changed(self, **request: Any) -> Iterator[None]:
        """Change the fields or the id of the first row inside the block."""
        before = self.rows()
        added = before | request
        self.call("upsert", **{name: added[name] for name in ("ids", "metadatas", "documents", "embeddings")})
        try:
            yield
        finally:
            self.call("delete", ids=added["ids"])
            self.call("upsert", **{name: before[name] for name in ("ids", "metadatas", "documents", "embeddings")})


def kinds_of(differences: Differences) -> set[str]:
    return {kind for kind in KINDS if differences.lines_of[kind]}


def test_an_index_that_equals_the_bucket_has_no_difference(world: World) -> None:
    differences = world.comparator().compare()
    assert differences.none, differences.lines()
    assert differences.documents == 3
    assert differences.chunks > 6


@pytest.mark.parametrize(
    ("row", "metadata", "kind"),
    [
        ({"ids": ["f" * 32]}, {}, "duplicate"),
        ({"ids": ["f" * 32]}, {"generation": "0" * 32}, "stale"),
        ({"ids": ["f" * 32]}, {"document": "c0/gone.pdf"}, "orphan"),
        ({"documents": ["something else"]}, {}, "stale"),
        ({}, None, "lost"),
    ],
)
def test_a_row_that_differs_is_named(world: World, row: Any, metadata: Any, kind: str) -> None:
    chroma = Chroma(world)
    before = chroma.rows()
    with chroma.changed(**row, metadatas=[before["metadatas"][0] | (metadata or {})]):
        if metadata is None:
            chroma.call("delete", ids=before["ids"])
        assert kinds_of(world.comparator().compare()) == {kind}


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({"status": {"S": "PENDING"}}, {"stuck"}),
        ({"status": {"S": "FAILED"}}, {"stuck"}),
        ({"version": {"S": "another"}}, {"stale"}),
        ({"live_generation": {"S": "0" * 32}}, {"lost"}),
        (None, {"lost"}),
    ],
)
def test_a_ledger_that_differs_from_the_bucket_is_detected(world: World, change: Any, kinds: set[str]) -> None:
    items = world.dynamodb.scan(TableName=TABLE)["Items"]
    item = next(item for item in items if item["document"]["S"] == KEYS[0])
    key = {name: item[name] for name in ("document", "pipeline")}
    if change is None:
        world.dynamodb.delete_item(TableName=TABLE, Key=key)
    else:
        world.dynamodb.put_item(TableName=TABLE, Item=item | change)
    try:
        assert kinds_of(world.comparator().compare()) == kinds
    finally:
        world.dynamodb.put_item(TableName=TABLE, Item=item)
