"""A chunk as Chroma stores it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from docwell.adapters.chroma_records import HOSTED, stored_fields
from docwell.models import Chunk, IndexRecord, Mark, Part, Units


@pytest.mark.parametrize("units", range(1, 12))
def test_a_chunk_is_cut_at_the_same_place_with_its_marks(units: int) -> None:
    vectors = random.Random(1).randbytes(384 * units)
    chunk = Chunk("text", 1, 0, 4, 1)
    spans = tuple((0, 4) for _ in range(units))
    record = IndexRecord("1", "a/b.pdf", "g1", "v1", chunk, [1.0], Units(spans, vectors))
    marked = replace(record, marks=(Mark(Part.OPENING, 0, 4),))
    fields, rest = stored_fields("a", record, "0" * 16, HOSTED.metadata_bytes)
    with_marks, its_rest = stored_fields("a", marked, "0" * 16, HOSTED.metadata_bytes)
    assert rest == its_rest
    assert fields.items() <= with_marks.items()
