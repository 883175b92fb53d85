"""The vector index on a real Chroma server."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from benchmarks.proxy import Fault, Proxy
from docwell.adapters import chroma as chroma_adapter
from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import HOSTED, Layout
from docwell.adapters.server_auth import Credential, ServerAuth
from docwell.errors import BadInput, Unavailable
from docwell.models import Chunk, IndexRecord, Units
from docwell.ports import Places
from docwell.query.retrieval.scope import MOST_ROWS
from docwell.query.values import KINDS
from tests.integration.quota_proxy import DATABASE, TENANT, TOKEN, is_hosted

pytestmark = pytest.mark.integration
KEY = "日本/é+%& a.pdf"


def index(
    url: str, fingerprint: str = "f" * 32, timeout_s: float = 10.0, kept_passages: int = 0, shards: int = 8
) -> ChromaIndex:
    hosted: dict[str, Any] = {}
    if is_hosted(url):
        auth = ServerAuth(lambda: Credential(TOKEN), "X-Chroma-Token")
        hosted = {"tenant": TENANT, "database": DATABASE, "auth": auth, "quotas": HOSTED}
    server = ChromaServer(url, timeout_s=timeout_s, **hosted)
    return ChromaIndex(server, Layout(fingerprint, shards), kept_passages)


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
    units = Units(((0, 3), (4, 6)), bytes(range(256)) * 3)
    written[3] = replace(written[3], chunk=replace(written[3].chunk, heading="Results > 日本"), units=units)
    chroma.upsert(collection, written)
    hits = chroma.search({collection: None}, written[3].vector, 5)
    assert len(hits) == 5
    assert (hits[0].document, hits[0].generation, hits[0].units) == (KEY, "g1", units)
    assert hits[0].chunk == written[3].chunk
    assert hits[0].score == pytest.approx(1.0, abs=1e-5)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def remove(chroma: ChromaIndex, collection: str, id_: str, document: str = KEY) -> None:
    chroma.delete(collection, {id_: chroma.ids(collection, document)[id_]})


def test_a_chunk_that_is_removed_while_chroma_answers_is_no_hit(
    chroma_url: str, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chroma = index(chroma_url)
    written = records(2)
    chroma.upsert(collection, written)
    real: Any = chroma._server.opened[chroma._layout.name(collection)].query

    def then_removed(**arguments: Any) -> Any:
        answer = real(**arguments)
        remove(chroma, collection, written[0].id)
        return answer

    monkeypatch.setattr(chroma._server.opened[chroma._layout.name(collection)], "query", then_removed)
    assert [hit.id for hit in chroma.search({collection: None}, written[0].vector, 5)] == [written[1].id]


def test_a_passage_is_cached_for_ten_minutes(
    chroma_url: str, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(chroma_adapter, "monotonic", lambda: now)
    chroma = index(chroma_url, kept_passages=15)
    written = records(20)
    chroma.upsert(collection, written)
    first = chroma.search({collection: None}, written[3].vector, 10)
    read: list[list[str]] = []
    real: Any = chroma._server.opened[chroma._layout.name(collection)].get

    def watched(**wanted: Any) -> Any:
        read.append(wanted["ids"])
        return real(**wanted)

    monkeypatch.setattr(chroma._server.opened[chroma._layout.name(collection)], "get", watched)
    assert chroma.search({collection: None}, written[3].vector, 10) == first
    assert read == []
    assert len(chroma.search({collection: None}, written[3].vector, 20)) == 20
    assert len(read[0]) == 10
    now = 601.0  # no text is older than ten minutes
    assert chroma.search({collection: None}, written[3].vector, 10) == first
    assert len(read[-1]) == 10
    # Equal ids in two collections are different passages.
    chroma.upsert(f"{collection}/other", [replace(written[3], document="other.pdf")])
    assert [hit.document for hit in chroma.search({f"{collection}/other": None}, written[3].vector, 5)] == [
        "other.pdf"
    ]


def test_a_cached_passage_that_was_removed_is_no_hit(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url, kept_passages=100)
    written = records(3)
    chroma.upsert(collection, written)
    chroma.search({collection: None}, written[0].vector, 3)
    remove(index(chroma_url), collection, written[0].id)
    assert written[0].id not in [hit.id for hit in chroma.search({collection: None}, written[0].vector, 3)]


def test_writing_a_chunk_twice_stores_it_once(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    assert chroma.search({collection: None}, [0.1] * 8, 5) == []  # the collection does not exist yet
    assert chroma.ids(collection, KEY) == {}
    for _ in range(2):
        chroma.upsert(collection, records(5))
    assert len(chroma.search({collection: None}, records(1)[0].vector, 100)) == 5


def test_ids_are_found_by_generation_and_removed(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url, "1" * 32)
    chroma.upsert(collection, records(700, "old"))
    chroma.upsert(collection, records(3, "new"))
    chroma.upsert(collection, records(2, "old", document="another.pdf"))
    assert len(chroma.ids(collection, KEY, of="old", limit=1000)) == 700
    while stale := chroma.ids(collection, KEY, but="new", limit=300):
        chroma.delete(collection, stale)
    left = {hit.id for hit in chroma.search({collection: None}, records(1)[0].vector, 1000)}
    assert left == {r.id for r in records(3, "new") + records(2, "old", document="another.pdf")}
    assert len(chroma.ids(collection, KEY)) == 3
    chroma.delete(collection, {"never there": "a stamp of no chunk"})


@pytest.mark.parametrize("shards", [1, 8])
def test_chunks_are_paged_and_an_index_is_dropped(chroma_url: str, collection: str, shards: int) -> None:
    chroma = index(chroma_url, "c" * 32, shards=shards)
    chroma.upsert(collection, records(5))
    (name,) = chroma.collections()
    rows = chroma.page(name, 0, 3) + chroma.page(name, 3, 3)
    assert {row[0] for row in rows} == {record.id for record in records(5)}
    assert {row[1:] for row in rows} == {(KEY, "g1")}
    chroma.drop(name)
    chroma.drop(name)
    assert chroma.page(name, 0, 3) == []
    assert chroma.collections() == []


def test_collections_of_another_fingerprint_are_not_seen(chroma_url: str, collection: str) -> None:
    index(chroma_url, "a" * 32).upsert(collection, records(1))
    assert index(chroma_url, "a" * 32).search(None, records(1)[0].vector, 5)
    assert index(chroma_url, "b" * 32).collections() == []
    assert index(chroma_url, "b" * 32).search(None, records(1)[0].vector, 5) == []


def test_a_collection_that_was_dropped_and_created_again_is_opened_again(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    chroma.upsert(collection, records(1))
    name = chroma._server.opened[chroma._layout.name(collection)].name
    chroma._server.client.delete_collection(name, **chroma._server.where)
    assert chroma.search({collection: None}, records(1)[0].vector, 5) == []
    chroma.upsert(collection, records(2))
    assert len(chroma.search({collection: None}, records(1)[0].vector, 5)) == 2


def test_a_missing_server_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        index("http://127.0.0.1:9").search({"c": None}, [0.1] * 8, 5)


def test_a_silent_server_is_unavailable_within_the_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(Unavailable, match="in time"):
        index(f"http://127.0.0.1:{server.getsockname()[1]}", timeout_s=0.3).collections()


def test_generations_are_counted_by_document_also_over_pages(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url, "3" * 32)
    chroma._server.quotas = replace(chroma._server.quotas, records=4)
    assert chroma.generations(collection, [KEY]) == {}
    for written in (records(7), records(3, "g2"), records(2, document="b.pdf"), records(1, document="c.pdf")):
        chroma.upsert(collection, written)
    found = chroma.generations(collection, [KEY, "b.pdf", "unknown.pdf"])
    assert found == {KEY: {"g1": 7, "g2": 3}, "b.pdf": {"g1": 2}}


FOLDERS = ("large", "middle", *(f"small-{number}" for number in range(40)))


@pytest.fixture(scope="module", params=[1, 8])
def folders(request: pytest.FixtureRequest, chroma_url: str) -> tuple[int, dict[str, list[IndexRecord]]]:
    """The shards of an index, and the records of its collections, which have very different sizes."""
    chroma = index(chroma_url, f"{request.param}f" * 16, shards=request.param)
    random = np.random.default_rng(11)
    written: dict[str, list[IndexRecord]] = {}
    for number, folder in enumerate(FOLDERS):
        size = {0: 1200, 1: 150}.get(number, 3)
        vectors = random.normal(size=(size, 8))
        vectors /= np.linalg.norm(vectors, axis=1)[:, None]
        (chunk,) = records(1)
        written[folder] = [
            replace(chunk, id=f"{i}", document=f"{folder}/{i}.pdf", vector=vector.tolist())
            for i, vector in enumerate(vectors)
        ]
        chroma.upsert(folder, written[folder])
    return request.param, written


@pytest.mark.parametrize(
    "places",
    [
        None,
        {},
        {"large": None},
        {"middle": None},
        {"small-3": None},
        {"missing": None},
        dict.fromkeys(FOLDERS[2:]),
        dict.fromkeys(FOLDERS[:20]),
        {"large": ["large/7.pdf", "large/8.pdf"], "small-1": None, "middle": ["middle/1.pdf"]},
    ],
)
def test_a_search_is_exact_in_its_places_in_every_layout(
    chroma_url: str, folders: tuple[int, dict[str, list[IndexRecord]]], places: Places | None
) -> None:
    shards, written = folders
    chroma = index(chroma_url, f"{shards}f" * 16, shards=shards)  # this index does not know the sizes yet
    inside = {
        one.document: one.vector
        for folder, ones in written.items()
        for one in ones
        if places is None or (folder in places and ((keys := places[folder]) is None or one.document in keys))
    }
    for asked in records(3):
        cosines = {key: float(np.dot(asked.vector, vector)) for key, vector in inside.items()}
        nearest = sorted(cosines, key=lambda key: -cosines[key])[:10]
        found = chroma.search(places, asked.vector, 10)
        assert [hit.document for hit in found] == nearest
        assert [hit.score for hit in found] == pytest.approx([cosines[key] for key in nearest], abs=1e-5)


@pytest.mark.slow
def test_a_small_subject_is_found_beside_a_large_one(chroma_url: str) -> None:
    dimension, large, small = 64, 8000, 400
    draw = np.random.default_rng(0).normal
    subject, other = draw(size=(2, dimension))
    topics = subject / np.linalg.norm(subject) + 0.3 * draw(size=(40, dimension)) / 8
    vectors = np.concatenate(
        [
            np.repeat(topics, large // 40, axis=0) + 0.3 * draw(size=(large, dimension)) / 8,
            other / np.linalg.norm(other) + 2 * draw(size=(small, dimension)) / 8,
        ]
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    asked = vectors[large::8] + draw(size=(small // 8, dimension)) / 8
    nearest = np.argsort(-(asked @ vectors.T), axis=1)[:, :5]
    chunk = Chunk("text", 1, 0, 4, 1)
    rows = [IndexRecord(f"{i:032}", KEY, "g1", "v1", chunk, vector) for i, vector in enumerate(vectors.tolist())]
    chroma = index(chroma_url, fingerprint="5b" * 16, timeout_s=60, shards=1)
    for start in range(0, len(rows), 500):
        chroma.upsert("both", rows[start : start + 500])
    found = [{int(hit.id) for hit in chroma.search(None, vector, 110)} for vector in asked.tolist()]
    assert np.mean([len(found[i] & set(near.tolist())) / 5 for i, near in enumerate(nearest)]) >= 0.99


def test_an_unscoped_search_asks_each_shard_once(chroma_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chroma = index(chroma_url, "d" * 32)
    for number in range(60):
        chroma.upsert(f"folder-{number}", records(1, document=f"folder-{number}/a.pdf"))
    assert len(chroma.collections()) == 8
    asked: list[str] = []
    real = chroma._nearest

    def watched(name: str, *rest: Any) -> Any:
        asked.append(name)
        return real(name, *rest)

    monkeypatch.setattr(chroma, "_nearest", watched)
    assert len(chroma.search(None, records(1)[0].vector, 100)) == 60
    assert sorted(asked) == chroma.collections()


@pytest.mark.parametrize("compared", [5, 4])
def test_a_search_in_one_document_finds_nothing_of_another(
    chroma_url: str, collection: str, compared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chroma, asked = index(chroma_url), records(2)[1].vector
    monkeypatch.setattr(chroma_adapter, "_MOST_COMPARED", compared)
    chroma.upsert(collection, records(5) + records(5, document="another.pdf"))
    if compared == 5 and not is_hosted(chroma_url):
        known = chroma._server.opened[chroma._layout.name(collection)]
        monkeypatch.setattr(known, "query", lambda **_: pytest.fail("Chroma searched"))
    cosines = {f"another.pdf-g1-{i}": float(np.dot(one.vector, asked)) for i, one in enumerate(records(5))}
    found = chroma.search({collection: ["another.pdf"]}, asked, 4)
    assert [hit.id for hit in found] == sorted(cosines, key=lambda id_: -cosines[id_])[:4]
    assert [hit.score for hit in found] == pytest.approx([cosines[hit.id] for hit in found], abs=1e-5)


def test_a_search_in_thousands_of_documents_finds_nothing_of_others(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    chroma.upsert(collection, records(5) + records(5, document="another.pdf"))
    absent = [f"handbooks/2026/absent-{number}.pdf" for number in range(MOST_ROWS - 1)]
    found = chroma.search({collection: [*absent, "another.pdf"]}, records(1)[0].vector, 100)
    assert len(found) == 5
    assert {hit.document for hit in found} == {"another.pdf"}
    assert chroma.search({collection: absent}, records(1)[0].vector, 100) == []


def write_texts(chroma: ChromaIndex, collection: str, texts: Sequence[str], *documents: str) -> None:
    for document in documents:
        written = zip(records(len(texts), document=document), texts, strict=True)
        chroma.upsert(collection, [replace(r, chunk=replace(r.chunk, text=text)) for r, text in written])


def test_chunks_with_a_text_are_found_in_any_case_and_language(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    texts = ["The Huguenots came.", "HUGUENOT churches", "\u00c9COLE \u65e5\u672c\u8a9e", "nothing", "a+b (c)"]
    write_texts(chroma, collection, texts, "a.pdf", "b.pdf")

    def found(*beginnings: str, documents: tuple[str, ...] = ("a.pdf",), limit: int = 100) -> list[str]:
        hits = chroma.containing({collection: documents}, [re.escape(text) for text in beginnings], limit)
        assert {hit.document for hit in hits} <= set(documents)
        return sorted(hit.chunk.text for hit in hits)

    assert found("hugue") == sorted(texts[:2])
    assert found("hugue", "CHURCH") == [texts[1]]
    assert found("\u00e9co") == found("\u65e5\u672c") == [texts[2]]
    assert found("a+b (") == [texts[4]]
    assert found("zanz") == []
    assert len(found("hugue", documents=("a.pdf", "b.pdf"))) == 4
    assert len(found("hugue", documents=("a.pdf", "b.pdf"), limit=3)) == 3
    assert chroma.containing({f"{collection}/none": ["a.pdf"]}, ["hugue"], 10) == []


def test_chunks_that_can_have_a_kind_of_values_are_found(chroma_url: str, collection: str) -> None:
    chroma = index(chroma_url)
    day, period, euros, words, percent, address = texts = [
        "On 5 May 2024.", "Within thirty DAYS.", "\u20ac 5", "five Euros", "five PERCENT", "a@b.example"
    ]  # fmt: skip
    write_texts(chroma, collection, [*texts, "nothing"], "a.pdf")
    found = {
        name: {hit.chunk.text for hit in chroma.containing({collection: ["a.pdf"]}, [kind.pattern], 100)}
        for name, kind in KINDS.items()
    }
    assert found == {
        "dates": {day, euros},
        "years": {day},
        "deadlines": {day, period, euros},
        "amounts": {euros, words},
        "percentages": {percent},
        "emails": {address},
    }


def test_the_chunks_of_a_page_are_those_of_one_generation_of_a_document_that_is_not_too_long(
    chroma_url: str, collection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chroma = index(chroma_url)
    home = collection.replace("/", "-")
    written = records(6, document=f"{home}/a.pdf")
    places = [(1, "g1"), (2, "g1"), (2, "g1"), (2, "g2"), (3, "g1"), (2, "g1")]
    chroma.upsert(
        home,
        [
            replace(one, chunk=replace(one.chunk, page=page), generation=generation)
            for one, (page, generation) in zip(written, places, strict=True)
        ],
    )
    found = {one.id for one in chroma.on_page(f"{home}/a.pdf", "g1", 2)}
    assert found == {written[number].id for number in (1, 2, 5)}
    assert chroma.on_page(f"{home}/a.pdf", "g3", 2) == []
    monkeypatch.setattr(chroma_adapter, "_MOST_READ", 2)
    with pytest.raises(BadInput, match="too long"):
        chroma.on_page(f"{home}/a.pdf", "g1", 2)


def large(count: int) -> list[IndexRecord]:
    """Return records with more metadata than a record of the hosted Chroma may have."""
    units = Units(tuple((5 * number, 5 * number + 4) for number in range(10)), bytes(3840))
    return [replace(one, units=units) for one in records(count)]


@pytest.mark.parametrize("shards", [1, 8])
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


def test_a_late_delete_removes_no_chunk_that_was_written_after_it_was_sent(
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
