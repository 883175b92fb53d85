"""The data of a question and its answer: frozen, without behaviour beyond what derives from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """One turn for the language model. `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model host answered. `first_token_ms` counts from the request."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    done_reason: str
    first_token_ms: float


class AnswerStatus(StrEnum):
    """Where an answer came from: the model with citations, nowhere, or the passages themselves."""

    ANSWERED = "answered"
    REFUSED = "refused"
    EXTRACTIVE = "extractive"


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and answer of the conversation before this question."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of the answer and how well its cited passages bear it out.

    `support` is 0 to 1. `missing` lists its figures and names that stand in no passage the model was given.
    """

    text: str
    markers: tuple[int, ...]
    support: float
    supported: bool
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Citation:
    """One `[marker]` of the answer, resolved: `quote` stands verbatim on `page` of `document`.

    `link` opens the PDF at that page for a short time. `suspicious` marks a passage that gives orders. With an
    `ocr_confidence` (0 to 1) the page is a picture, and `quote` stands in what was recognised on it.
    """

    marker: int
    document: str
    version: str
    page: int
    page_label: str | None
    quote: str
    start: int
    end: int
    score: float
    suspicious: bool = False
    link: str | None = None
    ocr_confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the model host counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds of each stage."""

    embed: float = 0.0
    retrieve: float = 0.0
    generate: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request cost by the price file. Seconds are wall time of the model host and of the function."""

    amount: float
    currency: str
    model_host_s: float
    function_s: float
    prices: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is kept of one answer, so that it can be made again and compared. Times are seconds since the epoch.

    `request` is the body that came, `answer` the body that went; `passages` are (chunk id, document, version)
    of the prompt, in its order.
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
    verdict: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question. `rewritten_question` is what was searched for, where that differs."""

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
    # Why an EXTRACTIVE answer is not the model's: the problem type of what went wrong.
    fallback_reason: str | None = None
    # The model had more to say than it may.
    cut_short: bool = False
