"""A citation unit on its way: page, chunk, stored record, joined passage, citation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from docwell.adapters.chroma_records import passage_of, record_fields
from docwell.ingest.chunking import cut_pages
from docwell.models import Chunk, CitationUnit, IndexRecord, Page, Passage, UnitKind
from docwell.query.checking.check import Checker
from docwell.query.checking.grounding import unit_of
from docwell.query.retrieval.ranking import merge
from tests.unit.ingest.test_chunking import WordPieces

ROWS = [f"Part: rotor {number} | Mass: {number} kg" for number in range(1, 9)]
UNITS = [
    CitationUnit(UnitKind.RANGE, f"Parts!A{number}:B{number}", f"Parts!A{number}:B{number}")
    for number in range(2, 10)
]
TEXT = "\n\n".join(ROWS)
STARTS = [TEXT.index(row) for row in ROWS]
PAGE = Page(1, TEXT, citation_units=tuple(zip(STARTS, UNITS, strict=True)))


@pytest.fixture
def chunks() -> list[Chunk]:
    ((_, cut),) = cut_pages([PAGE], WordPieces(), 30)
    assert len(cut) > 2
    return [chunk for chunk, _ in cut]


def passage(chunk: Chunk) -> Passage:
    return Passage(f"{chunk.start}", "parts.xlsx", "g", "v", chunk, 0.9)


def test_each_row_of_a_chunk_has_its_unit(chunks: list[Chunk]) -> None:
    for chunk in chunks:
        assert chunk.citation_units[0][0] == 0
        for row, unit in zip(ROWS, UNITS, strict=True):
            if (place := chunk.text.find(row)) >= 0:
                assert unit_of(chunk, place) == unit_of(chunk, place + len(row) - 1) == unit


def test_a_chunk_that_begins_within_a_unit_has_that_unit() -> None:
    unit = CitationUnit(UnitKind.SLIDE, "slide 4", "slide=4")
    page = Page(4, TEXT, citation_units=((0, unit),))
    ((_, cut),) = cut_pages([page], WordPieces(), 40)
    assert [chunk.citation_units for chunk, _ in cut] == [((0, unit),)] * len(cut)


def test_the_unit_of_a_pdf_is_its_page_with_the_printed_number() -> None:
    assert unit_of(Chunk("text", 9, 0, 4, 1, "vii"), 2) == CitationUnit(UnitKind.PAGE, "vii", "page=9")
    assert unit_of(Chunk("text", 9, 0, 4, 1), 2) == CitationUnit(UnitKind.PAGE, "9", "page=9")


def test_a_stored_chunk_comes_back_with_its_units(chunks: list[Chunk]) -> None:
    fields = record_fields(IndexRecord("id", "parts.xlsx", "g", "v", chunks[1], []))
    assert passage_of("id", chunks[1].text, fields).chunk == chunks[1]


def test_a_joined_passage_has_the_units_of_both(chunks: list[Chunk]) -> None:
    (joined,) = merge([passage(chunks[1]), passage(chunks[0])], 5)
    for row, unit in zip(ROWS, UNITS, strict=True):
        if (place := joined.chunk.text.find(row)) >= 0:
            assert unit_of(joined.chunk, place) == unit


def test_a_citation_has_the_unit_in_which_its_quote_begins(chunks: list[Chunk]) -> None:
    checker = Checker([passage(chunks[0])], "What is the mass of rotor 2?")
    answer, _ = checker.check("The mass of rotor 2 is 2 kg [1].")
    assert answer is not None
    (citation,) = answer.citations
    assert citation.unit == UNITS[[row in citation.quote for row in ROWS].index(True)]


def test_a_label_that_a_document_wrote_has_no_links(chunks: list[Chunk]) -> None:
    evil = CitationUnit(UnitKind.PARAGRAPH, "[pay](http://evil.example) > paragraph 1", "paragraph=1")
    chunk = replace(chunks[0], citation_units=((0, evil),))
    assert "http" not in unit_of(chunk, 0).label
