"""A question becomes an answer that cites the page, or a refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Event
from time import perf_counter
from typing import Protocol, TypeVar

from docwell.answers import Answer, AnswerStatus, Citation, Completion, Sentence, Timings, Turn, Usage
from docwell.deadline import Deadline, Pending
from docwell.errors import Corrupt, DeadlineExceeded, Unavailable
from docwell.identity import Principal
from docwell.models import Passage
from docwell.ports import DocumentLinks, Embedder, LanguageModel, ModelFacts
from docwell.query.checking.cleaning import clean_answer
from docwell.query.checking.extractive import extract
from docwell.query.checking.grounding import GroundedAnswer, ground
from docwell.query.checking.support import is_answered, support
from docwell.query.checking.suspicion import suspicion
from docwell.query.conversation import Conversation
from docwell.query.prompting import BuiltPrompt, Prompt, build_prompt, is_refusal, may_be_refusal
from docwell.query.retrieval.filters import ANY, Filter
from docwell.query.retrieval.gates import is_hopeless
from docwell.query.retrieval.retrieval import Retrieval
from docwell.text.tokens import TokenCalibration

_Result = TypeVar("_Result")

REFUSAL = "The documents do not answer this question."
# Another thing to mend: the filter, and not the question.
NOTHING_FITS = "No document that you may read fits this filter."

# The stages' shares of the deadline. What embedding and retrieval leave is the model's.
_EMBED_SHARE = 0.2
_RETRIEVE_SHARE = 0.3
_REWRITE_SHARE = 0.3
_FACTS_SHARE = 0.1
# Kept back from the model for what comes after it: grounding, or the extractive answer in its place.
_RESERVE_S = 0.75


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and where. No collections means all of them; `document` narrows to one key, `filter` to some.

    `fallback` allows an extractive answer when the model host fails.
    """

    text: str
    collections: tuple[str, ...] = ()
    document: str | None = None
    filter: Filter = ANY
    top_k: int = 5
    history: tuple[Turn, ...] = ()
    fallback: bool = False


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """See `docwell.config.QuerySettings`, where each has its reason."""

    num_ctx: int = 4096
    num_predict: int = 400
    min_score: float = 0.35
    min_relevance: float = 0.57
    min_support: float = 0.5
    deadline_s: float = 28.0


class Listener(Protocol):
    """Who watches an answer being made. What it raises stops the making."""

    def passages(self, passages: Sequence[Passage], suspicious: frozenset[str]) -> None:
        """The passages that the model is given, in order; `suspicious` has the ids of those that give orders."""
        ...

    def token(self, text: str) -> None:
        """A piece of the model's text, as it is."""
        ...


class _Silence:
    def passages(self, passages: Sequence[Passage], suspicious: frozenset[str]) -> None:
        """Nobody listens."""

    def token(self, text: str) -> None:
        """Nobody listens."""


@dataclass(frozen=True, slots=True)
class QueryReport:
    """What happened beside the answer: for metrics, receipts and costs."""

    answer: Answer
    prompted: tuple[Passage, ...] = ()
    first_token_ms: float | None = None
    truncated: bool = False
    estimated_tokens: int = 0
    token_error: float = 0.0
    model_host_s: float = 0.0
    model_digest: str | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """The passages of a question: `text` as it was searched for, and `refusal`, what is said without an answer."""

    text: str
    passages: tuple[Passage, ...]
    suspicious: frozenset[str]
    refusal: str


class _Watch:
    """Adds up the seconds of each stage; two may go on side by side."""

    def __init__(self) -> None:
        self._started = perf_counter()
        self.seconds = {"embed": 0.0, "retrieve": 0.0, "generate": 0.0}

    def timed(self, stage: str, work: Callable[[], _Result]) -> _Result:
        began = perf_counter()
        try:
            return work()
        finally:
            self.seconds[stage] += perf_counter() - began

    def timings(self) -> Timings:
        return Timings(
            **{stage: _ms(seconds) for stage, seconds in self.seconds.items()},
            total=_ms(perf_counter() - self._started),
        )


class _Tokens:
    """Passes the model's pieces on, once they can no more be the words by which it refuses."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._held: str | None = ""

    def take(self, piece: str) -> None:
        if self._held is None:
            self._listener.token(piece)
            return
        self._held += piece
        if not may_be_refusal(self._held):
            self._listener.token(self._held)
            self._held = None


@dataclass(frozen=True)
class Query:
    """The use case."""

    retrieval: Retrieval
    embedder: Embedder
    model: LanguageModel
    facts: ModelFacts
    conversation: Conversation
    calibration: TokenCalibration
    links: DocumentLinks
    limits: QueryLimits = field(default_factory=QueryLimits)

    def ask(
        self,
        question: Question,
        asker: Callable[[], Principal],
        prompt: Prompt,
        deadline: Deadline | None = None,
        listener: Listener | None = None,
        cancel: Event | None = None,
        admitted: Callable[[], object] = lambda: None,
    ) -> QueryReport:
        """Embed, retrieve, drop what is not live, fill the prompt, generate, check what was said.

        `asker` says who asks, and may take its time: the question is embedded meanwhile. `admitted` is called
        before anything is searched for and before the model is asked. What either raises, ends the question.

        Raises:
            NotFound: a collection or document that is not there, or not the principal's.
            BadInput: the question does not fit the model's context.
            Unavailable: a dependency failed; `DeadlineExceeded` when the time is used up. An answer out of the
                passages comes instead where the model host failed and the question allows it.
            Cancelled: `cancel` was set.
        """
        deadline = deadline or Deadline(self.limits.deadline_s)
        request = _Request(self, question, asker, prompt, deadline, listener or _Silence(), cancel, admitted)
        return request.run()

    def similarities(self, one: Sequence[str], other: Sequence[str]) -> Sequence[Sequence[float]]:
        """Cosines of each of the first texts with each of the second.

        Embedded as questions are, because a model may write a sentence that is longer than the embedder reads.
        """
        vectors = self.embedder.embed_queries([*one, *other])
        cosines: list[list[float]] = (vectors[: len(one)] @ vectors[len(one) :].T).tolist()
        return cosines


@dataclass
class _Request:
    """One question on its way."""

    query: Query
    question: Question
    asker: Callable[[], Principal]
    prompt: Prompt
    deadline: Deadline
    listener: Listener
    cancel: Event | None
    admitted: Callable[[], object]

    def __post_init__(self) -> None:
        self._watch = _Watch()
        self._usage = Usage()

    def run(self) -> QueryReport:
        found = self._find()
        limits = self.query.limits
        if is_hopeless(found.text, found.passages, limits.min_score, limits.min_relevance):
            self.listener.passages((), frozenset())
            return QueryReport(self._answer(None, found), model_host_s=self._watch.seconds["generate"])
        budget = self._context() - limits.num_predict
        built = build_prompt(self.prompt, found.passages, found.text, budget, self.query.calibration)
        self.listener.passages(built.passages, found.suspicious)
        try:
            completion = self._watch.timed("generate", lambda: self._generate(built))
        except Unavailable as error:
            if not self.question.fallback:
                raise
            return self._extractive(found, error)
        return self._concluded(found, built, completion)

    def _find(self) -> _Found:
        """The question by itself, and what it finds."""
        question, retrieval = self.question, self.query.retrieval
        # A question that stands by itself is embedded while its asker and its collections are looked for.
        begun = None if question.history else self._begin_embedding(question.text)
        scope = self._stage(
            "retrieve",
            _RETRIEVE_SHARE,
            lambda: retrieval.scope(self.asker(), question.collections, question.document, question.filter),
        )
        text = question.text
        if begun is None:
            self.admitted()
            text = self._rewritten()
            begun = self._begin_embedding(text)
        vector = begun.result()
        # Nobody over the quota is searched for. It was asked for a while ago: hardly anything is waited for.
        self.admitted()
        passages = self._stage(
            "retrieve",
            _RETRIEVE_SHARE,
            lambda: retrieval.search(scope, vector, question.top_k, text),
        )
        suspicious = frozenset(passage.id for passage in passages if suspicion(passage.chunk.text))
        refusal = NOTHING_FITS if scope.filter and not scope.collections else REFUSAL
        return _Found(text, tuple(passages), suspicious, refusal)

    def _begin_embedding(self, text: str) -> Pending[list[float]]:
        def embed() -> list[float]:
            vector: list[float] = self.query.embedder.embed_queries([text])[0].tolist()
            return vector

        return self.deadline.begin("embed", _EMBED_SHARE, lambda: self._watch.timed("embed", embed))

    def _rewritten(self) -> str:
        """The question by itself, where it follows others."""
        timeout_s = self.query.limits.deadline_s * _REWRITE_SHARE
        rewritten = self._watch.timed(
            "generate",
            lambda: self.query.conversation.standalone(
                self.question.history, self.question.text, timeout_s, self.cancel
            ),
        )
        self._usage = rewritten.usage
        return rewritten.text

    def _context(self) -> int:
        """Tokens that the model really reads: what it is told to, unless it was made for less."""
        wanted = self.query.limits.num_ctx
        try:
            return min(wanted, self.deadline.within("facts", _FACTS_SHARE, self.query.facts.context_length))
        except (Unavailable, Corrupt):
            return wanted  # if the host is down, the model's own call says so

    def _generate(self, built: BuiltPrompt) -> Completion:
        left_s = self.deadline.left(_RESERVE_S)
        if left_s <= 0:
            raise DeadlineExceeded("retrieve", "finding passages took all the time allowed")
        return self.query.model.chat(built.messages, left_s, _Tokens(self.listener).take, self.cancel)

    def _concluded(self, found: _Found, built: BuiltPrompt, completion: Completion) -> QueryReport:
        """The answer that the model's text is, when it holds."""
        self._usage = Usage(
            self._usage.prompt_tokens + completion.prompt_tokens,
            self._usage.completion_tokens + completion.completion_tokens,
        )
        estimate = self.query.calibration.observe(built.features, completion.prompt_tokens)
        grounded, sentences = self._checked(found, built, completion.text)
        answer = replace(
            self._answer(grounded, found, sentences),
            dropped_passages=built.dropped,
            cut_short=completion.done_reason == "length",
        )
        return QueryReport(
            answer,
            built.passages,
            completion.first_token_ms,
            truncated=estimate.was_cut(completion.prompt_tokens),
            estimated_tokens=estimate.tokens,
            token_error=estimate.error(completion.prompt_tokens),
            model_host_s=self._watch.seconds["generate"],
            model_digest=self._digest(),
        )

    def _checked(
        self, found: _Found, built: BuiltPrompt, text: str
    ) -> tuple[GroundedAnswer | None, tuple[Sentence, ...]]:
        """What of the text stands in the passages; nothing when none of it does, or it is a refusal."""
        if is_refusal(text):
            return None, ()
        # Before grounding too: what is taken out could else leave a marker behind that nobody has resolved.
        text, _ = clean_answer(text, [passage.chunk.text for passage in built.passages])
        grounded = ground(text, built.passages, found.text)
        cited = [built.passages[citation.marker - 1].chunk.text for citation in grounded.citations]
        cleaned, _ = clean_answer(grounded.text, cited)
        grounded = replace(grounded, text=cleaned)
        sentences = support(
            grounded, built.passages, found.text, self.query.similarities, self.query.limits.min_support
        )
        if not is_answered(found.text, sentences):
            return None, ()
        return grounded, sentences

    def _extractive(self, found: _Found, error: Unavailable) -> QueryReport:
        """The best sentences of the passages, where the model has failed."""
        answer = self._answer(extract(found.text, found.passages), found)
        if answer.status is AnswerStatus.ANSWERED:
            answer = replace(answer, status=AnswerStatus.EXTRACTIVE, fallback_reason=error.problem)
        return QueryReport(answer, found.passages, model_host_s=self._watch.seconds["generate"])

    def _answer(
        self, grounded: GroundedAnswer | None, found: _Found, sentences: tuple[Sentence, ...] = ()
    ) -> Answer:
        """The answer, or the refusal where nothing is grounded."""
        if grounded is not None and not grounded.citations:
            grounded = None
        asked = self.question.text
        return Answer(
            answer=grounded.text if grounded else found.refusal,
            status=AnswerStatus.ANSWERED if grounded else AnswerStatus.REFUSED,
            citations=tuple(self._cited(one, found) for one in grounded.citations) if grounded else (),
            usage=self._usage,
            timings_ms=self._watch.timings(),
            model=self.query.model.name,
            prompt_version=self.prompt.version,
            dropped_passages=0,
            sentences=sentences if grounded else (),
            suspicious_passages=len(found.suspicious),
            rewritten_question=found.text if found.text != asked else None,
        )

    def _cited(self, citation: Citation, found: _Found) -> Citation:
        """The citation with its link, and a mark where its passage gives orders."""
        try:
            link = self.query.links.link(citation.document, citation.version, citation.page)
        except Unavailable:
            link = None  # nobody to sign it: the citation is as good without
        suspicious = found.passages[citation.marker - 1].id in found.suspicious
        return replace(citation, link=link, suspicious=suspicious)

    def _digest(self) -> str | None:
        try:
            return self.deadline.within("facts", _FACTS_SHARE, self.query.facts.digest)
        except (Unavailable, Corrupt):
            return None

    def _stage(self, stage: str, share: float, work: Callable[[], _Result]) -> _Result:
        return self._watch.timed(stage, lambda: self.deadline.within(stage, share, work))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
