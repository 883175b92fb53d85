"""Deletes that a real Chroma server runs after the client gave them up."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import httpx
import numpy as np
import pytest

from benchmarks.proxy import Fault, Proxy
from docwell.adapters.chroma_records import STAMP
from docwell.errors import Unavailable
from docwell.models import IndexRecord, Units
from tests.integration.quota_proxy import is_hosted
from tests.integration.test_chroma import KEY, collection, index, records

pytestmark = pytest.mark.integration
__all__ = ["collection"]


def large(count: int) -> list[IndexRecord]:
    """Return records with more metadata than a record of the hosted Chroma may have."""
    units = Units(tuple((5 * number, 5 * number + 4) for number in range(10)), bytes(3840))
    return [replace(one, units=units) for one in records(count)]


@pytest.mark.parametrize("shards", [0, 8])
@pytest.mark.parametrize("again", [0, 130, 310])
def test_a_delete_removes_the_chunks_that_were_not_written_again(
    chroma_url: str, collection: str, shards: int, again: int
) -> None:
    chroma = index(chroma_url, "b3" * 16, timeout_s=60, shards=shards)
    written = large(310)
    for start in range(0, len(written), 31):
        chroma.upsert(collection, written[start : start + 31])
    listed = chroma.ids(collection, KEY)
    chroma.upsert(collection, written[:again])
    chroma.delete(collection, listed)
    assert set(chroma.ids(collection, KEY)) == {one.id for one in written[:again]}
    found = chroma.search({collection: None}, written[0].vector, 300)
    assert {hit.id: hit.units for hit in found}.items() <= {one.id: one.units for one in written[:again]}.items()
    assert len(found) == min(again, 300)


def test_a_delete_that_a_proxy_holds_removes_nothing_that_was_written_meanwhile(
    chroma_url: str, collection: str
) -> None:
    if is_hosted(chroma_url):
        pytest.skip("its proxy is another")
    chroma = index(chroma_url, "b2" * 16)
    written = records(40)
    chroma.upsert(collection, written)
    with closing(Proxy(httpx.URL(chroma_url).port or 0)) as proxy:
        behind = index(proxy.url, "b2" * 16, timeout_s=1)
        listed = behind.ids(collection, KEY)
        proxy.behave(Fault.LATE)
        with pytest.raises(Unavailable):
            behind.delete(collection, listed)
        chroma.upsert(collection, written[:30])
        proxy.behave()
        proxy.wait_idle()
    assert set(chroma.ids(collection, KEY)) == {one.id for one in written[:30]}


def test_chunks_of_an_earlier_release_are_removed(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url, "b1" * 16)
    old, new = large(60)[:30], large(60)[30:]
    name, mark = chroma._layout.name(collection), chroma._layout.mark(collection)
    columns = {
        "ids": [mark + one.id for one in old],
        "embeddings": np.asarray([one.vector for one in old], dtype=np.float32),
        "documents": [one.chunk.text for one in old],
        "metadatas": [{"collection": collection, "document": KEY, "generation": "g1"}] * len(old),
    }
    chroma._server.upsert(name, chroma._layout.metadata(collection), columns)
    chroma.upsert(collection, new)
    listed = chroma.ids(collection, KEY)
    assert (len(listed), [id_ for id_, stamps in listed.items() if not stamps]) == (60, [one.id for one in old])
    chroma.delete(collection, listed)
    assert chroma.ids(collection, KEY) == {}


def test_a_continuation_leaves_with_a_record_that_was_written_again_without_it(
    chroma_url: str, collection: str
) -> None:
    chroma = index(chroma_url, "b4" * 16)
    written = large(3)
    chroma.upsert(collection, written)
    name, stored = chroma._layout.name(collection), chroma._layout.mark(collection) + written[0].id
    chroma._server.update(name, {stored: {STAMP: "of a worker that died"}})
    chroma.delete(collection, chroma.ids(collection, KEY))
    for one in (name, chroma._layout.continuation(name)):
        assert [id_ for page in chroma._server.pages(one, []) for id_ in page["ids"]] == []
