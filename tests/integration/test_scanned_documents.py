"""A mixed document through ingest on a real Chroma server, recognised by RapidOCR where it is installed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from docwell.adapters.chroma import ChromaIndex, ChromaServer
from docwell.adapters.chroma_records import Layout
from docwell.models import Status
from docwell.query.checking.grounding import cite
from tests.integration.test_ocr_reader import SENTENCES, real, scan, with_rapidocr, words
from tests.unit.fakes import FakeEmbedder
from tests.unit.ingest.ingest_world import KEY, World

pytestmark = pytest.mark.integration


@with_rapidocr
@pytest.mark.timeout(900)
def test_a_scanned_page_of_a_mixed_document_is_found_and_cited_with_its_confidence(chroma_url: str) -> None:
    world, reader = World(ocr_min_confidence=0.75, chunk_tokens=100), real()
    index = ChromaIndex(ChromaServer(chroma_url), Layout("0" * 32, 8))
    indexer = replace(world.ingest.indexer, index=index, reader=reader.reader, recogniser=reader)
    world.ingest = replace(world.ingest, index=index, indexer=indexer)
    world.store.put(KEY, scan(0))
    assert world.update().status is Status.PENDING
    collection, question = "handbooks", FakeEmbedder().embed_queries([SENTENCES[2]])[0].tolist()
    assert {hit.chunk.page for hit in index.search({collection: None}, question, 9)} == {1}
    world.work_off()
    record = world.ledger.records[KEY]
    assert (record.status, record.pages_done, record.detail) == (Status.INDEXED, 2, "page 2: recognised")
    hits = index.search({collection: None}, question, 9)
    assert {hit.generation for hit in hits} == {record.live_generation}
    (scanned,) = [hit for hit in hits if hit.chunk.page == 2]
    assert words(SENTENCES[2]) <= words(scanned.chunk.text)
    citation = cite(1, scanned, 0, 20)
    assert citation.ocr_confidence is not None
    assert citation.ocr_confidence > 0.9
