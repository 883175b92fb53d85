"""The interfaces that the use cases need, named for the need and not for the vendor.

An adapter raises only `docwell.errors`: `Unavailable` when a retry may help, `Corrupt` when it does not.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from docwell.answers import Completion, Cost, Message, Receipt
from docwell.audit import AuditEvent
from docwell.identity import ASKING, REQUEST, Principal, Use
from docwell.models import (
    Attributes,
    CitationUnit,
    DocumentInfo,
    DocumentRecord,
    Hint,
    IndexRecord,
    Lease,
    Mark,
    ObjectVersion,
    Page,
    Passage,
    RangeTally,
    RangeTask,
    Status,
    StoredObject,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ObjectStore(Protocol):
    """The documents bucket, which is the truth."""

    def head(self, key: str, version: str | None = None) -> ObjectVersion | None:
        """Return the key's current version, or the one given; None where it has none.

        Raises `ObjectDenied` for an object that the bucket refuses to show.
        """

    def download(self, key: str, version: ObjectVersion, path: Path) -> None:
        """Write exactly that version to `path`. Raises `NotFound` when it is gone."""

    def tags(self, key: str, version: ObjectVersion) -> Mapping[str, str]:
        """Return that version's tags; none where reading them is forbidden. Raises `NotFound` when it is gone."""

    def page(self, after: str) -> tuple[Sequence[StoredObject], str | None]:
        """Return objects after a key ("": from the first), and the last key read, None at the end."""


class Ledger(Protocol):
    """Leases and records of one pipeline's documents, for ingest.

    Every write under a lease is conditional on its fence. The worker of a range and `observe` hold no lease.
    """

    def acquire(self, key: str, owner: str) -> Lease | None:
        """Take the lease of a document; return None when another worker holds it.

        The ledger then marks the document: its holder looks again before `release`, so that no event is lost. An
        `owner` may take its lease again: its message was redelivered after its worker died.
        """

    def renew(self, lease: Lease) -> Lease:
        """Return the lease with a later expiry. Raises `LeaseLost`."""

    def write(self, lease: Lease, record: DocumentRecord, *, fresh: bool = False) -> Lease:
        """Store the record and renew the lease. Raises `LeaseLost` and stores nothing when another worker has it.

        Stores `docwell.models.PROGRESS` only when `fresh`: else only ranges change it. Never stores `OBSERVED`.
        """

    def release(self, lease: Lease) -> Lease | None:
        """Release the lease and return None; when marked to look again, keep it and return it, read again."""

    def get(self, key: str) -> DocumentRecord | None:
        """Return one document's record."""

    def finish_range(self, task: RangeTask, tally: RangeTally) -> DocumentRecord | None:
        """Add a range to the record, once, and return it; None when the task is out of date."""

    def observe(self, record: DocumentRecord, version: str) -> bool:
        """Store the version that the bucket has now, empty for none. Read the bucket after the record.

        Return False and store nothing if another worker has observed the document since `record` was read, or if
        it has no row. So the stored version never goes back in time. Queries see only this version.
        """


class TaskQueue(Protocol):
    """The ingest queue."""

    def send(self, messages: Sequence[Hint | RangeTask]) -> None:
        """Send all messages. Raises `Unavailable`; some may then have been sent."""


class StateStore(Protocol):
    """Small named facts of the whole index, such as which pipeline is active."""

    def read(self, name: str) -> Mapping[str, str]:
        """Return the fact; empty where there is none."""

    def write(self, name: str, values: Mapping[str, str]) -> None:
        """Store the whole fact."""


class LiveDocument(NamedTuple):
    """The live generation of a document, and the document's attributes."""

    generation: str
    attributes: Attributes


class Catalogue(Protocol):
    """The ledger of one pipeline, read by the query function."""

    def get(self, key: str) -> DocumentRecord | None:
        """Return one document's record."""

    def page(
        self,
        collections: Sequence[str] | None,
        status: Status | None,
        cursor: str | None,
        limit: int,
        prefix: str = "",
        visible: Callable[[DocumentRecord], bool] | None = None,
    ) -> tuple[list[DocumentRecord], str | None]:
        """Return up to `limit` documents with keys that begin with `prefix`, and a cursor for the next page.

        Sort documents of `collections` by collection and key; with None, return those of all but the reserved one
        in no order. Return DELETED documents only when `status` names them. A page may be empty; the cursor is
        None at the end. With `visible`, only documents that it accepts come, and a cursor names no other. Raises
        `BadInput` for a cursor of another request, and where `visible` accepts none of too many documents.
        """

    def described(self, keys: Sequence[str]) -> Mapping[str, LiveDocument]:
        """Return the live ones of the documents, read consistently."""

    def under(
        self, collection: str | None, prefix: str, limit: int
    ) -> tuple[Mapping[str, LiveDocument], int | None]:
        """Return live documents with keys that begin with `prefix`, and the number of rows read.

        With `collection` None, those of all collections. The read is eventually consistent. The number is None
        when there are over `limit` rows, so that documents may be missing.
        """


Listing = Callable[[str], tuple[Sequence[StoredObject], str | None]]  # `ObjectStore.page`
Places = Mapping[str, Sequence[str] | None]  # documents to search by collection; None for all of one
Stamped = Mapping[str, str]  # chunks by id, each with the unique stamp of its write


class VectorIndex(Protocol):
    """The chunks with their vectors. The index can be rebuilt from the bucket at any time."""

    def upsert(self, collection: str, records: Sequence[IndexRecord]) -> None:
        """Write records by id. After an error, some may have been written."""

    def search(self, places: Places | None, vector: Sequence[float], k: int) -> list[Passage]:
        """Return the `k` nearest chunks by cosine, nearest first; with `places` None, of all collections.

        A missing collection has no chunks. In rare cases a hit belongs to another collection: check it.
        """

    def ids(
        self, collection: str, document: str, *, of: str | None = None, but: str | None = None, limit: int = 500
    ) -> Stamped:
        """Return up to `limit` ids of a document's chunks: of the generation `of`, or of any except `but`."""

    def delete(self, collection: str, ids: Stamped) -> None:
        """Remove chunks that were not written again since `ids` listed them, even if the request runs late."""


class Overviews(Protocol):
    """The chunks with marks, which make the overview of a generation."""

    def marked(self, document: str, generation: str) -> Sequence[tuple[Passage, Sequence[Mark]]]:
        """Return the chunks with marks, in no order."""


class LedgerRow(NamedTuple):
    """One row of the ledger. `leased_until` is in seconds since the epoch, 0 without a lease."""

    record: DocumentRecord
    leased_until: float


class LedgerRows(Protocol):
    """The ledger of one pipeline for reconcile and erasure: every row, leased or not."""

    def scan(self, cursor: str | None, limit: int) -> tuple[list[LedgerRow], str | None]:
        """Return up to `limit` rows in no order, and a cursor for the next ones; None at the end."""

    def rows_of(self, keys: Sequence[str]) -> Mapping[str, LedgerRow]:
        """Return the existing rows of the keys, read consistently."""

    def forget(self, keys: Sequence[str]) -> None:
        """Remove rows, even with a lease."""

    def observe(self, record: DocumentRecord, version: str) -> bool:
        """Store the version that the bucket has now, as `Ledger.observe` does."""


class IndexRows(Protocol):
    """The index of one pipeline for reconcile and erasure."""

    def generations(self, collection: str, documents: Sequence[str]) -> Mapping[str, Mapping[str, int]]:
        """Return the number of chunks of each generation of each document that has chunks."""

    def page(self, name: str, offset: int, limit: int) -> list[tuple[str, str, str]]:
        """Return (id, document, generation) of up to `limit` chunks of one of `collections`, in its order."""

    def collections(self) -> list[str]:
        """Return the names of the server's collections of this fingerprint, each with any number of docwell's."""

    def drop(self, name: str) -> None:
        """Remove one of `collections`, if it exists."""

    def flush(self, collection: str) -> None:
        """Remove the text of deleted chunks from the server's write-ahead log."""


class HintQueue(TaskQueue, Protocol):
    """The ingest queue for reconcile."""

    def waiting(self) -> int:
        """Return about how many messages are in the queue, those in flight included."""


class DeadLetters(Protocol):
    """The messages that ingest gave up. Raises `Unavailable`."""

    def waiting(self) -> int:
        """Return about how many messages there are."""

    def redrive(self, limit: int, document: str | None = None) -> int:
        """Send up to `limit` messages, or this document alone, to ingest again; return how many."""


class Tokenizer(Protocol):
    """The embedding model's tokenizer. With `cuts_at_blanks`, text between blanks has the same tokens anywhere."""

    cuts_at_blanks: bool

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Return (start, end) in characters of each token of each text, untruncated, without special tokens."""


class Embedder(Tokenizer, Protocol):
    """Embeds text as vectors of unit length: their dot product is their cosine."""

    @property
    def max_tokens(self) -> int:
        """The most tokens of one text that the model reads, without its special tokens."""

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (n, dimension) float32, in the order given."""

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (n, dimension) float32; the model's prompt for queries, if any, is put before each text."""


class ModelFacts(NamedTuple):
    """The tokens of prompt and answer that a model can read, and the digest of its weights; None if not stated."""

    context_length: int | None
    digest: str | None


class LanguageModel(Protocol):
    """The model host."""

    @property
    def name(self) -> str:
        """The model's name on its host."""

    def chat(self, messages: Sequence[Message], timeout_s: float) -> AsyncGenerator[str | Completion]:
        """Yield pieces of one answer, and its completion last, within `timeout_s` seconds.

        Closing it, or cancelling its task, closes the connection, so that the host stops generating. Raises
        `ModelMissing`, `DeadlineExceeded`, `Overloaded`, `Unavailable`.
        """

    async def facts(self) -> ModelFacts:
        """Return the facts that the host states of the model. Raises as `chat`."""


class ModelHost(Protocol):
    """The host of the model, or the load balancer before several."""

    async def check(self) -> None:
        """Return once the host answers and has the model. Raises `ModelWaking` while all sleep, `Unavailable`."""


class Reranker(Protocol):
    """A cross-encoder: it reads the question and a passage together."""

    async def rerank(self, question: str, texts: Sequence[str], timeout_s: float) -> Sequence[float]:
        """Return a score for each text within `timeout_s` seconds; none if the model fails or is late."""


class Reservation(NamedTuple):
    """The tokens charged for a question in flight. `id` is unique within the principal's `day` (UTC)."""

    principal: str
    day: str
    id: str
    tokens: int


class Principals(Protocol):
    """The rights of callers, and their use of today's quota."""

    def find(self, id_: str, groups: Sequence[str] = ()) -> Principal | None:
        """Return the principal with its rights and its groups', read consistently; None without a grant."""

    def use(self, principal: Principal) -> Use:
        """Return today's use, with the tokens that questions in flight have reserved."""

    def charge(self, principal: Principal, use: Use = REQUEST, quotas: Sequence[str] = ASKING) -> None:
        """Count a use that reserves nothing. If one of the quotas is used up, only raise `QuotaExceeded`."""

    def reserve(self, principal: Principal, tokens: int) -> Reservation:
        """Count one question and charge the most `tokens` that it can use; it is then in flight.

        Raises as `charge` does, and `TooManyInFlight`.
        """

    def settle(self, reservation: Reservation, tokens: int, cost: Cost | None = None) -> None:
        """Charge the used `tokens` and the cost in place of the reservation, which otherwise stays charged."""


class Receipts(Protocol):
    """Stored answers, each visible only to its principal."""

    def keep(self, receipt: Receipt) -> None:
        """Store a receipt until it expires. Do nothing if its request id has one."""

    def get(self, principal: str, request_id: str) -> Receipt | None:
        """Return the principal's receipt, or None."""

    def judge(self, principal: str, request_id: str, verdict: str, comment: str | None) -> str | None:
        """Store a verdict and its comment; return the previous verdict, empty for none. None: no such receipt."""


class AuditTrail(Protocol):
    """The append-only record of who asked, who changed a grant and who erased."""

    def append(self, event: AuditEvent) -> None:
        """Store an event for good."""


class DocumentLinks(Protocol):
    """Short-lived links with which a browser opens a document."""

    def link(self, document: str, version: str, unit: CitationUnit, media_type: str | None = None) -> str:
        """Return a URL of that version (for a PDF, at the page), computed without the network.

        Without `media_type`, a document whose units are pages is a PDF.
        """


class UploadForm(NamedTuple):
    """An HTML form that uploads one file: POST the `fields`, and after them `file`, to the `url`."""

    url: str
    fields: Mapping[str, str]


class DocumentWriter(Protocol):
    """Changes to the documents bucket on behalf of a principal."""

    def form(self, document: str, size: int, content_type: str, like: Attributes, uploader: str) -> UploadForm:
        """Return a short-lived form for this file, of `size` bytes, with the tags and metadata of `like`."""

    def current(self, document: str) -> tuple[str, Mapping[str, str]]:
        """Return ETag and tags of the current version, which ingest may not have read. Raises `NotFound`."""

    def delete(self, document: str, etag: str | None = None) -> None:
        """Remove the current version, if any. Raises `NotFound` if it has another ETag."""


class DocumentReader(Protocol):
    """Reads the text of a document. Raises `Refused` with a reason for a document that it cannot read."""

    def inspect(self, path: Path) -> DocumentInfo:
        """Return the number of pages and the file's metadata. Raises `Refused`."""

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        """Yield pages `first` to `last`, both included and 1-based. Raises `Refused`. Close it when done."""
