"""Listings of the ledger, page by page, and their cursors.

A caller who may see some collections reads only the index of these: no row of another collection is read, and a
cursor, wherever it comes from, is valid only in one of them.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace

from docwell.adapters.dynamodb.table import Place, Row, Selection, Table, can_be_key
from docwell.errors import BadInput
from docwell.models import KEY_BYTES, collection_of

# Two keys of 1,024 bytes with the most that JSON makes of them, and names.
_LONGEST_PLACE = 16 * 1024
_COLLECTION = {"collection"}
_ROW = {"document", "pipeline"}
# The most reads for one page, which bounds a request over thousands of empty collections.
_READS = 50
# The most rows of one read that filters them: DynamoDB returns 1 MB, and a row takes about 1 KB.
_ROWS_AT_ONCE = 1000


def read_page(
    table: Table,
    selection: Selection,
    collections: Sequence[str] | None,
    prefix: str,
    cursor: str | None,
    limit: int,
    keep: Callable[[Row], bool] | None = None,
) -> tuple[list[Row], str | None]:
    """Return up to `limit` of the selected rows whose documents begin with `prefix`, and the next cursor.

    With `keep`, return only rows that it accepts; then a cursor names no other row.

    Rows of `collections` come one collection after the other, by document in each; with None, those of all
    collections in no order. Raises `BadInput` for a cursor of another request, and when `keep` accepts none of too
    many rows.
    """
    place = decode_cursor(cursor)
    left: Sequence[str | None] = [None]
    if collections is not None:
        left = sorted({name for name in collections if can_be_key(name, KEY_BYTES)})
    if place is not None:
        left = left[_index(left, place, prefix) :]
    found: list[Row] = []
    for _ in range(_READS):
        if not left or len(found) >= limit:
            break
        after = None if place is None or set(place) == _COLLECTION else place
        most = limit - len(found) if keep is None else _ROWS_AT_ONCE
        page = table.page(narrowed(selection, left[0], prefix), most, after)
        found += filter(keep, page.rows) if keep else page.rows
        place = page.next
        if place is None:
            left = left[1:]
    if place is None and left:
        place = {"collection": {"S": left[0]}}
    if keep is not None and (place is not None or len(found) > limit):
        place = _place_of(found[:limit], place, collections)
    return found[:limit], encode_cursor(place)


def _place_of(kept: Sequence[Row], place: Place | None, collections: Sequence[str] | None) -> Place | None:
    """Return the place of the last row, or one that names no row."""
    if kept:
        names = _ROW if collections is None else _ROW | _COLLECTION
        return {name: {"S": kept[-1][name]} for name in sorted(names)}
    if place is not None and set(place) != _COLLECTION:
        raise BadInput("too many documents that you may not read come first: give a longer prefix")
    return place


def narrowed(selection: Selection, collection: str | None, prefix: str) -> Selection:
    """Return the selected rows of one collection (from its index) or of all, whose documents have the prefix."""
    values = dict(selection.values)
    condition = " AND begins_with(document, :prefix)" if prefix else ""  # DynamoDB takes no empty prefix
    if prefix:
        values["prefix"] = prefix
    if collection is None:
        return replace(selection, values=values, filter=selection.filter + condition)
    values["collection"] = collection
    return replace(selection, values=values, index="by_collection", key="#collection = :collection" + condition)


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
    if not isinstance(place, dict) or set(place) not in kinds or not all(map(_is_name, place.values())):
        raise _wrong_cursor()
    return place


def _is_name(value: object) -> bool:
    return isinstance(value, dict) and set(value) == {"S"} and can_be_key(value["S"], KEY_BYTES)


def _index(collections: Sequence[str | None], place: Place, prefix: str) -> int:
    """Return the index of the collection that the place is in, which is None for a row of a whole listing."""
    values = {name: value["S"] for name, value in place.items()}
    collection, document = values.get("collection"), values.get("document")
    if collection not in collections:
        raise _wrong_cursor()
    if collection and document and not (collection_of(document) == collection and document.startswith(prefix)):
        raise _wrong_cursor()
    return collections.index(collection)


def _wrong_cursor() -> BadInput:
    # The same message for a damaged and a foreign cursor, so that existence does not leak.
    return BadInput("the cursor is not one that this service gave for this request")
