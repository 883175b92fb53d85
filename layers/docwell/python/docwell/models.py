"""The data that the parts exchange, as frozen dataclasses.

Page numbers are 1-based positions in the file. Offsets are in characters of the page's extracted text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

DEFAULT_COLLECTION = "default"
# The limit of S3 for a key, and of DynamoDB for a sort key, which a document is in the ledger's index.
KEY_BYTES = 1024

# S3 allows 2 KB of metadata and ten tags of 128 + 256 characters. Other stores allow more; rows must stay small.
MAX_METADATA = 50
MAX_METADATA_BYTES = 2048
MAX_TAGS = 10
MAX_TAGS_BYTES = MAX_TAGS * (128 + 256) * 4

# ISO 32000-1, 7.9.4: "D:YYYYMMDDHHmmSSOHH'mm'". All after the year is optional; many programs omit the "D:".
_PDF_DATE = re.compile(r"\s*(?:D:)?(\d{4})(\d{2})?(\d{2})?")


class Status(StrEnum):
    """The status of a document. Every object in the bucket ends in one of these."""

    PENDING = "PENDING"
    INDEXED = "INDEXED"
    EMPTY = "EMPTY"
    REJECTED = "REJECTED"
    DELETED = "DELETED"
    FAILED = "FAILED"


# The statuses after ingest has ended, whatever the result.
FINAL = frozenset(Status) - {Status.PENDING}
# Documents with these statuses need no work until the object changes. The next event retries a FAILED one.
SETTLED = frozenset({Status.INDEXED, Status.EMPTY, Status.REJECTED})


class Reason(StrEnum):
    """The reason why a document is EMPTY, REJECTED or FAILED, or why one of its pages cannot be read."""

    NO_TEXT = "no_text"  # EMPTY: no page has a text layer, as in a scan
    UNKNOWN_KIND = "unknown_kind"  # REJECTED: this reason and the following ones
    EMPTY_FILE = "empty_file"
    ENCRYPTED = "encrypted"
    DYNAMIC_FORM = "dynamic_form"  # an XFA form, whose page only says that another viewer is needed
    PORTFOLIO = "portfolio"  # attached files behind a cover page
    CORRUPT = "corrupt"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    TOO_MANY_PAGES = "too_many_pages"
    TOO_MUCH_TEXT = "too_much_text"
    TOO_SLOW = "too_slow"
    TOO_MUCH_MEMORY = "too_much_memory"
    READER_CRASHED = "reader_crashed"
    OVER_QUOTA = "over_quota"  # its uploader has used up a quota of the day: reconcile tries again on another day
    UNAVAILABLE = "dependency_unavailable"  # FAILED: this reason and the following ones
    INTERNAL = "internal_error"


# A page without text for one of these reasons may be a picture of text. Other reasons are broken limits.
RECOGNISABLE = frozenset({None, Reason.UNREADABLE, Reason.CORRUPT})


def collection_of(key: str) -> str:
    """Return the collection of a key: its first folder, or `default` for a key without one.

    >>> collection_of("handbooks/2026/a.pdf"), collection_of("a.pdf"), collection_of("//a.pdf")
    ('handbooks', 'default', 'default')
    """
    first, slash, _ = key.partition("/")
    return first if slash and first else DEFAULT_COLLECTION


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One version of one object. `version` is the VersionId, or the ETag in a bucket without versioning.

    `tag_count` is 0 if the store does not report it. `uploader` is as in `docwell.identity.uploader`.
    """

    version: str
    size: int
    etag: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    tag_count: int = 0
    uploader: str | None = None
    modified: float = 0.0


class StoredObject(NamedTuple):
    """One row of a listing. `modified` is in seconds since the epoch; restore an `archived` object before use."""

    key: str
    etag: str
    size: int
    modified: float = 0.0
    archived: bool = False


@dataclass(frozen=True, slots=True)
class Generation:
    """One version of one document under one pipeline fingerprint, and its `id` (32 hex digits)."""

    bucket: str
    key: str
    version: str
    id: str

    @classmethod
    def of(cls, bucket: str, key: str, version: str, fingerprint: str) -> Generation:
        """Return the generation with its id, which is always the same."""
        return cls(bucket, key, version, digest(bucket, key, version, fingerprint)[:32])

    def chunk_id(self, range_: int, ordinal: int) -> str:
        """Return the id (32 hex digits) of a chunk; it is deterministic, so a second write replaces the first."""
        return digest(self.bucket, self.key, self.id, str(range_), str(ordinal))[:32]


def digest(*parts: str) -> str:
    """Return the hash (64 hex digits) of texts. A key can hold lone surrogates, and a digest must never fail."""
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """A document's metadata. `created` is a day (2026-03-01)."""

    page_count: int
    title: str | None = None
    author: str | None = None
    created: str | None = None
    media_type: str | None = None


class UnitKind(StrEnum):
    """The kind of place that a citation names."""

    PAGE = "page"
    SLIDE = "slide"
    PARAGRAPH = "paragraph"
    LINE = "line"
    RANGE = "range"
    PART = "part"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class CitationUnit:
    """The place that a citation names: `label` for people, `anchor` for programs.

    The label of a paragraph has its heading path; the label of a range is `sheet!range`.
    """

    kind: UnitKind
    label: str
    anchor: str


FIRST_PAGE = CitationUnit(UnitKind.PAGE, "1", "page=1")


@dataclass(frozen=True, slots=True)
class Heading:
    """A line that its type sets off from the text of a page. A larger `size` is a higher level in the document."""

    text: str
    size: float


@dataclass(frozen=True, slots=True)
class Page:
    """The text of one page, or of a part of similar length of a document that is no PDF.

    `label` is the printed page number where the file has one ("iv", "A-3"). `citation_units` has the places of a
    document that is no PDF, each with its start in the text, in order.
    `unreadable` says why there is no text, or not all of it. `headings` are lines of the text, in order.
    `confidence` (0 to 1) is the recogniser's, for a page that is a picture. `hidden` counts the characters that
    the page does not show; they are not in the text. `unchecked` means that there was no time to look whether the
    page shows all of its text, and `blank` that nothing is drawn on it. `picture` means that images cover most of
    the page and its text is short, as of a scan with a stamp. `cpu_s` is the processor time of reading, in
    seconds.
    """

    number: int
    text: str
    label: str | None = None
    unreadable: Reason | None = None
    headings: tuple[Heading, ...] = ()
    confidence: float | None = None
    hidden: int = 0
    cpu_s: float = field(default=0.0, compare=False)
    citation_units: tuple[tuple[int, CitationUnit], ...] = ()
    picture: bool = False
    unchecked: bool = False
    blank: bool = False

    @property
    def may_be_picture(self) -> bool:
        """Return whether a recogniser may find more text: the page is mostly a picture, or lacks text."""
        can_be_drawn = not self.blank and all(unit.kind is UnitKind.IMAGE for _, unit in self.citation_units)
        return can_be_drawn and (self.picture or not self.text.strip()) and self.unreadable in RECOGNISABLE


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document: `text` is exactly the text of `page` from `start` to `end`.

    `tokens` counts the embedding model's tokens of `text`, without special tokens. `heading` is the path of the
    section in which the piece begins ("Results > Methods"), or empty. `label` and `confidence` are its page's.
    `citation_units` are those of the page that the text touches, with starts in the text; the first is 0.
    """

    text: str
    page: int
    start: int
    end: int
    tokens: int
    label: str | None = None
    heading: str = ""
    confidence: float | None = None
    citation_units: tuple[tuple[int, CitationUnit], ...] = ()

    def part(self, start: int, end: int) -> Chunk:
        """Return the piece of the text from `start` to `end`, with its place in the page and its units."""
        units = tuple((max(place - start, 0), unit) for place, unit in self.citation_units if place < end)
        units = units[sum(place == 0 for place, _ in units[1:]) :]
        place, text = self.start + start, self.text[start:end]
        return replace(self, text=text, start=place, end=place + len(text), citation_units=units)


@dataclass(frozen=True, slots=True)
class Units:
    """Parts of a chunk that have their own vectors; see `docwell.ingest.indexing`.

    `spans` are (start, end) in characters of the chunk's text. `vectors` are (units, dimension) int8, row by row.
    """

    spans: tuple[tuple[int, int], ...] = ()
    vectors: bytes = field(default=b"", repr=False)


class Part(StrEnum):
    """The part that a piece of text plays in the overview of its document."""

    OPENING = "opening"
    HEADING = "heading"
    STATEMENT = "statement"


@dataclass(frozen=True, slots=True)
class Mark:
    """A piece of a chunk for its document's overview: `start` to `end` in characters of the chunk's text.

    `size` is that of a heading.
    """

    part: Part
    start: int
    end: int
    size: float = 0.0


@dataclass(frozen=True, slots=True)
class IndexRecord:
    """One row of the vector index. `vector` has the embedder's dimension."""

    id: str
    document: str
    generation: str
    version: str
    chunk: Chunk
    vector: list[float]
    units: Units = Units()
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk that was retrieved for a question, or several consecutive chunks of a page.

    `score` is the cosine similarity to the question, -1 to 1, of the chunk or of its nearest unit. The ranking
    uses more than the score (`docwell.query.retrieval.ranking`), so the first passage may not have the highest.
    """

    id: str
    document: str
    generation: str
    version: str
    chunk: Chunk
    score: float
    units: Units = Units()

    def scored(self, score: float) -> Passage:
        """Return the passage with this score, in a third of the time that `dataclasses.replace` takes."""
        return Passage(self.id, self.document, self.generation, self.version, self.chunk, score, self.units)


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of one version of a document, from its file, S3 user metadata and S3 object tags.

    `created` is the day in the PDF, such as 2026-03-01. `media_type` comes from the content; rows of earlier
    releases have none. Names in `metadata` are in lower case, as in S3; names in `tags` keep their case.
    """

    title: str | None = None
    author: str | None = None
    created: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """The ledger's record of one document.

    `version`, `status`, `reason`, `pages` and the like describe the newest version that ingest has seen.
    `live_generation`, `live_version` and `live_attributes` describe the version that queries see, if any.
    `attempt` is a random number of the last start from the beginning.
    A document longer than a range has `ranges` of them, numbered from 0. `ranges_done` are those in the index, and
    `dispatched` means that each was sent as a separate message. `pages_done`, `chunks`, `characters`,
    `hidden_characters`, `cpu_s` (the readers' processor time in seconds), `page_failures` (the pages that cannot
    be read, an entry for each range and reason: `docwell.text.page_lists`), `textless_pages` (a count of pages
    that may be pictures), `doubtful_pages` (pictures that are not recognised, or with too little confidence),
    `recognised_pages` and `unchecked_pages` (see `Page.unchecked`) grow with each range. Ranges from
    `recognised_from` on recognise pictures of text; see `docwell.ingest.ranges`. `swept` is false while chunks of
    other generations may remain in the index. `observed_version` is the version that the bucket had at the last
    event, empty for none, and `observations` counts those events; None where there was no event since the row
    exists (`docwell.ports.Ledger.observe`). `updated_at` is in seconds since the epoch.
    """

    key: str
    status: Status = Status.PENDING
    reason: str | None = None
    detail: str | None = None
    version: str | None = None
    size: int | None = None
    etag: str | None = None
    uploader: str | None = None
    pages: int | None = None
    attempt: int = 0
    ranges: int | None = None
    dispatched: bool = False
    ranges_done: frozenset[int] = frozenset()
    pages_done: int = 0
    chunks: int = 0
    characters: int = 0
    hidden_characters: int = 0
    cpu_s: float = 0.0
    page_failures: frozenset[str] = frozenset()
    textless_pages: int = 0
    doubtful_pages: frozenset[int] = frozenset()
    recognised_pages: frozenset[int] = frozenset()
    unchecked_pages: frozenset[int] = frozenset()
    recognised_from: int | None = None
    title: str | None = None
    author: str | None = None
    created: str | None = None
    media_type: str | None = None
    live_generation: str | None = None
    live_version: str | None = None
    live_attributes: Attributes | None = None
    swept: bool = True
    observed_version: str | None = None
    observations: int = 0
    updated_at: float = 0.0

    @property
    def answers(self) -> bool:
        """Return whether queries see the live generation: only while the bucket still has its version."""
        return self.live_generation is not None and self.observed_version in (None, self.live_version)

    @property
    def lacks_recognition(self) -> bool:
        """Return whether its text layers are read, and a recogniser may find more text in it."""
        return bool(self.textless_pages) and self.recognised_from is None and len(self.ranges_done) == self.ranges

    @property
    def was_given_up(self) -> bool:
        """Return whether it has pages for which the recogniser did not run."""
        return any(entry.startswith(Reason.UNAVAILABLE) for entry in self.page_failures)


# The fields that only `docwell.ports.Ledger.observe` sets, without a lease.
OBSERVED = frozenset({"observed_version", "observations"})


@dataclass(frozen=True, slots=True)
class RangeTally:
    """The result of one range. `tokens` counts the embedding model's."""

    pages: int = 0
    chunks: int = 0
    characters: int = 0
    hidden_characters: int = 0
    cpu_s: float = 0.0
    page_failures: frozenset[str] = frozenset()
    textless_pages: int = 0
    doubtful_pages: frozenset[int] = frozenset()
    recognised_pages: frozenset[int] = frozenset()
    unchecked_pages: frozenset[int] = frozenset()
    tokens: int = 0


# The fields of a tally that the record sums under the same names.
COUNTED = frozenset(item.name for item in fields(RangeTally)) - {"pages", "tokens"}
# The fields that parallel ranges add to. Only a fresh start resets them (`docwell.ports.Ledger.write`).
PROGRESS = COUNTED | {"ranges_done", "pages_done"}


@dataclass(frozen=True, slots=True)
class Hint:
    """A request to check a key, which may have changed.

    `rebuild` indexes it again even if it seems up to date; `sweep` removes chunks that should not be in the index.
    A notification of S3 names the `version` of the object, else its ETag.
    """

    key: str
    rebuild: bool = False
    sweep: bool = False
    version: str | None = None


@dataclass(frozen=True, slots=True)
class RangeTask:
    """A request to index one range of one version of a document under one pipeline fingerprint.

    `attempt` is the document's at the time of the request; a request of an earlier attempt is out of date.
    """

    key: str
    version: str
    pipeline: str
    attempt: int
    range: int


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to change one document until `expires_at` (seconds since the epoch).

    `fence` grows with each new holder; the ledger rejects a write under an older fence. `outcome` names the last
    one that the ledger noted for an event (`docwell.adapters.dynamodb.ledger`).
    """

    key: str
    owner: str
    fence: int
    expires_at: float
    record: DocumentRecord
    outcome: str | None = None


def day_of(pdf_date: str | None) -> str | None:
    """Return the day of a PDF's date in its own time zone; None for an invalid date."""
    match = _PDF_DATE.match(pdf_date or "")
    if match is None:
        return None
    year, month, day = (int(part or 1) for part in match.groups())
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None


def bounded(pairs: Mapping[str, str], max_pairs: int, max_bytes: int) -> dict[str, str]:
    """Return the pairs that fit the limits, in order of their names; drop a pair that does not fit."""
    fitting: dict[str, str] = {}
    for name, value in sorted(pairs.items()):
        size = len(f"{name}{value}".encode("utf-8", "replace"))
        if len(fitting) < max_pairs and size <= max_bytes:
            fitting[name] = value
            max_bytes -= size
    return fitting
