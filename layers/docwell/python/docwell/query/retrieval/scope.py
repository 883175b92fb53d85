"""Which documents a filter means now: asked of the ledger, never of what was written beside the vectors.

What is said of a document can change without a new version (tags do), and then only its row changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from docwell.ports import LiveDocuments
from docwell.query.retrieval.filters import Filter

# So many rows are read for one question at most, of at most so many collections. A row has about 1 KB and DynamoDB
# gives 1 MB at once, so these are two or three requests. Chroma takes as many keys in one condition: 2,500 of them
# made a search of 20,000 chunks 60 ms slower.
MOST_ROWS = 2000
_MOST_COLLECTIONS = 50


def select(
    documents: LiveDocuments, collections: Sequence[str], wanted: Filter
) -> Mapping[str, tuple[str, ...]] | None:
    """The live documents that fit, by collection, without the collections that have none.

    None where more than `MOST_ROWS` rows would have to be read to know.
    """
    among = wanted.collections(collections)
    if len(among) > _MOST_COLLECTIONS:
        return None
    found: dict[str, tuple[str, ...]] = {}
    left = MOST_ROWS
    for collection in among:
        live, looked_at = documents.under(collection, wanted.prefix, left)
        if looked_at is None:
            return None
        left -= looked_at
        fitting = tuple(key for key, one in live.items() if wanted.fits(key, one.attributes))
        if fitting:
            found[collection] = fitting
    return found
