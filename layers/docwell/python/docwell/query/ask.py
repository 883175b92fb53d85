"""A question as it goes into the use case, and the events that come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from docwell.answers import Answer, Mode, Sentence, Turn
from docwell.deadline import Deadline
from docwell.identity import Principal
from docwell.models import Passage
from docwell.query.prompting import Prompt
from docwell.query.retrieval.filters import ANY, Filter


@dataclass(frozen=True, slots=True)
class Question:
    """A question and where to look for its answer.

    No collections means all of them; `document` narrows to one key, `filter` to several. `fallback` allows an
    extractive answer when the model host fails. With `waits` the answer waits for a model host that sleeps. With
    `by_sentence`, `Checked` events come while the model writes. With `quotes` the passages' best sentences are the
    answer, and no model is asked or woken.
    """

    text: str
    collections: tuple[str, ...] = ()
    document: str | None = None
    filter: Filter = ANY
    top_k: int = 5
    history: tuple[Turn, ...] = ()
    fallback: bool = False
    waits: bool = False
    by_sentence: bool = False
    quotes: bool = False
    mode: Mode = Mode.AUTO


@dataclass(frozen=True, slots=True)
class Identified:
    """A known caller whose request is not charged yet: enough to look up what the caller may read."""

    principal: Principal


@dataclass(frozen=True, slots=True)
class Admitted(Identified):
    """A caller whose request is charged. Steps that search or call the model take it as proof of the charge."""


class Admission(Protocol):
    """Identifies the caller and charges the request beside other work. Each method may be called again."""

    async def identified(self) -> Identified:
        """Wait until the caller is known. Raises `Unauthenticated`, `Unavailable`."""

    async def admitted(self) -> Admitted:
        """Wait until the request is charged. Raises as `identified` does, and `QuotaExceeded`."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to answer."""

    question: Question
    prompt: Prompt
    admission: Admission
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class QueryReport:
    """The checked answer, with the figures for metrics, receipts and costs. The last event of an answer.

    `first_token_ms` counts from the call of the model, and is None where no answer of the model was used.
    `skipped` names the optional stages, expansion and reranking, that failed or had no time. The gate refused the
    question if its `fit` is under `min_fit`; `fit` is None without a passage, `min_fit` where no gate decides.
    """

    answer: Answer
    prompted: tuple[Passage, ...] = ()
    first_token_ms: float | None = None
    truncated: bool = False
    estimated_tokens: int = 0
    token_error: float = 0.0
    model_host_s: float = 0.0
    model_digest: str | None = None
    skipped: tuple[str, ...] = ()
    fit: float | None = None
    min_fit: float | None = None


@dataclass(frozen=True, slots=True)
class Passages:
    """The passages of the prompt, in order, and the `question` that was searched for.

    `suspicious` holds the ids of those that give orders.
    """

    passages: tuple[Passage, ...] = ()
    suspicious: frozenset[str] = frozenset()
    question: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the model's text, unchecked. The host sends about one token in each of its `pieces`."""

    text: str
    pieces: int = 1


@dataclass(frozen=True, slots=True)
class Checked:
    """The checked beginning of an answer, up to the last whole sentence."""

    text: str
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """The report of an answer that ends here: its client left, or an error follows.

    While `at_model`, the pieces and the time that follow are the model's, and are not in the report yet.
    """

    report: QueryReport
    at_model: bool = False


@dataclass(frozen=True, slots=True)
class Waking:
    """The question found no model host, `seconds` ago: 0 in the first of these events."""

    seconds: float = 0.0


Event = Progress | Passages | Token | Checked | Waking | QueryReport
