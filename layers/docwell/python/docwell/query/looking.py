"""Look through the text of all documents of a scope, up to limits that the result states."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple, Protocol

from docwell.errors import Unavailable
from docwell.models import Passage, collection_of
from docwell.ports import Catalogue, LiveDocument, Places
from docwell.query.retrieval.scope import MOST_ROWS, Scope

# The most chunks read for one list, at about 4 KB each.
MOST_HITS = 2000
# Documents in one condition of a search. Where they have too many chunks, a part of them is read.
_AT_ONCE = 200
_PART = 8


class TextIndex(Protocol):
    """The text of the chunks, for lists of all that mention something. Expressions have no look-around."""

    def containing(self, places: Places, patterns: Sequence[str], limit: int) -> Sequence[Passage]:
        """Return up to `limit` chunks whose text matches all regular expressions, in any case, in no order.

        Raises `Unavailable`.
        """


class Looked(NamedTuple):
    """The chunks that were wanted, and how many `of` how many documents were looked through in full.

    There are `more` documents, which were not even counted. The index did not answer for `unreached` documents.
    """

    hits: list[Passage]
    documents: int
    of: int
    more: bool
    unreached: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether all documents were looked through in full."""
        return self.documents == self.of and not self.more

    def counted(self, found: int) -> str:
        """Return a count of documents, or of pages of the only one: "4 of the 27 documents".

        Where some were not looked through, it is "at least" so many.
        """
        whole = "its pages" if self.of_one else f"{self.all_of_them} documents"
        if self.is_complete:
            return f"{found or 'None'} of {whole}"
        return f"At least {found} of {whole}" if found else "None of the pages looked through"

    @property
    def bound(self) -> str:
        """Which documents were looked through, and what to do about those that were not."""
        if self.of_one:
            return "" if self.is_complete else "It was not looked through in full."
        if self.is_complete:
            return f"All {self.of} were looked through in full."
        bound = f"{self.documents} of {self.all_of_them} documents were looked through in full"
        if self.unreached:
            return f"Only {bound}: there may be more. {self.unreached} cannot be reached now: try again later."
        return f"Only {bound}: there may be more. Name a collection or a filter to look through fewer."

    @property
    def all_of_them(self) -> str:
        """The number of documents: "the 27", or "over 2000"."""
        return f"over {self.of}" if self.more else f"the {self.of}"

    @property
    def of_one(self) -> bool:
        """Whether there is one document only."""
        return self.of == 1 and not self.more


@dataclass(frozen=True)
class Library:
    """The documents and their text. A look takes up to `seconds`."""

    index: TextIndex
    catalogue: Catalogue
    seconds: float
    clock: Callable[[], float] = field(default=time.monotonic)

    def live(self, scope: Scope) -> tuple[Mapping[str, LiveDocument], bool]:
        """Return the live documents of a scope, and whether these are all."""
        return scope.documents(self.catalogue, MOST_ROWS)

    def look(
        self,
        scope: Scope,
        live: Mapping[str, LiveDocument],
        patterns: Sequence[str],
        wanted: Callable[[list[Passage]], list[Passage]],
        *,
        more: bool,
    ) -> Looked:
        """Look through these documents in the order of their keys, until all are done or a limit is reached.

        Of the chunks that match all patterns, those that are `wanted` are hits. Raises `Unavailable` where the
        index never answers.
        """
        keys, hits, unreached, failure = sorted(live), list[Passage](), 0, None
        end, done, size = self.clock() + self.seconds, 0, _AT_ONCE
        while done < len(keys):
            left = MOST_HITS - len(hits)
            if left <= 0 or self.clock() > end:
                break
            some = keys[done : done + size]
            try:
                found = self.index.containing(_places(some), patterns, left + 1)
            except Unavailable as error:  # state what was looked through before
                failure, unreached = error, len(keys) - done
                break
            if len(found) > left and len(some) > 1:
                size = max(len(some) // _PART, 1)
                continue
            hits += [one for one in found[:left] if live[one.document].generation == one.generation]
            if len(found) > left:
                break
            done += len(some)
        if failure and not done:
            raise failure
        hits = wanted(hits)
        # Read again, consistently: a document may have been deleted or replaced since.
        now = scope.live(self.catalogue, list(dict.fromkeys(one.document for one in hits)))
        current = [one for one in hits if now.get(one.document) == one.generation]
        return Looked(current, done, len(live), more, unreached)


def _places(keys: Sequence[str]) -> Mapping[str, Sequence[str]]:
    by_collection = groupby(sorted(keys, key=collection_of), collection_of)
    return {collection: list(some) for collection, some in by_collection}
