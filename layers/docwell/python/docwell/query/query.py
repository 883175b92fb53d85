"""Use case: answer a question with cited pages, or refuse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from typing import TypeVar

from docwell.answers import Completion, Mode, Sentence, Usage
from docwell.config import QueryLimits
from docwell.deadline import Deadline, finish, is_cancelled
from docwell.errors import Corrupt, DeadlineExceeded, Unavailable
from docwell.models import Passage
from docwell.ports import DocumentLinks, Embedder, LanguageModel, Reranker, Reranking
from docwell.query.ask import Admitted, Ask, Event, Passages, Progress, QueryReport, Token, Waking
from docwell.query.calibration import Calibration
from docwell.query.checking.check import check
from docwell.query.checking.grounding import GroundedAnswer
from docwell.query.checking.support import MeaningScale
from docwell.query.checking.suspicion import suspicion
from docwell.query.conversation import Conversation, FollowUp, Rewritten
from docwell.query.model_host import has_read
from docwell.query.overview import Overview
from docwell.query.prompting import BuiltPrompt, build_prompt, is_refusal, may_be_refusal
from docwell.query.reports import REFUSAL, Inquiry, Reports
from docwell.query.retrieval.absence import refusal_of_nothing
from docwell.query.retrieval.expansion import Expanded, Expansion, Wording
from docwell.query.retrieval.gates import OPEN, Gate
from docwell.query.retrieval.reranking import RERANKED, reordered, reranked_text, sound
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope
from docwell.query.stopwatch import Stopwatch, ms
from docwell.query.waking import Sleeper

_Fact = TypeVar("_Fact")

# No document matches the filter: tell the user to relax it.
NOTHING_FITS = "No document that you may read fits this filter."

# The stages' shares of the deadline. The model gets what embedding and retrieval leave.
_EMBED_SHARE = 0.2
_RETRIEVE_SHARE = 0.3
_REWRITE_SHARE = 0.3
_FACTS_SHARE = 0.1
# Optional stages. At the default deadline a slow one is given up before the model host counts as failing.
_EXPAND_SHARE = 0.15
_RERANK_SHARE = 0.15
# Reserved for checking the model's answer, or for the extractive answer.
_RESERVE_S = 0.75


@dataclass(frozen=True)
class Query:
    """The use case on its ports."""

    retrieval: Retrieval
    embedder: Embedder
    model: LanguageModel
    conversation: Conversation
    calibration: Calibration
    overview: Overview
    links: DocumentLinks
    limits: QueryLimits = field(default_factory=QueryLimits)
    scale: MeaningScale = field(default_factory=MeaningScale)
    gate: Gate = OPEN
    expansion: Expansion | None = None
    reranker: Reranker | None = None
    sleeper: Sleeper | None = None

    @property
    def reports(self) -> Reports:
        """The reports of answers of this model."""
        return Reports(self.model.name, self.links)

    async def ask(self, ask: Ask) -> AsyncGenerator[Event]:
        """Answer a question: yield its passages, then pieces of the model's text, then the checked answer.

        A `Progress` precedes each of them, and each call of the model. `Waking` comes while all model hosts sleep.
        Closing it, or cancelling its task, stops the model; a whole text of the model is checked all the same.

        Raises:
            NotFound: a collection or document does not exist, or is not the principal's.
            BadInput: the question does not fit the model's context.
            QuotaExceeded: a quota is used up, or all slots; nothing was searched.
            Unavailable: a dependency failed; `DeadlineExceeded` when the time is used up. Where the question
                allows it, a failed model host gives an extractive answer instead.
        """
        begun, found = False, Inquiry(ask, Stopwatch(ask.deadline), ask.question.text)
        if self.sleeper is not None and ask.question.history:
            async with aclosing(self.sleeper.before_rewriting(found)) as waiting:
                async for waking in waiting:
                    yield waking
        async with aclosing(self._find(found)) as steps:
            async for found in steps:
                begun = begun or found.at_model
                if begun:
                    yield Progress(self.reports.report(found), at_model=found.at_model)
        if found.overview:
            async with aclosing(self._answered(found.of_overview(self.overview.prompt))) as events:
                async for event in events:
                    if (
                        isinstance(event, QueryReport)
                        and found.tries_passages(event.answer, _RESERVE_S)
                        and not is_cancelled()  # the client left while the overview was checked
                    ):
                        found = replace(found, spent=event.answer.usage)
                        break
                    yield event
                else:
                    return
        async with aclosing(self._answered(found)) as events:
            async for event in events:
                yield event

    async def _answered(self, found: Inquiry) -> AsyncGenerator[Event]:
        """Yield the passages of a question, pieces of the model's text, and the answer. Raises as `ask`."""
        prompt = None if found.hopeless else await self._prompt(found)
        # Markers number the passages of the prompt, and quotes come from the part that the model saw.
        if prompt is not None:
            found = replace(found, passages=prompt.passages, suspicious=_suspicious(prompt.passages))
        report = self.reports.report(found, prompt)
        yield Progress(report)
        yield Passages(report.prompted, found.suspicious, found.text)
        if prompt is None or not prompt.passages:
            yield report
            return
        admitted = await found.ask.admission.admitted()
        async with aclosing(self._answer_of_model(admitted, found, prompt)) as events:
            async for event in events:
                yield event

    async def _find(self, found: Inquiry) -> AsyncGenerator[Inquiry]:
        """Yield the state before and after each call of the model, and last what was found. Raises as `ask`."""
        ask, question, watch = found.ask, found.ask.question, found.watch
        if question.history:
            scope = await self._scope(ask, watch)
            admitted = await ask.admission.admitted()
            follow_up = self.conversation.follow_up(question.history, question.text)
            yield replace(found, spent=follow_up.reading, at_model=True)
            rewritten = await self._rewrite(admitted, follow_up, watch)
            found = replace(found, text=rewritten.text, spent=rewritten.usage)
            yield found
            vectors = await self._embed([found.text], watch)
        else:
            # Embedding needs no permission: it overlaps with identifying and charging the caller.
            scope, vectors = await asyncio.gather(self._scope(ask, watch), self._embed([found.text], watch))
        # Enforce the quota before searching; the charge started earlier and is almost always done.
        admitted = await ask.admission.admitted()
        if self.expansion is not None:
            async with aclosing(self._expand(admitted, self.expansion, found)) as steps:
                async for found in steps:
                    yield found
            vectors += await self._embed(found.wordings, watch)
        found = await self._search(admitted, found, scope, vectors)
        yield found
        if self.reranker is not None:
            async with aclosing(self._rerank(admitted, self.reranker, found)) as steps:
                async for found in steps:
                    yield found

    async def _answer_of_model(
        self, admitted: Admitted, found: Inquiry, prompt: BuiltPrompt
    ) -> AsyncGenerator[Event]:
        """Yield pieces of the model's text, then the checked answer, or the extractive one. Raises as `ask`."""
        completion, used = None, Usage()
        attempt = partial(self._generate, admitted, found, prompt)
        try:
            async with aclosing(self.sleeper.awake(found, attempt) if self.sleeper else attempt()) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Completion):
                        completion = piece
                        continue
                    if isinstance(piece, Waking):
                        used = Usage()
                        yield Progress(self.reports.report(found, prompt))
                    else:
                        used += Usage(0, piece.pieces) if isinstance(piece, Token) else _reading(prompt)
                    yield piece
        except Unavailable as error:
            used = used if has_read(error) else Usage()
            if not found.ask.question.fallback:
                yield Progress(self.reports.report(found, prompt, used))
                raise
            yield self.reports.extractive(found, prompt, error, used)
        if completion is not None:
            # A client that leaves now is charged: the model has done its work.
            yield await finish(self._checked(found, prompt, completion))

    async def _scope(self, ask: Ask, watch: Stopwatch) -> Scope:
        question = ask.question
        async with watch.stage("retrieve", _RETRIEVE_SHARE):
            principal = (await ask.admission.identified()).principal
            return await asyncio.to_thread(
                self.retrieval.scope, principal, question.collections, question.document, question.filter
            )

    async def _rewrite(self, _admitted: Admitted, follow_up: FollowUp, watch: Stopwatch) -> Rewritten:
        timeout_s = self.limits.deadline_s * _REWRITE_SHARE
        with watch.timed("generate"):
            return await self.conversation.standalone(follow_up, timeout_s)

    async def _embed(self, texts: Sequence[str], watch: Stopwatch) -> list[list[float]]:
        async with watch.stage("embed", _EMBED_SHARE):
            vectors = await asyncio.to_thread(self.embedder.embed_queries, texts)
        return [vector.tolist() for vector in vectors]

    async def _expand(self, admitted: Admitted, expansion: Expansion, found: Inquiry) -> AsyncGenerator[Inquiry]:
        """Yield the state while the model looks for other wordings of the question, and the state with them."""
        asker, timeout_s, expanded = admitted.principal.id, found.stage_s(_EXPAND_SHARE), Expanded()
        if timeout_s:
            yield replace(found, spent=found.spent + expansion.reading(asker, found.text), at_model=True)
            with found.watch.timed("generate"):
                expanded = await expansion.expand(asker, found.text, timeout_s)
        skipped = () if expanded.texts else ("expansion",)
        yield replace(found, spent=found.spent + expanded.usage, wordings=expanded.texts, skipped=skipped)

    async def _search(
        self, _admitted: Admitted, found: Inquiry, scope: Scope, vectors: Sequence[Sequence[float]]
    ) -> Inquiry:
        question, top_k = found.ask.question, found.ask.question.top_k
        spare = max(RERANKED - top_k, 0) if self.reranker else 0
        others = list(map(Wording, found.wordings, vectors[1:]))
        async with found.watch.stage("retrieve", _RETRIEVE_SHARE):
            passages, fit = await asyncio.to_thread(
                self.retrieval.search, scope, vectors[0], top_k, found.text, spare, others
            )
            overview = await asyncio.to_thread(
                self.overview.passages, question.mode, vectors[0], passages[:top_k], top_k
            )
        refusal = NOTHING_FITS if scope.filter and scope.is_empty else REFUSAL
        if not passages and not scope.filter:
            refusal = await asyncio.to_thread(refusal_of_nothing, self.retrieval.catalogue, scope)
        # A caller who names a document means it: the model decides whether it answers.
        gate = self.gate if question.document is None else OPEN
        return replace(
            found,
            passages=passages,
            overview=overview,
            suspicious=_suspicious(passages),
            refusal=refusal,
            fit=fit,
            min_fit=gate.min_fit,
            hopeless=gate.refuses(fit),
        )

    async def _rerank(self, _admitted: Admitted, reranker: Reranker, found: Inquiry) -> AsyncGenerator[Inquiry]:
        """Yield the state while the reranker reads the passages, and the state with the `top_k` best of them."""
        texts = [reranked_text(one) for one in found.passages[:RERANKED]]
        timeout_s, reranking = found.stage_s(_RERANK_SHARE), Reranking()
        needless = found.overview or found.hopeless or not texts[1:]
        if timeout_s and not needless:
            reading = reranker.reading(found.text, texts)
            at_model = bool(reading.tokens)
            yield replace(found, spent=found.spent + reading, at_model=at_model)
            with found.watch.timed("generate" if at_model else "retrieve"):
                reranking = sound(await reranker.rerank(found.text, texts, timeout_s), len(texts))
        passages = reordered(found.passages, reranking.scores)[: found.ask.question.top_k]
        yield replace(
            found,
            spent=found.spent + reranking.usage,
            skipped=found.skipped if reranking.scores or needless else (*found.skipped, "reranking"),
            passages=passages,
            suspicious=found.suspicious & {one.id for one in passages},
        )

    async def _prompt(self, found: Inquiry) -> BuiltPrompt:
        """Return the prompt that fits the model's context. Raises `BadInput`."""
        await self.calibration.load(found.ask.deadline)
        context = self.limits.num_ctx
        # A model may have been trained for less context.
        if trained_for := await self._fact(self.model.context_length(), found.ask.deadline):
            context = min(context, trained_for)
        budget, ratio = context - self.limits.num_predict, self.calibration.ratio
        parts = self.limits.passage_tokens
        return build_prompt(found.ask.prompt, found.passages, found.text, budget, ratio, parts)

    async def _fact(self, fact: Awaitable[_Fact], deadline: Deadline) -> _Fact | None:
        """Return a fact from the model host, None if it fails: the call of the model reports the failure."""
        try:
            async with deadline.stage("facts", _FACTS_SHARE):
                return await fact
        except (Unavailable, Corrupt):
            return None

    async def _generate(
        self, _admitted: Admitted, found: Inquiry, prompt: BuiltPrompt
    ) -> AsyncGenerator[Progress | Token | Completion]:
        """Yield the model's text, then its completion. Hold text back while it may still become a refusal."""
        watch = found.watch
        left_s = watch.deadline.left(_RESERVE_S)
        if left_s <= 0:
            raise DeadlineExceeded("retrieve", "finding passages took all the time allowed")
        yield Progress(self.reports.report(found, prompt, _reading(prompt)), at_model=True)
        held, pieces_held, begun, started = "", 0, False, perf_counter()
        with watch.timed("generate"):
            async with aclosing(self.model.chat(prompt.messages, left_s)) as pieces:
                async for piece in pieces:
                    if watch.first_token_ms is None:
                        watch.first_token_ms = ms(perf_counter() - started)
                    if isinstance(piece, Completion):
                        yield piece
                        continue
                    held, pieces_held = held + piece, pieces_held + 1
                    begun = begun or not may_be_refusal(held)
                    if begun:
                        yield Token(held, pieces_held)
                        held, pieces_held = "", 0

    async def _checked(self, found: Inquiry, prompt: BuiltPrompt, completion: Completion) -> QueryReport:
        """Return the report of the model's text, without the parts that no passage supports."""
        estimate = self.calibration.ratio.observe(prompt.bound, completion.prompt_tokens)
        grounded, sentences = await asyncio.to_thread(self._grounded, found, prompt, completion.text)
        used = Usage(completion.prompt_tokens, completion.completion_tokens)
        answer = replace(
            self.reports.answer(found, used, grounded, sentences),
            dropped_passages=prompt.dropped,
            cut_short=completion.done_reason == "length",
        )
        return replace(
            self.reports.report(found, prompt),
            answer=answer,
            first_token_ms=found.watch.first_token_ms,
            truncated=estimate.was_cut(completion.prompt_tokens),
            estimated_tokens=estimate.tokens,
            token_error=estimate.error(completion.prompt_tokens),
            model_digest=await self._fact(self.model.digest(), found.ask.deadline),
        )

    def _grounded(
        self, found: Inquiry, prompt: BuiltPrompt, text: str
    ) -> tuple[GroundedAnswer | None, tuple[Sentence, ...]]:
        """Return the grounded text and its sentences; None for a refusal, and where no passage supports it."""
        if is_refusal(text):
            return None, ()
        limits, each = self.limits, found.mode is Mode.OVERVIEW
        return check(
            text, prompt.passages, found.text, self._similarities, limits.min_support, self.scale, each=each
        )

    def _similarities(self, one: Sequence[str], other: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return the cosine of each of the first texts with each of the second.

        All are embedded as questions are: the model may write a sentence longer than the embedder reads.
        """
        vectors = self.embedder.embed_queries([*one, *other])
        cosines: list[list[float]] = (vectors[: len(one)] @ vectors[len(one) :].T).tolist()
        return cosines


def _suspicious(passages: Sequence[Passage]) -> frozenset[str]:
    return frozenset(passage.id for passage in passages if suspicion(passage.chunk.text))


def _reading(prompt: BuiltPrompt) -> Usage:
    return Usage(prompt.estimate.tokens)
