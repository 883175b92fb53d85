"""A chunk as Chroma stores it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from docwell.adapters.chroma_records import passage_of, stored_fields
from docwell.models import Chunk, IndexRecord, Mark, Part, Units


@pytest.mark.parametrize("units", [0, 1, 7, 8, 40])
def test_a_chunk_with_long_metadata_comes_back_whole_and_keeps_the_quotas(units: int) -> None:
    spans = tuple((0, 4) for _ in range(units))
    vectors = Units(spans, random.Random(1).randbytes(384 * units))
    chunk = Chunk("text", 1, 0, 4, 1)
    record = IndexRecord("1", "a/b.pdf", "g1", "v1", chunk, [1.0], vectors, (Mark(Part.OPENING, 0, 4),))
    fields = stored_fields("a", record, "0" * 16)
    assert max(len(str(value)) for value in fields.values()) <= 4096
    assert len(fields) <= 32
    # Chroma keeps the fields of an earlier write that this one lacks.
    earlier = stored_fields("a", replace(record, units=Units(vectors=bytes(40_000))), "1" * 16)
    assert passage_of("1", "text", earlier | fields).units == vectors
