"""The vector index on a real Chroma server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from docwell.adapters.chroma import ChromaIndex
from docwell.errors import Unavailable
from docwell.models import Chunk, IndexRecord, Units
from docwell.query.retrieval.scope import MOST_ROWS

pytestmark = pytest.mark.integration
KEY = "日本/é+%& a.pdf"


def index(url: str, fingerprint: str = "f" * 32, timeout_s: float = 10.0, kept_passages: int = 0) -> ChromaIndex:
    return ChromaIndex(
        url,
        fingerprint,
        tenant="default_tenant",
        database="default_database",
        timeout_s=timeout_s,
        kept_passages=kept_passages,
    )


def records(count: int, generation: str = "g1", document: str = KEY) -> list[IndexRecord]:
    vectors = np.random.default_rng(7).normal(size=(count, 8))
    return [
        IndexRecord(
            id=f"{document}-{generation}-{i}",
            document=document,
            generation=generation,
            version="v1",
            chunk=Chunk(f"text {i}", i + 1, 0, 6, 2, label="iv" if i else None),
            vector=(vector / np.linalg.norm(vector)).tolist(),
        )
        for i, vector in enumerate(vectors)
    ]


@pytest.fixture
def collection(request: pytest.FixtureRequest) -> str:
    return f"collection/{request.node.name}"


def test_the_nearest_chunk_comes_first_with_all_that_was_written(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    written = records(20)
    chroma.upsert(collection, written)
    found = chroma.search(collection, written[3].vector, 5, None)
    assert len(found) == 5
    assert (found[0].document, found[0].chunk, found[0].generation) == (KEY, written[3].chunk, "g1")
    assert found[0].score == pytest.approx(1.0, abs=1e-5)
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)


def test_the_confidence_of_a_recognised_chunk_comes_back(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    plain, recognised = records(2)
    recognised = replace(recognised, chunk=replace(recognised.chunk, confidence=0.934))
    chroma.upsert(collection, [plain, recognised])
    found = {hit.id: hit.chunk.confidence for hit in chroma.search(collection, plain.vector, 2, None)}
    assert found == {plain.id: None, recognised.id: 0.934}


def test_the_section_and_the_units_of_a_chunk_come_back_as_they_were(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    (plain,) = records(1)
    units = Units(((0, 3), (4, 6)), bytes(range(256)) * 3)
    written = replace(plain, chunk=replace(plain.chunk, heading="Results > 日本"), units=units)
    chroma.upsert(collection, [written])
    (found,) = chroma.search(collection, plain.vector, 5, None)
    assert (found.chunk, found.units) == (written.chunk, units)


def test_a_chunk_that_is_removed_while_chroma_answers_is_no_hit(
    chroma_url: str, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chroma = index(chroma_url)
    written = records(2)
    chroma.upsert(collection, written)
    real: Any = chroma._known[collection].query

    def then_removed(**arguments: Any) -> Any:
        answer = real(**arguments)
        chroma.delete(collection, [written[0].id])
        return answer

    monkeypatch.setattr(chroma._known[collection], "query", then_removed)
    assert [hit.id for hit in chroma.search(collection, written[0].vector, 5, None)] == [written[1].id]


def test_what_was_read_once_is_not_read_again(
    chroma_url: str, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chroma = index(chroma_url, kept_passages=15)
    written = records(20)
    chroma.upsert(collection, written)
    first = chroma.search(collection, written[3].vector, 10, None)
    read: list[list[str]] = []
    real: Any = chroma._known[collection].get

    def watched(**wanted: Any) -> Any:
        read.append(wanted["ids"])
        return real(**wanted)

    monkeypatch.setattr(chroma._known[collection], "get", watched)
    assert chroma.search(collection, written[3].vector, 10, None) == first
    assert read == []
    assert len(chroma.search(collection, written[3].vector, 20, None)) == 20
    assert len(read[0]) == 10
    # Equal ids of two collections are different passages.
    chroma.upsert(f"{collection}/other", [replace(written[3], document="other.pdf")])
    assert [hit.document for hit in chroma.search(f"{collection}/other", written[3].vector, 5, None)] == [
        "other.pdf"
    ]


def test_a_kept_passage_that_was_removed_is_no_hit(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url, kept_passages=100)
    written = records(3)
    chroma.upsert(collection, written)
    chroma.search(collection, written[0].vector, 3, None)
    index(chroma_url).delete(collection, [written[0].id])
    assert written[0].id not in [hit.id for hit in chroma.search(collection, written[0].vector, 3, None)]


def test_writing_twice_is_writing_once(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    for _ in range(2):
        chroma.upsert(collection, records(5))
    assert len(chroma.search(collection, records(1)[0].vector, 100, None)) == 5


def test_ids_are_found_by_generation_and_removed(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    chroma.upsert(collection, records(700, "old"))
    chroma.upsert(collection, records(3, "new"))
    chroma.upsert(collection, records(2, "old", document="another.pdf"))
    assert len(chroma.ids(collection, KEY, of="old", limit=1000)) == 700
    while stale := chroma.ids(collection, KEY, but="new", limit=300):
        chroma.delete(collection, stale)
    left = {hit.id for hit in chroma.search(collection, records(1)[0].vector, 1000, None)}
    assert left == {r.id for r in records(3, "new") + records(2, "old", document="another.pdf")}
    assert len(chroma.ids(collection, KEY)) == 3
    chroma.delete(collection, ["never there"])


def test_chunks_are_paged_and_a_collection_is_dropped(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    chroma.upsert(collection, records(5))
    rows = chroma.page(collection, 0, 3) + chroma.page(collection, 3, 3)
    assert {row[0] for row in rows} == {record.id for record in records(5)}
    assert {row[1:] for row in rows} == {(KEY, "g1")}
    chroma.drop(collection)
    chroma.drop(collection)
    assert chroma.page(collection, 0, 3) == []


def test_a_search_in_one_document_finds_nothing_of_another(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    chroma.upsert(collection, records(5) + records(5, document="another.pdf"))
    found = chroma.search(collection, records(1)[0].vector, 100, ["another.pdf"])
    assert {hit.document for hit in found} == {"another.pdf"}
    assert len(found) == 5


def test_a_search_in_thousands_of_documents_finds_nothing_of_others(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    chroma.upsert(collection, records(5) + records(5, document="another.pdf"))
    absent = [f"handbooks/2026/absent-{number}.pdf" for number in range(MOST_ROWS - 1)]
    found = chroma.search(collection, records(1)[0].vector, 100, [*absent, "another.pdf"])
    assert len(found) == 5
    assert {hit.document for hit in found} == {"another.pdf"}
    assert chroma.search(collection, records(1)[0].vector, 100, absent) == []


def test_a_collection_that_does_not_exist_has_no_hits_and_nothing_to_prune(
    chroma_url: str, collection: str
) -> None:
    chroma = index(chroma_url)
    assert chroma.search(collection, [0.1] * 8, 5, None) == []
    assert chroma.ids(collection, KEY) == []


def test_collections_of_another_fingerprint_are_not_seen(chroma_url: str, collection: str) -> None:
    index(chroma_url, "a" * 32).upsert(collection, records(1))
    assert collection in index(chroma_url, "a" * 32).collections()
    assert collection not in index(chroma_url, "b" * 32).collections()


def test_a_collection_that_was_made_again_meanwhile_is_found_again(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    chroma.upsert(collection, records(1))
    name = chroma._known[collection].name
    chroma._server.delete_collection(name, tenant="default_tenant", database="default_database")
    assert chroma.search(collection, records(1)[0].vector, 5, None) == []
    chroma.upsert(collection, records(2))
    assert len(chroma.search(collection, records(1)[0].vector, 5, None)) == 2


def test_no_server_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        index("http://127.0.0.1:9").search("c", [0.1] * 8, 5, None)


@pytest.fixture
def silent_url() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    for connection in held:
        connection.close()


def test_a_silent_server_is_unavailable_within_the_time_out(silent_url: str) -> None:
    started = time.monotonic()
    with pytest.raises(Unavailable, match="in time"):
        index(silent_url, timeout_s=0.3).collections()
    assert time.monotonic() - started < 5


def test_generations_are_counted_by_document_also_over_pages(
    chroma_url: str, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docwell.adapters.chroma._METADATA_PAGE", 4)
    chroma = index(chroma_url)
    assert chroma.generations(collection, [KEY]) == {}
    for written in (records(7), records(3, "g2"), records(2, document="b.pdf"), records(1, document="c.pdf")):
        chroma.upsert(collection, written)
    found = chroma.generations(collection, [KEY, "b.pdf", "unknown.pdf"])
    assert found == {KEY: {"g1": 7, "g2": 3}, "b.pdf": {"g1": 2}}
