"""The pipeline fingerprint, and the roles of pipelines.

Increase a version below when its part produces other text or chunks from the same file. Such a change needs a new
index, built beside the old one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from docwell.ports import StateStore

TEXT_VERSION = 17
CHUNKER_VERSION = 2
EMBEDDED_VERSION = 6  # header and units that are embedded with a chunk, and their record format
# The package contains its models: another release recognises other text, and needs another TEXT_VERSION.
RAPIDOCR_VERSION = "3.10.0"

# The name of the fact that holds the roles.
ACTIVE_PIPELINE = "active-pipeline"


def fingerprint(embedder: str, chunk_tokens: int, *, shards: int) -> str:
    """Return 32 hex digits: a hash of the embedding model, the chunker's settings and the versions above.

    OCR is no part of it: recognised pages come with another generation of the same document.
    """
    parts = [embedder, str(chunk_tokens), str(CHUNKER_VERSION), str(TEXT_VERSION), str(EMBEDDED_VERSION)]
    parts.append(f"shards={shards}")
    return sha256("\0".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Roles:
    """The active pipeline, which answers queries, the one that is being built, and the retired ones.

    `retired` has the time of each retirement (seconds since the epoch). All roles are one fact, so that one write
    switches them.
    """

    active: str
    building: str | None = None
    retired: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, state: StateStore, fingerprints: Sequence[str]) -> Roles:
        """Read the roles. The first known fingerprint is active if the stored one is unknown or absent."""
        fact = state.read(ACTIVE_PIPELINE)
        active = fact.get("fingerprint", "")
        retired = json.loads(fact.get("retired", "{}"))
        return cls(active if active in fingerprints else fingerprints[0], fact.get("building") or None, retired)

    def write(self, state: StateStore) -> None:
        """Store the roles in one write."""
        values = {"fingerprint": self.active, "building": self.building or ""}
        state.write(ACTIVE_PIPELINE, {**values, "retired": json.dumps(self.retired)})

    def write_retired(self, state: StateStore) -> None:
        """Store only the retired ones: a running older release may have stored another active one."""
        state.write(ACTIVE_PIPELINE, {**state.read(ACTIVE_PIPELINE), "retired": json.dumps(self.retired)})

    def in_use(self, fingerprints: Sequence[str]) -> tuple[str, ...]:
        """Return the known fingerprints whose index must match the bucket."""
        return tuple(name for name in fingerprints if name in (self.active, self.building))
