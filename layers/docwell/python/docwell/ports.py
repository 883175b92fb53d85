"""What the use cases need of the outside, named for the need and not for the vendor.

An adapter raises only `docwell.errors`: `Unavailable` when trying again may help, `Corrupt` when not.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from docwell.answers import Completion, Message, Receipt
from docwell.attributes import Attributes
from docwell.identity import Principal
from docwell.models import (
    DocumentRecord,
    Hint,
    IndexRecord,
    Lease,
    ObjectSummary,
    ObjectVersion,
    Page,
    Passage,
    PdfInfo,
    RangeTally,
    RangeTask,
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

    def tags(self, key: str, version: ObjectVersion) -> Mapping[str, str]:
        """The tags of that version, none where they may not be read. Raises `NotFound` when it is gone."""
        ...

    def list(self, after: str | None, limit: int) -> Sequence[ObjectSummary]:
        """Up to `limit` objects whose keys come after `after`, in key order; fewer only at the end."""
        ...


class Ledger(Protocol):
    """Who may change a document, and what is live, for one pipeline.

    All writes are conditional on the lease's fence.
    """

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

    def write(self, lease: Lease, record: DocumentRecord, *, fresh: bool = False) -> Lease:
        """Store the record and renew. Raises `LeaseLost`, and then nothing was stored.

        The fields in `docwell.models.PROGRESS` are stored only when `fresh`: else they are the ranges' own.
        """
        ...

    def release(self, lease: Lease) -> Lease | None:
        """Let go: None. When somebody asked for another look meanwhile: the lease, still held, read anew."""
        ...


class RangeLedger(Protocol):
    """The ledger as the worker of a range sees it: it holds no lease."""

    def get(self, key: str) -> DocumentRecord | None:
        """What is known of one document."""
        ...

    def finish_range(self, task: RangeTask, tally: RangeTally) -> DocumentRecord | None:
        """Note a range as done, once. The record as it is then, or None when the document has moved on."""
        ...


class TaskQueue(Protocol):
    """The queue that ingest reads from."""

    def send(self, messages: Sequence[Hint | RangeTask]) -> None:
        """Send every message, or raise `Unavailable`; then some may have been sent."""
        ...


class StateStore(Protocol):
    """Small named facts of the whole index, such as which pipeline is active."""

    def read(self, name: str) -> Mapping[str, str]:
        """The fact, empty where there is none."""
        ...

    def write(self, name: str, values: Mapping[str, str]) -> None:
        """Store the fact whole."""
        ...


class Catalogue(Protocol):
    """The ledger of one pipeline as readers see it."""

    def get(self, key: str) -> DocumentRecord | None:
        """What is known of one document."""
        ...

    def live(self, keys: Sequence[str]) -> Mapping[str, str]:
        """The live generation of each of the keys that has one."""
        ...

    def page(
        self,
        collections: Sequence[str] | None,
        status: Status | None,
        cursor: str | None,
        limit: int,
        prefix: str = "",
    ) -> tuple[list[DocumentRecord], str | None]:
        """Up to `limit` documents and a cursor for the next page, None at the end; a page may have none.

        Their keys begin with `prefix`. Of these collections alone, by collection and key; with None of all, in
        no order. DELETED ones only when asked for. Raises `BadInput` for a cursor that leads out of these.
        """
        ...


class LiveDocument(NamedTuple):
    """What queries may see of a document, and what is said of it."""

    generation: str
    attributes: Attributes


class LiveDocuments(Protocol):
    """The ledger of one pipeline as filters read it."""

    def described(self, keys: Sequence[str]) -> Mapping[str, LiveDocument]:
        """Those of the documents that are live, read consistently."""
        ...

    def under(self, collection: str, prefix: str, limit: int) -> tuple[Mapping[str, LiveDocument], int | None]:
        """The live documents of a collection whose keys begin with the prefix, from an index a moment behind.

        And how many rows were looked at; None when these were more than `limit` and some were left out.
        """
        ...


class VectorIndex(Protocol):
    """Chunks by meaning: rebuilt from the bucket at any time."""

    def upsert(self, collection: str, records: Sequence[IndexRecord]) -> None:
        """Write records; the same ids twice are one. When this raises, some may have been written."""
        ...

    def search(
        self, collection: str, vector: Sequence[float], k: int, documents: Sequence[str] | None
    ) -> list[Passage]:
        """The `k` nearest chunks by cosine, nearest first; none where the collection does not exist.

        With `documents` (at least one) of these alone.
        """
        ...

    def ids(
        self, collection: str, document: str, *, of: str | None = None, but: str | None = None, limit: int = 500
    ) -> list[str]:
        """Up to `limit` ids of a document's chunks: of the generation `of`, or of any but `but`."""
        ...

    def delete(self, collection: str, ids: Sequence[str]) -> None:
        """Remove chunks by id; ids that are not there are no error."""
        ...

    def collections(self) -> list[str]:
        """The names of all collections of this fingerprint."""
        ...


class Standing(NamedTuple):
    """One row of the ledger. `leased_until` is in seconds since the epoch, 0 where nobody has a lease."""

    record: DocumentRecord
    leased_until: float


class LedgerRows(Protocol):
    """The ledger of one pipeline as reconcile sees it: every row, whoever may be at work on it."""

    def scan(self, cursor: str | None, limit: int) -> tuple[list[Standing], str | None]:
        """Up to `limit` rows in no order, and a cursor for the next ones, None at the end."""
        ...

    def standings(self, keys: Sequence[str]) -> Mapping[str, Standing]:
        """The rows of those of the keys that have one, read consistently."""
        ...

    def forget(self, keys: Sequence[str]) -> None:
        """Remove rows, whoever has a lease on them: for a pipeline that is no longer in use."""
        ...


class IndexRows(Protocol):
    """The index of one pipeline as reconcile sees it."""

    def generations(self, collection: str, documents: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        """How many chunks there are of each generation of each of the documents; none where there are none."""
        ...

    def page(self, collection: str, offset: int, limit: int) -> list[tuple[str, str, str]]:
        """(id, document, generation) of up to `limit` chunks, in the server's order."""
        ...

    def collections(self) -> list[str]:
        """The names of all collections of this fingerprint."""
        ...

    def drop(self, collection: str) -> None:
        """Remove a whole collection; that it is not there is no error."""
        ...


class HintQueue(TaskQueue, Protocol):
    """The queue that ingest reads from, as reconcile sees it."""

    def waiting(self) -> int:
        """About how many messages are in it, those at work included."""
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

    def chat(self, messages: Sequence[Message], timeout_s: float) -> AsyncGenerator[str | Completion]:
        """Yield pieces of one answer, and its completion last, within `timeout_s` seconds.

        Closing it, or cancelling its task, closes the connection, so that the host stops generating. Raises
        `ModelMissing`, `DeadlineExceeded`, `Overloaded`, `Unavailable`.
        """
        ...

    async def check(self) -> None:
        """Return when the host answers and has the model. Raises as `chat` does."""
        ...


class ModelFacts(Protocol):
    """Facts about the model that its host states; each is asked for once and then kept."""

    async def context_length(self) -> int:
        """Return the tokens that the model can read, prompt and answer together. Raises as `chat` does."""
        ...

    async def digest(self) -> str | None:
        """Return the digest of the model's weights, where the host states it. Raises as `chat` does."""
        ...


class DocumentLinks(Protocol):
    """Where a browser can open a document for a short time."""

    def link(self, document: str, version: str, page: int) -> str:
        """A URL of that version, opening at `page`. Computed here: nothing is asked over the network."""
        ...


class Principals(Protocol):
    """Who may see what, and how much of today's quota is left."""

    def find(self, id_: str, groups: Sequence[str] = ()) -> Principal | None:
        """The principal with its own and its groups' collections, read consistently; None when nobody has it."""
        ...

    def charge(self, principal: Principal, *, requests: int = 0, tokens: int = 0) -> None:
        """Count what was used today. With `requests`, raises `QuotaExceeded` when a quota is used up, and
        then nothing is counted.
        """  # noqa: D205 - one sentence
        ...


class Receipts(Protocol):
    """Answers that are kept, each for its own principal alone."""

    def keep(self, receipt: Receipt) -> None:
        """Store it until its time to live is over."""
        ...

    def get(self, principal: str, request_id: str) -> Receipt | None:
        """The receipt of that principal, or None."""
        ...

    def judge(self, principal: str, request_id: str, verdict: str) -> bool:
        """Attach a verdict; False when there is no such receipt."""
        ...


class PdfReader(Protocol):
    """PDF to text. Raises `Refused` with a reason for what cannot be read."""

    def inspect(self, path: Path) -> PdfInfo:
        """How many pages there are, and what the file says of itself. Raises `Refused`."""
        ...

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        """Pages `first` to `last`, both included and 1-based, in order. Raises `Refused`. Close it when done."""
        ...
