"""Listings of the ledger, page by page, and their cursors.

A caller who may see some collections reads only the index of these: no row of another collection is read, and a
cursor, wherever it comes from, is valid only in one of them.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from docwell.adapters.dynamodb.table import Place, Row, Selection, Table
from docwell.errors import BadInput
from docwell.models import collection_of

# Two keys of 1,024 bytes with the most that JSON makes of them, and names.
_LONGEST_PLACE = 16 * 1024
_COLLECTION = {"collection"}
_ROW = {"document", "pipeline"}
# DynamoDB's limit for a sort key, which a document is in the index, and S3's for a key.
_KEY_BYTES = 1024
# The most reads for one page, which bounds a request over thousands of empty collections.
_READS = 50


@dataclass(frozen=True, slots=True)
class LedgerPages:
    """Pages of the selected rows whose documents begin with `prefix`."""

    table: Table
    selection: Selection
    prefix: str = ""

    def every(self, cursor: str | None, limit: int) -> tuple[list[Row], str | None]:
        """Return up to `limit` rows of all collections, in no order. Raises `BadInput` for a foreign cursor."""
        place = decode_cursor(cursor)
        if place is not None and set(place) != _ROW:
            raise _wrong_cursor()
        selection = self.selection.beginning("document", self.prefix)
        found: list[Row] = []
        for _ in range(_READS):
            page = self.table.page(selection, limit - len(found), place)
            found += page.rows
            place = page.next
            if place is None or len(found) >= limit:
                break
        return found, encode_cursor(place)

    def of(self, collections: Sequence[str], cursor: str | None, limit: int) -> tuple[list[Row], str | None]:
        """Return up to `limit` rows of these collections: one collection after the other, by document in each.

        Raises `BadInput` for a cursor that points outside them.
        """
        left = sorted({name for name in collections if _possible(name)})
        place = decode_cursor(cursor)
        if place is not None:
            left = left[_index(left, place) :]
            if not place.get("document", {"S": self.prefix})["S"].startswith(self.prefix):
                raise _wrong_cursor()
        found: list[Row] = []
        for _ in range(_READS):
            if not left or len(found) >= limit:
                break
            after = place if place is not None and set(place) != _COLLECTION else None
            page = self.table.page(self._in(left[0]), limit - len(found), after)
            found += page.rows
            place = page.next
            if place is None:
                left = left[1:]
        if place is None and left:
            place = {"collection": {"S": left[0]}}
        return found, encode_cursor(place)

    def _in(self, collection: str) -> Selection:
        return replace(
            self.selection,
            values={**self.selection.values, "collection": collection},
            index="by_collection",
            key="#collection = :collection",
        ).beginning("document", self.prefix)


def encode_cursor(place: Place | None) -> str | None:
    """Return a place as text that fits a URL."""
    if place is None:
        return None
    # Compressed: a key can be twice as long in JSON and occurs in it twice.
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(place).encode())).decode()


def decode_cursor(cursor: str | None) -> Place | None:
    """Return the place of a cursor. Raises `BadInput` for a text that no ledger made."""
    if cursor is None:
        return None
    try:
        text = zlib.decompressobj().decompress(base64.urlsafe_b64decode(cursor.encode()), _LONGEST_PLACE)
        place = json.loads(text)
    except (ValueError, RecursionError, binascii.Error, zlib.error) as error:
        raise _wrong_cursor() from error
    kinds = (_ROW, _COLLECTION, _ROW | _COLLECTION)
    if not isinstance(place, dict) or set(place) not in kinds:
        raise _wrong_cursor()
    if not all(
        isinstance(value, dict) and set(value) == {"S"} and _possible(value["S"]) for value in place.values()
    ):
        raise _wrong_cursor()
    return place


def _index(collections: Sequence[str], place: Place) -> int:
    """Return the index of the collection that the place is in."""
    values = {name: value["S"] for name, value in place.items()}
    collection = values.get("collection")
    if collection not in collections or ("document" in values and collection_of(values["document"]) != collection):
        raise _wrong_cursor()
    return collections.index(collection)


def _possible(name: object) -> bool:
    """Return whether a row can have this key."""
    try:
        return isinstance(name, str) and 0 < len(name.encode()) <= _KEY_BYTES
    except UnicodeEncodeError:  # a lone surrogate
        return False


def _wrong_cursor() -> BadInput:
    # The same message for a damaged and a foreign cursor, so that existence does not leak.
    return BadInput("the cursor is not one that this service gave for this request")
