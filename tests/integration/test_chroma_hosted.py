"""The vector index on a Chroma server with the quotas, the token and the tenant of the hosted one.

All tests of the index run here again; those below are about the quotas alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from inspect import isfunction

import numpy as np
import pytest

from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import UNLIMITED
from docwell.adapters.server_auth import Credential, ServerAuth
from docwell.config import StorageSettings
from docwell.errors import Corrupt, Unavailable
from docwell.models import IndexRecord, Mark, Part, Units
from docwell.wiring import pipelines
from tests.integration import quota_proxy, test_chroma
from tests.integration.reconcile_world import KEYS, drift, fill, new_world
from tests.integration.test_chroma import KEY, collection, folders, index, records

pytestmark = pytest.mark.integration
__all__ = ["collection", "folders"]
globals().update(
    {name: test for name, test in vars(test_chroma).items() if name.startswith("test_") and isfunction(test)}
)


@pytest.fixture(scope="module")
def chroma_url(chroma_url: str) -> Iterator[str]:
    """The URL of the proxy before the server."""
    with quota_proxy.quota_proxy(chroma_url) as url:
        yield url


def large(count: int, units: int = 10) -> list[IndexRecord]:
    """Return records whose units need more metadata than a record may have, each with other numbers."""
    random = np.random.default_rng(5)
    spans = tuple((5 * number, 5 * number + 4) for number in range(units))
    return [
        replace(one, units=Units(spans, random.integers(0, 256, 384 * units, dtype=np.uint8).tobytes()))
        for one in records(count)
    ]


def test_a_record_over_the_quota_of_metadata_comes_back_whole(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url, "4" * 32, timeout_s=60)
    written = [*large(301), *records(2, "small")]
    chroma.upsert(collection, written)
    found = {hit.id: hit.units for hit in chroma.search({collection: None}, written[0].vector, 300)}
    assert len(found) == 300
    assert found == {one.id: one.units for one in written if one.id in found}


def test_marks_fit_into_a_record_over_the_quota(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    home = collection.replace("/", "-")
    marks = tuple(Mark(Part.HEADING, number, number + 1, 123.5) for number in range(10))
    (record,) = (replace(record, document=f"{home}/a.pdf", marks=marks) for record in large(1))
    chroma.upsert(home, [record])
    ((passage, stored),) = chroma.marked(record.document, "g1")
    assert (passage.units, stored) == (record.units, marks)


def test_an_expression_over_the_quota_is_matched_in_this_process(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    written = records(400)
    chroma.upsert(collection, written)
    pattern = "(?:" + "|".join(f"word{number}" for number in range(40)) + "|TEXT 39[0-9])"
    found = chroma.containing({collection: [KEY]}, [pattern, "text"], 500)
    assert {hit.chunk.text for hit in found} == {f"text {number}" for number in range(390, 400)}
    assert len(chroma.containing({collection: [KEY]}, [pattern], 3)) == 3


def test_ingest_and_reconcile_work_on_a_hosted_server(chroma_url: str) -> None:
    with new_world(chroma_url) as world:
        fill(world)
        world.put(KEYS[1], "other text")
        world.delete(KEYS[0])
        assert drift(world.run()) == {"stale": 1, "orphan": 1}
        world.work()
        world.later()
        assert drift(world.run()) == {}
        world.check_equal()


def test_a_refusal_over_a_quota_is_no_outage(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    chroma._server.quotas = UNLIMITED
    with pytest.raises(Corrupt, match="'Number of records'"):
        chroma.upsert(collection, records(301))


def test_another_tenant_or_token_is_refused(chroma_url: str) -> None:
    wrong = ServerAuth(lambda: Credential("another"), "X-Chroma-Token")
    right = ServerAuth(lambda: Credential(quota_proxy.TOKEN), "X-Chroma-Token")
    for server in (ChromaServer(chroma_url, auth=wrong), ChromaServer(chroma_url, auth=right)):
        with pytest.raises(Unavailable, match="AuthError"):
            ChromaIndex(server, index(chroma_url)._layout).collections()


def test_the_header_of_the_hosted_server_brings_its_quotas(chroma_url: str, collection: str) -> None:
    settings = StorageSettings.read(
        bucket="b",
        chroma_url=chroma_url,
        chroma_token=quota_proxy.TOKEN,
        chroma_header="X-Chroma-Token",
        chroma_tenant=quota_proxy.TENANT,
        chroma_database=quota_proxy.DATABASE,
        chroma_timeout_s=60,
    )
    chroma = pipelines.index_of(settings, "8" * 32, 8)
    chroma.upsert(collection, large(301))
    assert len(chroma.search({collection: None}, records(1)[0].vector, 2000)) == 300
