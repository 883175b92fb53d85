"""A question becomes an answer that cites the page, or a refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter

from docwell.errors import DeadlineExceeded
from docwell.grounding import GroundedAnswer, ground
from docwell.models import (
    Answer,
    AnswerStatus,
    Passage,
    Timings,
    Usage,
    collection_of,
)
from docwell.ports import Catalogue, Embedder, LanguageModel, VectorIndex
from docwell.prompting import Prompt, build_prompt, is_refusal

REFUSAL = "The documents do not answer this question."

# A generation that is being replaced has hits that are dropped, so more are asked for than are needed.
_SPARE_HITS = 10
_SEARCHES_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and where. No collections means all of them; `document` narrows to one key."""

    text: str
    collections: tuple[str, ...] = ()
    document: str | None = None
    top_k: int = 5


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """See `docwell.config.QuerySettings`, where each has its reason."""

    num_ctx: int = 4096
    num_predict: int = 400
    min_score: float = 0.3
    deadline_s: float = 28.0


@dataclass(frozen=True, slots=True)
class QueryReport:
    """What happened beside the answer: for metrics, never for the client."""

    answer: Answer
    first_token_ms: float | None = None
    truncated: bool = False


@dataclass(frozen=True)
class Query:
    """The use case."""

    catalogue: Catalogue
    index: VectorIndex
    embedder: Embedder
    model: LanguageModel
    prompt: Prompt
    limits: QueryLimits = QueryLimits()

    def ask(self, question: Question, on_token: Callable[[str], None] | None = None) -> QueryReport:
        """Embed, retrieve, drop what is not live, fill the prompt, generate, resolve the citations.

        Raises:
            BadInput: the question does not fit the model's context.
            Unavailable: a dependency failed; `DeadlineExceeded` when `deadline_s` is used up.
        """
        started = perf_counter()
        vector = self.embedder.embed_queries([question.text])[0].tolist()
        embedded = perf_counter()
        passages = self.retrieve(question, vector)
        retrieved = perf_counter()

        def timings(generate_s: float = 0.0) -> Timings:
            return Timings(
                embed=_ms(embedded - started),
                retrieve=_ms(retrieved - embedded),
                generate=_ms(generate_s),
                total=_ms(perf_counter() - started),
            )

        if not passages or passages[0].score < self.limits.min_score:
            return QueryReport(self._answer(None, timings(), Usage(), 0))
        budget = self.limits.num_ctx - self.limits.num_predict
        built = build_prompt(self.prompt, passages, question.text, budget)
        asked = perf_counter()
        left_s = self.limits.deadline_s - (asked - started)
        if left_s <= 0:
            raise DeadlineExceeded("retrieve", "finding passages took all the time allowed")
        completion = self.model.chat(built.messages, left_s, on_token)
        generated = timings(perf_counter() - asked)
        usage = Usage(completion.prompt_tokens, completion.completion_tokens)
        grounded = None if is_refusal(completion.text) else ground(completion.text, built.passages, question.text)
        if grounded and not grounded.citations:  # nothing of it can be tied to a passage
            grounded = None
        answer = self._answer(grounded, generated, usage, built.dropped)
        return QueryReport(answer, completion.first_token_ms, built.was_cut(completion.prompt_tokens))

    def retrieve(self, question: Question, vector: Sequence[float]) -> list[Passage]:
        """The `top_k` nearest live passages, best first."""
        collections = self._collections(question)
        wanted = question.top_k + _SPARE_HITS
        while True:
            hits = self._search(collections, vector, wanted, question.document)
            live = self.catalogue.live([hit.document for hit in hits])
            kept = [hit for hit in hits if live.get(hit.document) == hit.generation]
            # Hits that are not live can crowd out those that are: then look deeper, as deep as there is.
            if len(kept) >= question.top_k or len(kept) == len(hits) or len(hits) < wanted:
                return kept[: question.top_k]
            wanted *= 4

    def _collections(self, question: Question) -> list[str]:
        wanted = list(question.collections) or self.index.collections()
        if question.document is None:
            return wanted
        home = collection_of(question.document)
        return [home] if home in wanted or not question.collections else []

    def _search(
        self, collections: Sequence[str], vector: Sequence[float], k: int, document: str | None
    ) -> list[Passage]:
        if len(collections) == 1:
            return self.index.search(collections[0], vector, k, document)
        with ThreadPoolExecutor(_SEARCHES_AT_ONCE) as pool:
            found = pool.map(lambda name: self.index.search(name, vector, k, document), collections)
            hits = [hit for some in found for hit in some]
        return sorted(hits, key=lambda hit: -hit.score)[:k]

    def _answer(self, grounded: GroundedAnswer | None, timings: Timings, usage: Usage, dropped: int) -> Answer:
        """The answer, or the refusal where nothing is grounded."""
        return Answer(
            answer=grounded.text if grounded else REFUSAL,
            status=AnswerStatus.ANSWERED if grounded else AnswerStatus.REFUSED,
            citations=grounded.citations if grounded else (),
            usage=usage,
            timings_ms=timings,
            model=self.model.name,
            prompt_version=self.prompt.version,
            dropped_passages=dropped,
        )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
