"""The comparator of the fault suite finds every kind of difference, so that a green suite is a proof."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from benchmarks.faults.compare import KINDS, Differences
from benchmarks.faults.delivery import PERFECT
from benchmarks.faults.workers import Workers
from benchmarks.faults.world import TABLE, World

pytestmark = pytest.mark.integration

KEYS = ("c0/one.pdf", "c0/two +%é.pdf", "c1/three.pdf")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Three documents, indexed by a worker; each has one or two ranges."""
    with (
        World("compare", faults=PERFECT, range_pages=2) as world,
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
        found = self._client.get("/collections").raise_for_status().json()
        self._id = next(one["id"] for one in found if one["name"].startswith("docwell-shard-"))

    def call(self, what: str, **request: Any) -> Any:
        return self._client.post(f"/collections/{self._id}/{what}", json=request).raise_for_status().json()

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


def kinds_of(found: Differences) -> set[str]:
    return {kind for kind in KINDS if found.lines_of[kind]}


def test_an_index_that_equals_the_bucket_has_no_difference(world: World) -> None:
    found = world.comparator().compare()
    assert found.none, found.lines()
    assert found.documents == 3
    assert found.chunks > 6


def test_a_chunk_that_is_gone_is_lost(world: World) -> None:
    chroma = Chroma(world)
    with chroma.changed():
        chroma.call("delete", ids=chroma.rows()["ids"])
        assert kinds_of(world.comparator().compare()) == {"lost"}


def test_a_chunk_under_another_id_is_a_duplicate(world: World) -> None:
    with Chroma(world).changed(ids=["f" * 32]):
        assert kinds_of(world.comparator().compare()) == {"duplicate"}


def test_a_chunk_of_another_generation_is_stale(world: World) -> None:
    chroma = Chroma(world)
    other = chroma.rows()["metadatas"][0] | {"generation": "0" * 32}
    with chroma.changed(ids=["f" * 32], metadatas=[other]):
        assert kinds_of(world.comparator().compare()) == {"stale"}


def test_a_chunk_with_another_text_is_stale(world: World) -> None:
    with Chroma(world).changed(documents=["something else"]):
        assert kinds_of(world.comparator().compare()) == {"stale"}


def test_a_chunk_of_a_document_that_the_bucket_has_not_is_an_orphan(world: World) -> None:
    chroma = Chroma(world)
    other = chroma.rows()["metadatas"][0] | {"document": "c0/gone.pdf"}
    with chroma.changed(ids=["f" * 32], metadatas=[other]):
        assert kinds_of(world.comparator().compare()) == {"orphan"}


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
def test_a_ledger_that_says_something_else_is_seen(world: World, change: Any, kinds: set[str]) -> None:
    items = world.dynamodb.scan(TableName=TABLE)["Items"]
    item = next(one for one in items if one["document"]["S"] == KEYS[0])
    key = {name: item[name] for name in ("document", "pipeline")}
    if change is None:
        world.dynamodb.delete_item(TableName=TABLE, Key=key)
    else:
        world.dynamodb.put_item(TableName=TABLE, Item=item | change)
    try:
        assert kinds_of(world.comparator().compare()) == kinds
    finally:
        world.dynamodb.put_item(TableName=TABLE, Item=item)


def test_a_document_that_left_the_bucket_unseen_leaves_orphans(world: World) -> None:
    content = world.s3.get_object(Bucket=world.bucket, Key=KEYS[2])
    world.s3.delete_object(Bucket=world.bucket, Key=KEYS[2])
    try:
        assert kinds_of(world.comparator().compare()) == {"orphan"}
    finally:
        marker = world.s3.list_object_versions(Bucket=world.bucket, Prefix=KEYS[2])["DeleteMarkers"][0]
        world.s3.delete_object(Bucket=world.bucket, Key=KEYS[2], VersionId=marker["VersionId"])
        assert world.s3.head_object(Bucket=world.bucket, Key=KEYS[2])["VersionId"] == content["VersionId"]
