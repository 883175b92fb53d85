"""The data of a question and its answer: frozen values without behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from docwell.models import CitationUnit

Refusal = Literal[
    "nothing_indexed", "nothing_near", "not_in_documents", "not_verified", "no_room", "filter", "other_language"
]
# The sentence of each cause of a refusal.
REFUSALS: Mapping[Refusal, str] = {
    "nothing_indexed": "No document to search is indexed. Some may still be indexing: see the list of documents.",
    "nothing_near": "No passage of the documents is near enough to this question.",
    "not_in_documents": "The passages found do not answer this question.",
    "not_verified": "No answer could be verified. The model's text is withdrawn: the passages do not hold it.",
    "no_room": "The prompt had no room for all passages found, and those in it do not answer this question.",
    "filter": "No indexed document that you may read fits this filter.",
    "other_language": "No answer. The embedding model reads only English: ask in English (docs/use/models.md).",
}
STILL_INDEXING = "\n\nDocuments still being indexed: at least {}. Ask again in a minute."

# Texts that chat clients get with an answer, and may send back with it.
NOT_SUPPORTED = " (not supported by the documents)"
CORRECTION = "\n\nThe check of the whole answer has changed it. The answer is:\n\n"
SOURCES = "\n\nSources:\n"
PARTIAL = "\n\nPart of the index did not answer: some documents were not searched."


def answer_in(text: str) -> str:
    """Return the answer in a message without docwell's additions. An erasure searches for this text."""
    return text.partition(SOURCES)[0].partition(PARTIAL)[0].rpartition(CORRECTION)[2].replace(NOT_SUPPORTED, "")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn for the language model. `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Completion:
    """The model's whole answer, the tokens as its host counts them, or estimated, and whether it thought."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    done_reason: str
    thought: bool = False


class AnswerStatus(StrEnum):
    """The source of an answer: the model (with citations), no source, or the passages themselves.

    Only logs and receipts have the last two: the client left early, or an error ended the answer.
    """

    ANSWERED = "answered"
    REFUSED = "refused"
    EXTRACTIVE = "extractive"
    ABANDONED = "abandoned"
    FAILED = "failed"


class Mode(StrEnum):
    """The mode of an answer. docwell replaces AUTO by another mode, so no answer has it.

    PASSAGES answers from the passages nearest to the question, OVERVIEW from the overview of one document, COMPARE
    from each of several documents separately, LIST from all documents that may match.
    """

    AUTO = "auto"
    PASSAGES = "passages"
    OVERVIEW = "overview"
    COMPARE = "compare"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier question of the conversation, with its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of the answer and how well its cited passages support it.

    `support` is 0 to 1. `missing` lists its figures that are in no passage of the prompt. A sentence that is not
    `supported` is unverified, or `contradicted` by a cited passage.
    """

    text: str
    markers: tuple[int, ...]
    support: float
    supported: bool
    missing: tuple[str, ...]
    contradicted: bool = False


@dataclass(frozen=True, slots=True)
class Citation:
    """One resolved `[marker]` of the answer: `quote` is verbatim on `page` of `document`, in its `unit`.

    `display_quote` is the quote as plain text without markup or links, for pages and terminals. `link` opens the
    document for a short time, a PDF at that page. `suspicious` marks a passage that contains orders to the reader
    or the model. With an `ocr_confidence` (0 to 1) the page is a picture, and `quote` is from its recognised text.
    """

    marker: int
    document: str
    version: str
    page: int
    page_label: str | None
    unit: CitationUnit
    quote: str
    display_quote: str
    start: int
    end: int
    score: float
    suspicious: bool = False
    link: str | None = None
    ocr_confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the model host counts them, estimated where it states none. Thinking counts."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Return the sum."""
        return Usage(self.prompt_tokens + other.prompt_tokens, self.completion_tokens + other.completion_tokens)

    @property
    def tokens(self) -> int:
        """All tokens, as a quota counts them."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds of each stage. `waking` is the wait for a model host that slept."""

    embed: float
    retrieve: float
    waking: float
    generate: float
    total: float


class HostState(StrEnum):
    """The state of the model hosts. DOWN: they run, or should run, but do not answer."""

    AWAKE = "awake"
    WAKING = "waking"
    ASLEEP = "asleep"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one request by the price file, whose name and date are in `prices`. Seconds are wall time."""

    amount: float
    currency: str
    model_host_s: float
    function_s: float
    prices: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """The record of one answer, kept to repeat the question and compare. Times are seconds since the epoch.

    `request` and `answer` are the bodies of the HTTP request and response; `passages` are (chunk id, document,
    version) of the prompt, in its order. The gate refused the question if its `fit` is under the option `min_fit`.
    """

    principal: str
    request_id: str
    created_at: float
    request: Mapping[str, Any]
    answer: Mapping[str, Any]
    passages: tuple[tuple[str, str, str], ...]
    prompt_version: str
    model: str
    model_digest: str | None
    options: Mapping[str, Any]
    fit: float | None = None
    verdict: str | None = None
    comment: str | None = None

    @property
    def gate_refused(self) -> bool:
        """Return whether the gate refused the question before the model."""
        least = self.options.get("min_fit")
        return self.fit is not None and least is not None and self.fit < least


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question. `rewritten_question` is the searched text, if it differs from the question."""

    answer: str
    status: AnswerStatus
    citations: tuple[Citation, ...]
    usage: Usage
    timings_ms: Timings
    model: str
    prompt_version: str
    dropped_passages: int
    sentences: tuple[Sentence, ...] = ()
    suspicious_passages: int = 0
    rewritten_question: str | None = None
    refusal: Refusal | None = None
    # The problem type of the failure, for a FAILED answer and for an EXTRACTIVE one after a failed model.
    fallback_reason: str | None = None
    # The answer reached the limit of its tokens.
    cut_short: bool = False
    mode: Mode = Mode.PASSAGES
    # A server with a part of the index did not answer.
    partial: bool = False
    still_indexing: int = 0
