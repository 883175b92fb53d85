"""Use case: answer a question with cited pages, or refuse."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from time import perf_counter

from docwell.answers import STILL_INDEXING, AnswerStatus, Citation, Mode
from docwell.config import QueryLimits
from docwell.errors import BadInput, Unavailable
from docwell.identity import Principal
from docwell.models import collection_of
from docwell.ports import DocumentLinks, Embedder, LanguageModel, Listing, Reranker
from docwell.query.ask import Ask, Basis, Event, Inquiry, Passages, Progress, QueryReport, Searched, Stopwatch
from docwell.query.compare import answered_in_rows
from docwell.query.conversation import Conversation
from docwell.query.modes import Modes
from docwell.query.retrieval.ranking import RERANKED, reordered
from docwell.query.retrieval.retrieval import RankedHits, Retrieval
from docwell.query.retrieval.scope import Scope, check_exist, find_scope, unfinished, why_empty
from docwell.query.waking import Sleeper
from docwell.query.writing import RESERVE_S, Reports, Writer, likeness
from docwell.text.lexicon import language_of, script

# The stages' shares of the deadline. The model gets the time that embedding and retrieval leave.
_EMBED_SHARE, _RETRIEVE_SHARE, _REWRITE_SHARE = 0.2, 0.3, 0.3
# At the default deadline, give up a slow reranker before the model host counts as failing.
_RERANK_SHARE = 0.15
# Reserve this share for the model's answer. Skip the reranker if fewer seconds are left for it.
_ANSWER_SHARE = 0.5
_LEAST_STAGE_S = 0.5


@dataclass(frozen=True)
class Query:
    """The use case on its ports.

    A question with a lower fit than `min_fit` does not reach the model, which may invent; than `min_fit_abroad` if
    it is in the `language` of an embedding model that knows one, and its best passage is not. None: no threshold.
    """

    retrieval: Retrieval
    embedder: Embedder
    model: LanguageModel
    conversation: Conversation
    modes: Modes
    links: DocumentLinks
    limits: QueryLimits = field(default_factory=QueryLimits)
    foreign: tuple[float, float] | None = None
    min_fit: float | None = None
    min_fit_abroad: float | None = None
    language: str | None = None
    reranker: Reranker | None = None
    sleeper: Sleeper | None = None
    listing: Listing = lambda _: ((), None)

    @cached_property
    def reports(self) -> Reports:
        """The reports of answers of this model."""
        return Reports(self.model.name, self.links)

    @cached_property
    def writer(self) -> Writer:
        """The writer of answers of this model."""
        compared = partial(likeness, self.embedder, *self.foreign) if self.foreign else None
        return Writer(self.model, self.reports, self.limits, compared, self.sleeper)

    async def ask(self, ask: Ask) -> AsyncGenerator[Event]:
        """Answer a question: yield its passages, then pieces of the model's text, then the checked answer.

        A `Progress` precedes each of them, and each call of the model. `Waking` comes while all model hosts sleep.
        Closing it, or cancelling its task, stops the model; a text that the model has finished is charged.

        Raises:
            NotFound: a collection or document does not exist, or is not the principal's.
            BadInput: the question does not fit the model's context.
            QuotaExceeded: a quota is used up, or all slots; nothing was searched.
            Unavailable: a dependency failed; `DeadlineExceeded` when the time is used up. Where the question
                allows it, a failed model host gives an extractive answer instead.
        """
        inquiry = Inquiry(ask, Stopwatch(ask.deadline, perf_counter()), ask.question.text)
        if ask.question.history:
            async with aclosing(self._rewritten(inquiry)) as steps:
                async for step in steps:
                    if isinstance(step, Inquiry):
                        inquiry = step
                    else:
                        yield step
        inquiry, basis = await self._with_passages(inquiry)
        if ask.question.quotes:
            near = replace(inquiry, refusal="not_in_documents")
            report = self.reports.report(inquiry) if inquiry.is_hopeless else self.reports.quotes(near)
            yield Passages(report.inquiry.prompted, inquiry.text)
            yield report
            return
        if basis and (ask.question.mode is not Mode.AUTO or basis.passages):
            async with aclosing(self._of_mode(inquiry, basis)) as events:
                async for event in events:
                    if isinstance(event, QueryReport) and self._tries_passages(inquiry, basis, event):
                        # The gate has passed no passage, but the model has read those of the mode.
                        cause = event.answer.refusal if inquiry.is_hopeless else None
                        inquiry = replace(inquiry, usage=event.answer.usage, refusal=cause or inquiry.refusal)
                        break
                    yield event
                else:
                    return
        async with aclosing(self.writer.answer(inquiry)) as events:
            async for event in events:
                if isinstance(event, QueryReport) and event.answer.refusal and basis and basis.answer:
                    # An empty list says which documents were searched.
                    yield self.reports.of_basis(replace(inquiry, usage=event.answer.usage), basis)
                else:
                    yield event

    async def completed(self, report: QueryReport) -> QueryReport:
        """Return the report; a refusal says how many documents are still being indexed, if the ledger answers."""
        answer, scope, question = report.answer, report.inquiry.scope, report.inquiry.ask.question
        if scope is None or answer.refusal is None:
            return report
        if question.document is None:
            scope = Scope(scope.principal, dict.fromkeys(question.collections) or None, question.filter)
        with suppress(Unavailable):
            async with report.inquiry.ask.deadline.stage("retrieve", _RETRIEVE_SHARE):
                count = await asyncio.to_thread(unfinished, self.retrieval.catalogue, scope, self.listing)
            text = answer.answer + (STILL_INDEXING.format(count) if count else "")
            report = replace(report, answer=replace(answer, answer=text, still_indexing=count))
        return report

    async def search(self, ask: Ask) -> tuple[Inquiry, list[Citation]]:
        """Return the question with its passages, ranked as for `ask`, and their citations. Calls no model host.

        Raises as `ask`.
        """
        inquiry = Inquiry(ask, Stopwatch(ask.deadline, perf_counter()), ask.question.text)
        inquiry, _ = await self._with_passages(inquiry)
        return inquiry, self.reports.citations(inquiry)

    async def _rewritten(self, inquiry: Inquiry) -> AsyncGenerator[Event | Inquiry]:
        """Yield the events of rewriting a follow-up question, and last the question that stands alone."""
        question = inquiry.ask.question
        if self.sleeper is not None:
            async with aclosing(self.sleeper.before_rewriting(inquiry)) as waiting:
                async for waking in waiting:
                    yield waking
        principal = await inquiry.ask.admission.admitted()
        # Check the scope first: a question for a missing collection must not cost a call of the model.
        with inquiry.watch.timed("retrieve"):
            async with inquiry.watch.deadline.stage("retrieve", _RETRIEVE_SHARE):
                scope = await asyncio.to_thread(self._scope, inquiry, principal, exists=True)
        inquiry = replace(inquiry, scope=scope)
        follow_up = self.conversation.follow_up(question.history, question.text)
        yield Progress(self.reports.report(inquiry, follow_up.reading), at_model=True)
        with inquiry.watch.timed("generate"):
            text, usage = await self.conversation.standalone(follow_up, self.limits.deadline_s * _REWRITE_SHARE)
        inquiry = replace(inquiry, text=text, usage=usage)
        yield Progress(self.reports.report(inquiry))
        yield inquiry

    async def _with_passages(self, inquiry: Inquiry) -> tuple[Inquiry, Basis | None]:
        """Return the question with its passages, and the basis of its mode to try before the passages, if any."""
        # Embedding needs no permission: it overlaps with identifying and charging the caller.
        with inquiry.watch.timed("embed"):
            async with inquiry.watch.deadline.stage("embed", _EMBED_SHARE):
                (vector,) = await asyncio.to_thread(self.embedder.embed_queries, [inquiry.text])
        # Enforce the quota before searching; the charge started earlier and is almost always done.
        principal = await inquiry.ask.admission.admitted()
        refusal = inquiry.refusal
        request = (inquiry, principal, list(map(float, vector)))
        with inquiry.watch.timed("retrieve"):
            async with inquiry.watch.deadline.stage("retrieve", _RETRIEVE_SHARE):
                hits, searched, basis = await asyncio.to_thread(self._searched, *request)
                try:
                    if not hits.passages:
                        where = self.retrieval.catalogue, searched.scope, self.listing
                        refusal = await asyncio.to_thread(why_empty, *where)
                except Unavailable:  # a document may have gone live since the search
                    hits, searched, basis = await asyncio.to_thread(self._searched, *request)
                    if not hits.passages:
                        raise
        knows = self._knows(inquiry.text)
        if hits.passages and not knows:
            refusal = "other_language"
        # If the caller names a document, skip the gate: the model decides whether the document answers.
        is_abroad = knows and not all(self._knows(hit.chunk.text) for hit in hits.passages[:1])
        least = self.min_fit_abroad if is_abroad and self.min_fit_abroad is not None else self.min_fit
        min_fit = least if inquiry.ask.question.document is None else None
        inquiry = replace(
            inquiry,
            scope=searched.scope,
            searched=searched,
            passages=hits.passages,
            fit=hits.fit,
            min_fit=min_fit,
            is_hopeless=hits.fit is None or (min_fit is not None and hits.fit < min_fit),
            refusal=refusal,
        )
        if self.reranker is not None and basis is None:
            inquiry = await self._reranked(self.reranker, inquiry)
        return replace(inquiry, passages=inquiry.passages[: inquiry.ask.question.top_k]), basis

    def _searched(
        self, inquiry: Inquiry, principal: Principal, vector: Sequence[float]
    ) -> tuple[RankedHits, Searched, Basis | None]:
        """Return the hits, the question after its search, and the basis of its mode. Blocks. Raises as `ask`."""
        question, text, top_k = inquiry.ask.question, inquiry.text, inquiry.ask.question.top_k
        scope = self._scope(inquiry, principal)
        hits = self.retrieval.search(scope, vector, top_k, text, max(RERANKED - top_k, 0) if self.reranker else 0)
        if unread := scope.unread.difference(collection_of(hit.document) for hit in hits.passages):
            check_exist(self.retrieval.catalogue, scope.principal, unread)
        searched = Searched(question.mode, text, scope, vector, hits.passages[:top_k], hits.documents, top_k)
        return hits, searched, None if question.quotes else self.modes.basis(searched)

    def _scope(self, inquiry: Inquiry, principal: Principal, *, exists: bool = False) -> Scope:
        question = inquiry.ask.question
        where = (principal, question.collections, question.document, question.filter)
        scope = inquiry.scope or find_scope(self.retrieval.catalogue, *where)
        if exists:
            check_exist(self.retrieval.catalogue, principal, scope.unread)
        return scope

    def _knows(self, text: str) -> bool:
        """Return whether the embedding model knows the language of a text. In others it finds little."""
        return not self.language or (script(text) in {"", "LATIN"} and language_of(text) in {"", self.language})

    async def _reranked(self, reranker: Reranker, inquiry: Inquiry) -> Inquiry:
        """Return the question with its passages reranked, or unchanged if the reranker is late or fails."""
        texts, deadline = [passage.chunk.text for passage in inquiry.passages[:RERANKED]], inquiry.ask.deadline
        if inquiry.is_hopeless or len(texts) < 2:  # noqa: PLR2004 - one passage has one order
            return inquiry
        scores: Sequence[float] = ()
        timeout_s = min(deadline.seconds * _RERANK_SHARE, deadline.left(deadline.seconds * _ANSWER_SHARE))
        if timeout_s >= _LEAST_STAGE_S:
            with inquiry.watch.timed("retrieve"):
                scores = await reranker.rerank(inquiry.text, texts, timeout_s)
        if len(scores) != len(texts) or not all(map(math.isfinite, scores)):
            return replace(inquiry, skipped=("reranking",))
        return replace(inquiry, passages=reordered(inquiry.passages, scores))

    async def _of_mode(self, inquiry: Inquiry, basis: Basis) -> AsyncGenerator[Event]:
        """Yield the events of an answer of the question's mode. Raises as `ask`."""
        if basis.answer:
            report = self.reports.of_basis(inquiry, basis)
            yield Passages(report.inquiry.passages, inquiry.text)
            yield report
            return
        inquiry = inquiry.of(basis)
        writer = replace(self.writer, model=basis.model or self.writer.model)
        answer = basis.names and answered_in_rows(writer, inquiry, basis.names)
        try:
            async with aclosing(answer or writer.answer(inquiry)) as events:
                async for event in events:
                    yield event
        except BadInput:  # the prompt of the mode leaves no room for passages
            if inquiry.ask.question.mode is not Mode.AUTO:
                raise
            yield self.reports.report(replace(inquiry, refusal="no_room"))

    def _tries_passages(self, inquiry: Inquiry, basis: Basis, report: QueryReport) -> bool:
        """Return whether a model has refused in a mode, and there is time for another answer of this length."""
        is_refused = report.answer.status is AnswerStatus.REFUSED and basis.answer is None
        return is_refused and inquiry.watch.deadline.left(RESERVE_S) > inquiry.watch.seconds["generate"]
