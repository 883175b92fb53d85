"""What the use cases need of the outside, named for the need and not for the vendor.

An adapter raises only `docwell.errors`: `Unavailable` when trying again may help, `Corrupt` when not.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from docwell.models import (
    Completion,
    DocumentRecord,
    IndexRecord,
    Lease,
    Message,
    ObjectVersion,
    Page,
    Passage,
    PdfInfo,
    Status,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ObjectStore(Protocol):
    """The documents bucket: the truth."""

    def head(self, key: str) -> ObjectVersion | None:
        """The key's current version, or None where there is none (deleted, or never there)."""
        ...

    def download(self, key: str, version: ObjectVersion, path: Path) -> None:
        """Write exactly that version to `path`. Raises `NotFound` when it is gone."""
        ...


class Ledger(Protocol):
    """Who may change a document, and what is live. All writes are conditional on the lease's fence."""

    def acquire(self, key: str, owner: str) -> Lease | None:
        """The lease of a document, or None when another worker holds it.

        With None, the holder is bound to look at the document once more before it lets go (`release`
        tells it so), so that an event that came in between is not lost. The same `owner` gets
        its own lease again: it is the redelivery of a message whose worker died.
        """
        ...

    def renew(self, lease: Lease) -> Lease:
        """The lease with a later expiry. Raises `LeaseLost`."""
        ...

    def write(self, lease: Lease, record: DocumentRecord) -> Lease:
        """Store the record and renew. Raises `LeaseLost`, and then nothing was stored."""
        ...

    def release(self, lease: Lease) -> bool:
        """Let go. False when somebody asked for another look meanwhile: then the lease is still held."""
        ...


class Catalogue(Protocol):
    """The ledger as readers see it."""

    def get(self, key: str) -> DocumentRecord | None:
        """What is known of one document."""
        ...

    def live(self, keys: Sequence[str]) -> Mapping[str, str]:
        """The live generation of each of the keys that has one."""
        ...

    def page(
        self, collection: str | None, status: Status | None, cursor: str | None, limit: int
    ) -> tuple[list[DocumentRecord], str | None]:
        """Up to `limit` documents and a cursor for the next page, None at the end. Raises `BadInput`.

        By key within a collection; in no order across collections. DELETED ones only when asked for.
        """
        ...


class VectorIndex(Protocol):
    """Chunks by meaning: rebuilt from the bucket at any time."""

    def upsert(self, collection: str, records: Sequence[IndexRecord]) -> None:
        """Write records; the same ids twice are one. When this raises, some may have been written."""
        ...

    def search(self, collection: str, vector: Sequence[float], k: int, document: str | None) -> list[Passage]:
        """The `k` nearest chunks by cosine, nearest first; none where the collection does not exist."""
        ...

    def prune(self, collection: str, document: str, keep: str | None) -> int:
        """Remove a document's chunks, except those of the generation `keep`; gives how many went."""
        ...

    def collections(self) -> list[str]:
        """The names of all collections of this fingerprint."""
        ...


class Tokenizer(Protocol):
    """How the embedding model cuts text."""

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """(start, end) in characters of each token of each text, nothing truncated, no special tokens."""
        ...


class Embedder(Protocol):
    """Text to vectors. Vectors have unit length: their dot product is their cosine."""

    @property
    def max_tokens(self) -> int:
        """The most tokens of one text that the model reads, its special tokens not included."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hash of the model's files: another model gives another index."""
        ...

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimension) float32, in the order given."""
        ...

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimension) float32; where the model has a prompt for queries it is put before each."""
        ...


class LanguageModel(Protocol):
    """The model host."""

    @property
    def name(self) -> str:
        """The model's name on its host."""
        ...

    def chat(
        self, messages: Sequence[Message], timeout_s: float, on_token: Callable[[str], None] | None = None
    ) -> Completion:
        """One answer. Raises `ModelMissing`, `DeadlineExceeded`, `Unavailable`.

        `on_token` sees each piece of text as it comes.
        """
        ...

    def check(self) -> None:
        """Returns when the host answers and has the model. Raises as `chat` does."""
        ...


class PdfReader(Protocol):
    """PDF to text. Raises `Refused` with a reason for what cannot be read."""

    def inspect(self, path: Path) -> PdfInfo:
        """How many pages there are, and the title. Raises `Refused`."""
        ...

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        """Pages `first` to `last`, both included and 1-based, in order. Raises `Refused`. Close it when done."""
        ...
