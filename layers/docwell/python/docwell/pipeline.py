"""What makes two indexes different, the pipeline fingerprint, and which pipelines are in use.

Raise a version below when its part gives other text or other chunks for the same file; every document is
then indexed anew beside the old index.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from docwell.ports import StateStore

TEXT_VERSION = 2
CHUNKER_VERSION = 2
EMBEDDED_VERSION = 5  # what of a chunk is embedded, its header and units, and how a record keeps it
OCR_VERSION = 1  # how a picture of a page becomes lines in an order
# The models are in the package: another release of it gives other text.
RAPIDOCR_VERSION = "3.10.0"

# The state fact that says which pipeline answers and which one is being built.
ACTIVE_PIPELINE = "active-pipeline"


def fingerprint(embedder: str, chunk_tokens: int, ocr: str = "off", min_confidence: float = 0.0) -> str:
    """32 hex digits over the embedding model, the chunker's settings, the text extraction and what is embedded.

    With `ocr` also over the recogniser and the confidence from which its text is taken.
    """
    parts = [embedder, str(chunk_tokens), str(CHUNKER_VERSION), str(TEXT_VERSION), str(EMBEDDED_VERSION)]
    if ocr != "off":
        parts += [ocr, RAPIDOCR_VERSION, str(OCR_VERSION), str(min_confidence)]
    return sha256("\0".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Roles:
    """What each pipeline is for: one answers, one may be being built beside it, others were given up.

    `retired` has the time (seconds since the epoch) at which each was. All of it is one fact, so that
    a switch is one write.
    """

    active: str
    building: str | None = None
    retired: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, state: StateStore, known: Sequence[str]) -> Roles:
        """The roles among the fingerprints that the settings know; the first answers where nothing was said."""
        fact = state.read(ACTIVE_PIPELINE)
        active = fact.get("fingerprint", "")
        retired = json.loads(fact.get("retired", "{}"))
        return cls(active if active in known else known[0], fact.get("building") or None, retired)

    def write(self, state: StateStore) -> None:
        """Store them in one write."""
        values = {"fingerprint": self.active, "building": self.building or ""}
        state.write(ACTIVE_PIPELINE, {**values, "retired": json.dumps(self.retired)})

    def in_use(self, known: Sequence[str]) -> tuple[str, ...]:
        """Those of the known fingerprints that are to be kept equal to the bucket."""
        return tuple(one for one in known if one in (self.active, self.building))
