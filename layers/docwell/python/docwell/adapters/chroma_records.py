"""How Chroma stores chunks: in which collection, under which fields, within which quotas. Pure.

A Chroma collection is a shard that holds many docwell collections, so that a question to all of them costs a fixed
number of searches (docs/decisions/0013-four-shards.md).
"""

from __future__ import annotations

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from docwell.errors import Corrupt
from docwell.models import Chunk, CitationUnit, IndexRecord, Mark, Part, Passage, UnitKind, Units, digest
from docwell.ports import Places

# The field that selects the chunks of an overview in a condition.
MARKED = "marked"
# The field that identifies the write of a record.
STAMP = "stamp"
_STAMP_BYTES = 8
# https://docs.trychroma.com/cloud/quotas-limits: "Maximum record metadata value size bytes: 4,096".
_VALUE_BYTES = 4096
# The field with the number of the fields `chunk`, `chunk1`...
_PARTS = "parts"
# The fields of a chunk that are stored under their names.
_PLAIN = ("start", "end", "tokens", "label", "heading")


def new_stamp() -> str:
    """Return a stamp that no other write has, as 16 hex digits."""
    return token_hex(_STAMP_BYTES)


def stored_fields(collection: str, record: IndexRecord, stamp: str) -> dict[str, Any]:
    """Return a record's metadata. All values keep the quotas of the hosted service."""
    fields = {"collection": collection, STAMP: stamp, **record_fields(record)}
    marks = [(mark.part, mark.start, mark.end, mark.size) for mark in record.marks]
    return fields | ({MARKED: True, "marks": json.dumps(marks)} if marks else {})


def record_fields(record: IndexRecord) -> dict[str, str]:
    """Return the fields to filter by, and the rest as JSON: Chroma stores a row for each field.

    JSON that is too long for one value, which is ASCII, goes on in the fields `chunk1`, `chunk2`...
    """
    chunk, units = record.chunk, record.units
    details = {
        "version": record.version,
        "page_start": chunk.page,
        **{name: getattr(chunk, name) for name in _PLAIN},
        "confidence": None if chunk.confidence is None else round(chunk.confidence, 3),
        "citation_units": [(start, unit.kind, unit.label, unit.anchor) for start, unit in chunk.citation_units],
        "unit_spans": units.spans,
        "unit_vectors": b64encode(units.vectors).decode(),
    }
    value = json.dumps(details)
    parts = [value[start : start + _VALUE_BYTES] for start in range(0, len(value), _VALUE_BYTES)]
    chunk_fields = {_chunk_field(number): part for number, part in enumerate(parts)}
    # Chroma keeps the fields of an earlier write that a shorter one lacks: count those to read.
    counted = {_PARTS: str(len(parts))}
    return {"document": record.document, "generation": record.generation, **counted, **chunk_fields}


def _chunk_field(number: int) -> str:
    return f"chunk{number}" if number else "chunk"


def passage_of(id_: str, text: str, metadata: Mapping[str, Any]) -> Passage:
    """Return a stored chunk with score 0, which a search replaces. Raises `Corrupt`."""
    try:
        parts = (str(metadata[_chunk_field(number)]) for number in range(int(metadata[_PARTS])))
        details = json.loads("".join(parts))
        spans = tuple((start, end) for start, end in details["unit_spans"])
        chunk = Chunk(
            text=text,
            page=details["page_start"],
            confidence=details["confidence"],
            **{name: details[name] for name in _PLAIN},
            citation_units=tuple(
                (start, CitationUnit(UnitKind(kind), label, anchor))
                for start, kind, label, anchor in details["citation_units"]
            ),
        )
        return Passage(
            id=id_,
            document=metadata["document"],
            generation=metadata["generation"],
            version=details["version"],
            chunk=chunk,
            score=0.0,
            units=Units(spans, b64decode(details["unit_vectors"], validate=True)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupt(f"chunk {id_} was not written by docwell") from error


def marks_of(metadata: Mapping[str, Any]) -> tuple[Mark, ...]:
    """Return the marks in a chunk's metadata. Raises `Corrupt`."""
    try:
        return tuple(Mark(Part(part), *place) for part, *place in json.loads(metadata["marks"]))
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupt("a chunk has marks that docwell did not write") from error


_MARK = 8  # hex digits
# With more records than this, Chroma applies the write-ahead log of a collection, and purges it some time later.
SYNC_THRESHOLD = 1000


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of one fingerprint's index, in `shards` Chroma collections.

    A stored id begins with the mark of its docwell collection, so that a search sees the collection of
    each hit without reading it. Two collections can have the same mark: the ledger decides.
    """

    fingerprint: str
    shards: int

    def name(self, collection: str) -> str:
        """Return the name of the Chroma collection that holds a docwell collection."""
        return f"docwell-shard-{int(digest(collection)[_MARK:], 16) % self.shards:03}-{self._short}"

    def by_name(self, places: Places) -> dict[str, Places]:
        """Return the places by the name of their Chroma collection."""
        parts: dict[str, dict[str, Sequence[str] | None]] = {}
        for collection, documents in places.items():
            parts.setdefault(self.name(collection), {})[collection] = documents
        return {**parts}

    def metadata(self) -> dict[str, str]:
        """Return the metadata of a shard."""
        return {"fingerprint": self._short}

    def owns(self, metadata: Mapping[str, object]) -> bool:
        """Return whether a Chroma collection with this metadata belongs to the fingerprint."""
        # Earlier releases kept the rest of long records in a second collection: `drop` removes it too.
        return self._short in (metadata.get("fingerprint"), metadata.get("continues"))

    def mark(self, collection: str) -> str:
        """Return the beginning of the stored ids of a docwell collection."""
        return digest(collection)[:_MARK]

    def id_of(self, stored: str) -> str:
        """Return a chunk's id from its stored id."""
        return stored[_MARK:]

    @property
    def _short(self) -> str:
        return self.fingerprint[:16]


@dataclass(frozen=True, slots=True)
class Quotas:
    """The limits of one request.

    `records` are written, removed or returned. `pattern_bytes` counts those of one regular expression.
    """

    records: int
    pattern_bytes: int


# A self-hosted server has no quota. 5,000 records of metadata are about 2 MB of an answer.
UNLIMITED = Quotas(records=5000, pattern_bytes=sys.maxsize)
# https://docs.trychroma.com/cloud/quotas-limits. The page says 256 for a regular expression; the service's error
# says 130.
HOSTED = Quotas(records=300, pattern_bytes=130)
