"""Passages that a search has read once, kept in memory for the questions that follow."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock

from docwell.models import Passage

# An id means one version read by one pipeline. Only where the second PDF reader had to step in, and the document
# is rebuilt by the first, does it come to have another text: none is older than this.
_FRESH_S = 600.0


class KeptPassages:
    """The last `most` passages read, by collection and chunk id; safe for threads. All go after ten minutes.

    Whether a chunk is still there and live, the index and the ledger say at each question.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """With `most` 0 none is kept."""
        self._most = most
        self._clock = clock
        self._since = clock()
        self._passages: OrderedDict[tuple[str, str], Passage] = OrderedDict()
        self._lock = Lock()

    def find(self, collection: str, ids: Iterable[str]) -> dict[str, Passage]:
        """Those of the chunks that are kept, by id."""
        found: dict[str, Passage] = {}
        with self._lock:
            if self._clock() - self._since > _FRESH_S:
                self._passages.clear()
                self._since = self._clock()
            for id_ in ids:
                passage = self._passages.get((collection, id_))
                if passage is not None:
                    found[id_] = passage
                    self._passages.move_to_end((collection, id_))
        return found

    def keep(self, collection: str, passages: Iterable[Passage]) -> None:
        """Keep these; the ones that nobody asked for the longest go."""
        with self._lock:
            for passage in passages:
                self._passages[collection, passage.id] = passage
            while len(self._passages) > self._most:
                self._passages.popitem(last=False)
