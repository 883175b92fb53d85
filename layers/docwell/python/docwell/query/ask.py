"""A question: its input, the state that the steps fill, and the events that it yields."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Protocol

from docwell.answers import Answer, Mode, Refusal, Sentence, Timings, Turn, Usage
from docwell.deadline import Deadline
from docwell.identity import Principal
from docwell.models import Passage
from docwell.ports import LanguageModel
from docwell.query.checking.grounding import GroundedAnswer
from docwell.query.prompting import BuiltPrompt, Prompt
from docwell.query.retrieval.scope import NO_FILTER, Filter, Scope

_STAGES = ("embed", "retrieve", "waking", "generate")


@dataclass(frozen=True, slots=True)
class Question:
    """A question and where to look for its answer.

    No collections means all of them; `document` restricts to one key, `filter` to several. `fallback` allows an
    extractive answer when the model host fails. With `waits` the answer waits for a sleeping model host. With
    `by_sentence`, `Checked` events come while the model writes. With `quotes` the passages' best sentences are the
    answer, and no model is called or woken.
    """

    text: str
    collections: tuple[str, ...] = ()
    document: str | None = None
    filter: Filter = NO_FILTER
    top_k: int = 5
    history: tuple[Turn, ...] = ()
    fallback: bool = False
    waits: bool = False
    by_sentence: bool = False
    quotes: bool = False
    mode: Mode = Mode.AUTO


class Admission(Protocol):
    """Identifies the caller and charges the request, beside other work. Each method may be called again."""

    async def identified(self) -> Principal:
        """Return the caller once it is known. Raises `Unauthenticated`, `Unavailable`."""

    async def admitted(self) -> Principal:
        """Return the caller once the request is charged. Raises as `identified` does, and `QuotaExceeded`."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to answer."""

    question: Question
    prompt: Prompt
    admission: Admission
    deadline: Deadline


@dataclass(slots=True)
class Stopwatch:
    """Adds up the seconds of each stage until the deadline. Stages may overlap."""

    deadline: Deadline
    started: float
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_STAGES, 0.0))
    first_token_ms: float | None = None

    @contextmanager
    def timed(self, name: str) -> Generator[None]:
        """Time the block."""
        started = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += perf_counter() - started

    def timings(self) -> Timings:
        """Return the milliseconds so far."""
        seconds = {**self.seconds, "total": perf_counter() - self.started}
        return Timings(**{stage: round(1000 * passed, 2) for stage, passed in seconds.items()})


@dataclass(frozen=True, slots=True)
class Searched:
    """A question after its search: the searched `text`, its unit `vector`, and up to `top_k` passages.

    `documents` are those of all candidates, by rank; some may not be live.
    """

    mode: Mode
    text: str
    scope: Scope
    vector: Sequence[float]
    passages: tuple[Passage, ...]
    documents: tuple[str, ...]
    top_k: int


@dataclass(frozen=True, slots=True)
class Basis:
    """The passages that a mode uses in place of the nearest ones, and the prompt for them.

    With `names` of documents by key, the prompt is for the passages of one document, and `model` answers from each
    document by itself. With an `answer`, no model is called; an answer without citations is a refusal. Its
    `sentences` come from the documents. With `partial`, a part of the index did not answer.
    """

    mode: Mode
    passages: tuple[Passage, ...]
    prompt: Prompt | None = None
    names: Mapping[str, str] | None = None
    model: LanguageModel | None = None
    answer: GroundedAnswer | None = None
    sentences: tuple[Sentence, ...] = ()
    partial: bool = False


@dataclass(frozen=True, slots=True)
class ModelCall:
    """The figures of the model's call for an answer.

    `first_token_ms` counts from the call, and is None where no answer of the model was used. `token_error` is the
    relative error of the estimate.
    """

    estimated_tokens: int = 0
    first_token_ms: float | None = None
    truncated: bool = False
    token_error: float = 0.0
    model_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Inquiry:
    """The state of a question, which each step fills further.

    `text` is the searched text, and `usage` counts the tokens of the calls that have ended. `prompted` are the
    passages of the prompt, `refusal` its cause, if refused. `skipped` names the optional stages that failed or had
    no time. The gate refuses a question, which then `is_hopeless`, if its `fit` is under `min_fit`; `fit` is None
    without a passage, `min_fit` where no gate decides. With `partial`, a part of the index did not answer. The
    model may take this `share` of the time that is left.
    """

    ask: Ask
    watch: Stopwatch
    text: str
    usage: Usage = field(default_factory=Usage)
    scope: Scope | None = None
    searched: Searched | None = None
    passages: tuple[Passage, ...] = ()
    fit: float | None = None
    min_fit: float | None = None
    is_hopeless: bool = False
    skipped: tuple[str, ...] = ()
    partial: bool = False
    refusal: Refusal = "nothing_near"
    mode: Mode = Mode.PASSAGES
    share: float = 1.0
    prompt: BuiltPrompt | None = None
    prompted: tuple[Passage, ...] = ()
    call: ModelCall = field(default_factory=ModelCall)

    def of(self, basis: Basis) -> Inquiry:
        """Return the question for the basis of a mode."""
        return replace(
            self,
            ask=replace(self.ask, prompt=basis.prompt or self.ask.prompt),
            passages=basis.passages,
            refusal="not_in_documents" if basis.answer else self.refusal,
            min_fit=None,  # no gate
            is_hopeless=False,
            mode=basis.mode,
            partial=self.partial or basis.partial,
        )


@dataclass(frozen=True, slots=True)
class QueryReport:
    """The last event: the checked answer, the state of its question, and the seconds of the model host."""

    answer: Answer
    inquiry: Inquiry
    model_host_s: float


@dataclass(frozen=True, slots=True)
class Passages:
    """The passages of the prompt, in order, and the searched `question`."""

    passages: tuple[Passage, ...] = ()
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
    """The report to use if the answer ends here: the client leaves, or an error follows.

    While `at_model`, later pieces and time belong to the model, and are not in the report yet.
    """

    report: QueryReport
    at_model: bool = False


@dataclass(frozen=True, slots=True)
class Waking:
    """The question found no model host, `seconds` ago; the first of these events has 0."""

    seconds: float = 0.0


Event = Progress | Passages | Token | Checked | Waking | QueryReport
