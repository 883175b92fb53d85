"""The canary: a known question about a document that docwell provides, sent to a version of the query function.

It tests a new version before traffic reaches it, and the live version on a schedule. It calls no model, so it
works while the model hosts sleep, and wakes none.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import IntEnum

from docwell.errors import DocwellError
from docwell.identity import RESERVED_COLLECTION
from docwell.ports import StateStore

logger = logging.getLogger(__name__)

# `make examples` writes the document from scripts/example-texts/canary.md.
KEY = f"{RESERVED_COLLECTION}/canary.pdf"
QUESTION = "When does the keeper wind the clock of the lighthouse?"
PAGE = 2
# The fact that holds the last result, in the `StateStore`.
FACT = "canary#last"
# Retry: a cold start or a busy server can fail one question.
_ATTEMPTS = 3


class Finding(IntEnum):
    """The result of a question, from worst to best."""

    FAILED = 0  # no answer
    MISSING = 1  # the answer does not cite the page
    UNINDEXED = 2  # the document was never indexed
    FOUND = 3  # the answer cites the page


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """The last result of the canary: `found`, `unindexed`, `missing` or `failed`, `at` seconds since the epoch."""

    outcome: str
    at: float


def last_canary(state: StateStore) -> CanaryResult | None:
    """Return the last result; None where no canary has run."""
    stored = state.read(FACT)
    return CanaryResult(stored["outcome"], float(stored["at"])) if stored else None


@dataclass(frozen=True)
class Canary:
    """Asks the question; `document` is the PDF.

    `keep` stores a key's content in the bucket unless it is there. `cited` returns the documents and pages
    that the answer of a version to a question cites, None where nothing is indexed. Both raise `Unavailable`.
    """

    keep: Callable[[str, bytes], None]
    cited: Callable[[str, str], Collection[tuple[str, int]] | None]
    state: StateStore
    document: bytes

    def watch(self, live: str) -> Finding:
        """Put the document into the bucket where it is missing, and ask the live version.

        Raises `Unavailable` when the bucket fails.
        """
        self.keep(KEY, self.document)
        return self._ask(live)

    def remember(self, finding: Finding) -> None:
        """Store the result for operators. Ignore a failure of the store: the metric has the result too."""
        try:
            self.state.write(FACT, {"outcome": finding.name.lower(), "at": str(time.time())})
        except DocwellError as error:
            logger.warning("canary not stored", extra={"detail": error.detail})

    def allows(self, version: str, live: str) -> bool:
        """Return whether a new version may take traffic: it finds the page, or does no worse than the live one.

        A version passes if its index has never had the document: the first version, or a release with a new
        pipeline, whose index is filled only after the deployment. While a server is down, all versions fail, and a
        new one passes: the deployment may repair it.
        """
        finding = self._best(version)
        if finding >= Finding.UNINDEXED:
            return True
        live_finding = self._best(live)
        logger.warning("canary not found", extra={"outcome": finding.name, "live": live_finding.name})
        return finding >= live_finding

    def _best(self, version: str) -> Finding:
        """Ask until the version passes, up to `_ATTEMPTS` times, and return the best result."""
        best = Finding.FAILED
        for _ in range(_ATTEMPTS):
            best = max(best, self._ask(version))
            if best >= Finding.UNINDEXED:
                break
        return best

    def _ask(self, version: str) -> Finding:
        try:
            cited = self.cited(version, QUESTION)
        except DocwellError as error:
            logger.warning("canary failed", extra={"version": version, "detail": error.detail})
            return Finding.FAILED
        if cited is None:
            return Finding.UNINDEXED
        return Finding.FOUND if (KEY, PAGE) in cited else Finding.MISSING
