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
from hashlib import sha256
from secrets import token_hex
from typing import Any

from docwell.errors import Corrupt
from docwell.models import Chunk, CitationUnit, IndexRecord, Mark, Part, Passage, UnitKind, Units
from docwell.ports import Places

# The field that selects the chunks of an overview in a condition.
MARKED = "marked"
# The field that marks a record whose JSON value is too long: the rest is in a continuation record.
CONTINUED = "continued"
# The field that identifies the write of a record.
STAMP = "stamp"
_STAMP_DIGITS = 16
# Ingest adds marks later, at about 30 bytes each. Few chunks have more than three.
_MARKS_BYTES = 512


def new_stamp() -> str:
    """Return a stamp that no other write has, as 16 hex digits."""
    return token_hex(_STAMP_DIGITS // 2)


def stored_fields(collection: str, record: IndexRecord, stamp: str, most_bytes: int) -> tuple[dict[str, Any], str]:
    """Return a record's metadata in at most so many bytes, and the rest of its JSON value, which is ASCII."""
    fields: dict[str, Any] = {"collection": collection, **record_fields(record)}
    marks = mark_fields(record.marks) if record.marks else {}
    added = {STAMP: stamp, **marks}
    # A retry may add marks to a record that was written without any: both writes must split it at the same place.
    over = _size(fields) + max(_MARKS_BYTES, _size(added)) - most_bytes
    fields |= added
    if over <= 0:
        return fields, ""
    fields[CONTINUED] = True
    room = max(len(fields["chunk"]) - over - _size({CONTINUED: True}), 0)
    text, fields["chunk"] = fields["chunk"], fields["chunk"][:room]
    return fields, text[room:]


def _size(fields: Mapping[str, Any]) -> int:
    return sum(len(f"{name}{value}".encode()) for name, value in fields.items())


def record_fields(record: IndexRecord) -> dict[str, str]:
    """Return the fields to filter by, and the rest as one JSON value: Chroma stores a row for each field."""
    chunk, units = record.chunk, record.units
    details = {
        "version": record.version,
        "page_start": chunk.page,
        "start": chunk.start,
        "end": chunk.end,
        "tokens": chunk.tokens,
        "label": chunk.label,
        "heading": chunk.heading,
        "confidence": None if chunk.confidence is None else round(chunk.confidence, 3),
        "citation_units": [(start, unit.kind, unit.label, unit.anchor) for start, unit in chunk.citation_units],
        "unit_spans": units.spans,
        "unit_vectors": b64encode(units.vectors).decode(),
    }
    return {"document": record.document, "generation": record.generation, "chunk": json.dumps(details)}


def passage_of(id_: str, text: str, metadata: Mapping[str, Any], continued: str = "") -> Passage:
    """Return a stored chunk with score 0, which a search replaces. Raises `Corrupt`.

    `continued` is the rest of the JSON value, as `stored_fields` returned it.
    """
    try:
        details = json.loads(metadata["chunk"] + continued)
        spans = tuple((start, end) for start, end in details["unit_spans"])
        chunk = Chunk(
            text=text,
            page=details["page_start"],
            start=details["start"],
            end=details["end"],
            tokens=details["tokens"],
            label=details["label"],
            heading=details["heading"],
            confidence=details["confidence"],
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


def mark_fields(marks: Sequence[Mark]) -> dict[str, Any]:
    """Return the fields that marks add to those of `record_fields`."""
    return {MARKED: True, "marks": json.dumps([(mark.part, mark.start, mark.end, mark.size) for mark in marks])}


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
        number = int(_digest(collection)[_MARK:], 16) % self.shards
        return f"docwell-shard-{number:03}-{self._short}"

    def by_name(self, places: Places) -> dict[str, Places]:
        """Return the places by the name of their Chroma collection."""
        parts: dict[str, dict[str, Sequence[str] | None]] = {}
        for collection, documents in places.items():
            parts.setdefault(self.name(collection), {})[collection] = documents
        return {**parts}

    def metadata(self) -> dict[str, str]:
        """Return the metadata of a shard."""
        return {"fingerprint": self._short}

    def continuation(self, name: str) -> str:
        """Return the name of the Chroma collection with the rest of records that are over a quota."""
        return f"{name}-continued"

    def continuation_metadata(self) -> dict[str, str]:
        """Return the metadata of a continuation collection; `owns` is false for it."""
        return {"continues": self._short}

    def owns(self, metadata: Mapping[str, object]) -> bool:
        """Return whether a Chroma collection with this metadata belongs to the fingerprint."""
        return metadata.get("fingerprint") == self._short

    def mark(self, collection: str) -> str:
        """Return the beginning of the stored ids of a docwell collection."""
        return _digest(collection)[:_MARK]

    def id_of(self, stored: str) -> str:
        """Return a chunk's id from its stored id."""
        return stored[_MARK:]

    @property
    def _short(self) -> str:
        return self.fingerprint[:16]


def _digest(collection: str) -> str:
    return sha256(collection.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Quotas:
    """The limits of one request.

    `records` are written, removed or returned. `metadata_bytes` counts the names and values of a record, and
    `pattern_bytes` one regular expression.
    """

    records: int
    metadata_bytes: int
    pattern_bytes: int


# A self-hosted server has no quota. 5,000 records of metadata are about 2 MB of an answer.
UNLIMITED = Quotas(records=5000, metadata_bytes=sys.maxsize, pattern_bytes=sys.maxsize)
# https://docs.trychroma.com/cloud/quotas-limits limits the bytes of one value. Here the limit bounds all values of
# a record together, which is safe. The page says 256 for a regular expression; the service's error says 130.
HOSTED = Quotas(records=300, metadata_bytes=4096, pattern_bytes=130)
