"""Use case: answer a question with cited pages, or refuse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from docwell.answers import AnswerStatus, Mode
from docwell.bucket_ports import DocumentLinks
from docwell.config import QueryLimits
from docwell.deadline import is_cancelled
from docwell.errors import BadInput, Unavailable
from docwell.ports import Embedder, LanguageModel, Reranker, Reranking
from docwell.query.ask import Admitted, Ask, Event, Passages, Progress, QueryReport
from docwell.query.calibration import Calibration
from docwell.query.checking.support import MeaningScale
from docwell.query.checking.suspicion import suspicious_ids
from docwell.query.conversation import Conversation, FollowUp, Rewritten
from docwell.query.modes import Basis, Modes, Searched
from docwell.query.question_words import is_in_other_language
from docwell.query.reports import OTHER_LANGUAGE, REFUSAL, Hits, Inquiry, Reports
from docwell.query.retrieval.absence import refusal_of_nothing
from docwell.query.retrieval.expansion import Expanded, Expansion, Wording
from docwell.query.retrieval.gates import OPEN, Gate
from docwell.query.retrieval.reranking import RERANKED, reordered, reranked_text, sound
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import Scope
from docwell.query.rows import answered_in_rows
from docwell.query.stopwatch import Stopwatch
from docwell.query.waking import Sleeper
from docwell.query.writing import RESERVE_S, Writer

# No document matches the filter: tell the user to relax it.
NOTHING_FITS = "No document that you may read fits this filter."

# The stages' shares of the deadline. The model gets what embedding and retrieval leave.
_EMBED_SHARE = 0.2
_RETRIEVE_SHARE = 0.3
_REWRITE_SHARE = 0.3
# Optional stages. At the default deadline a slow one is given up before the model host counts as failing.
_EXPAND_SHARE = 0.15
_RERANK_SHARE = 0.15


@dataclass(frozen=True)
class Query:
    """The use case on its ports. `language` is that of the embedding model, if it knows a single one."""

    retrieval: Retrieval
    embedder: Embedder
    model: LanguageModel
    conversation: Conversation
    calibration: Calibration
    modes: Modes
    links: DocumentLinks
    limits: QueryLimits = field(default_factory=QueryLimits)
    scale: MeaningScale = field(default_factory=MeaningScale)
    gate: Gate = OPEN
    language: str | None = None
    expansion: Expansion | None = None
    reranker: Reranker | None = None
    sleeper: Sleeper | None = None

    @cached_property
    def reports(self) -> Reports:
        """The reports of answers of this model."""
        return Reports(self.model.name, self.links)

    @cached_property
    def writer(self) -> Writer:
        """The writer of answers of this model."""
        return Writer(
            self.model, self.embedder, self.calibration, self.reports, self.limits, self.scale, self.sleeper
        )

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
        async with aclosing(self._in_turn(found)) as events:
            async for event in events:
                yield event

    async def _in_turn(self, found: Inquiry) -> AsyncGenerator[Event]:
        """Yield the events of the mode's answer, of the passages' if it refuses, and of a list if these refuse."""
        if found.basis:
            async with aclosing(self._of_mode(found, found.basis)) as events:
                async for event in events:
                    if (
                        isinstance(event, QueryReport)
                        and found.tries_passages(event.answer, RESERVE_S)
                        and not is_cancelled()  # the client left while the answer was checked
                    ):
                        found = replace(found, spent=event.answer.usage)
                        break
                    yield event
                else:
                    return
        async with aclosing(self._answered(found)) as events:
            async for event in events:
                if isinstance(event, QueryReport) and (basis := await self._list(found, event)):
                    for one in self._without_model(replace(found, spent=event.answer.usage), basis):
                        yield one
                    return
                yield event

    async def search(self, ask: Ask) -> Hits:
        """Return the passages for a question, best first, ranked as for `ask`. Calls no language model.

        So it searches for no other wordings, and skips a reranker that is the language model. Raises as `ask`.
        """
        found = Inquiry(ask, Stopwatch(ask.deadline), ask.question.text)
        scope, vectors = await asyncio.gather(
            self._scope(ask, found.watch), self._embed([found.text], found.watch)
        )
        admitted = await ask.admission.admitted()
        found = await self._search(admitted, found, scope, vectors)
        if self.reranker is not None and not self.reranker.reading(found.text, _reranked_texts(found)).tokens:
            async with aclosing(self._rerank(admitted, self.reranker, found)) as steps:
                async for step in steps:
                    found = step
        return self.reports.hits(replace(found, passages=found.passages[: ask.question.top_k]))

    def _without_model(self, found: Inquiry, basis: Basis) -> tuple[Passages, QueryReport]:
        """Return the events of an answer that a mode has given by itself."""
        found = found.of(basis)
        return Passages(found.passages, found.suspicious, found.text), self.reports.of_basis(found, basis)

    async def _list(self, found: Inquiry, report: QueryReport) -> Basis | None:
        """Return a list in place of a refusal, if there is time to make one; a failure leaves the refusal."""
        refused, deadline = report.answer.status is AnswerStatus.REFUSED, found.watch.deadline
        if not (refused and found.searched) or is_cancelled():
            return None
        if deadline.left(RESERVE_S) < deadline.seconds * _RETRIEVE_SHARE:
            return None
        try:
            async with found.watch.stage("retrieve", _RETRIEVE_SHARE):
                return await asyncio.to_thread(self.modes.after_refusal, found.searched)
        except Unavailable:
            return None

    async def _of_mode(self, found: Inquiry, basis: Basis) -> AsyncGenerator[Event]:
        """Yield the events of an answer of the question's mode. Raises as `ask`."""
        if basis.answer:
            for one in self._without_model(found, basis):
                yield one
            return
        found = found.of(basis)
        if basis.rows is None:
            events = self._answered(found)
        else:
            events = answered_in_rows(self.writer, await found.ask.admission.admitted(), found, basis.rows)
        try:
            async with aclosing(events):
                async for event in events:
                    yield event
        except BadInput:  # the question leaves no room for passages beside the prompt of the mode
            if found.ask.question.mode is not Mode.AUTO:
                raise
            yield self.reports.report(found)  # a refusal

    async def _answered(self, found: Inquiry) -> AsyncGenerator[Event]:
        """Yield the passages of a question, pieces of the model's text, and the answer. Raises as `ask`."""
        if found.ask.question.quotes:
            report = self.reports.report(found) if found.hopeless else self.reports.quotes(found)
            yield Passages(report.prompted, found.suspicious, found.text)
            yield report
            return
        prompt = None if found.hopeless else await self.writer.prompt(found)
        # Markers number the passages of the prompt, and quotes come from the part that the model saw.
        if prompt is not None:
            found = replace(found, passages=prompt.passages, suspicious=suspicious_ids(prompt.passages))
        report = self.reports.report(found, prompt)
        yield Progress(report)
        yield Passages(report.prompted, found.suspicious, found.text)
        if prompt is None or not prompt.passages:
            yield report
            return
        admitted = await found.ask.admission.admitted()
        async with aclosing(self.writer.answer(admitted, found, prompt)) as events:
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
        if self.expansion is not None and not question.quotes:
            async with aclosing(self._expand(admitted, self.expansion, found)) as steps:
                async for found in steps:
                    yield found
            vectors += await self._embed(found.wordings, watch)
        found = await self._search(admitted, found, scope, vectors)
        yield found
        if self.reranker is not None and not question.quotes:
            async with aclosing(self._rerank(admitted, self.reranker, found)) as steps:
                async for found in steps:
                    yield found

    async def _scope(self, ask: Ask, watch: Stopwatch) -> Scope:
        question = ask.question
        # A question for a missing collection must not cost a call of the model.
        proves = bool(question.history) or self.expansion is not None
        async with watch.stage("retrieve", _RETRIEVE_SHARE):
            principal = (await ask.admission.identified()).principal
            where = (principal, question.collections, question.document, question.filter)
            return await asyncio.to_thread(partial(self.retrieval.scope, *where, proves=proves))

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
            passages, fit, documents = await asyncio.to_thread(
                self.retrieval.search, scope, vectors[0], top_k, found.text, spare, others
            )
            searched = Searched(question.mode, found.text, scope, vectors[0], passages[:top_k], documents, top_k)
            basis = await asyncio.to_thread(self.modes.basis, searched)
        is_foreign = self.language is not None and is_in_other_language(found.text, self.language)
        refusal = OTHER_LANGUAGE if is_foreign else REFUSAL
        if scope.filter and scope.is_empty:
            refusal = NOTHING_FITS
        if not (passages or scope.filter):
            refusal = await asyncio.to_thread(refusal_of_nothing, self.retrieval.catalogue, scope)
        # A caller who names a document means it: the model decides whether it answers.
        gate = self.gate if question.document is None else OPEN
        return replace(
            found,
            passages=passages,
            searched=searched,
            basis=basis,
            suspicious=suspicious_ids(passages),
            refusal=refusal,
            fit=fit,
            min_fit=gate.min_fit,
            hopeless=gate.refuses(fit),
        )

    async def _rerank(self, _admitted: Admitted, reranker: Reranker, found: Inquiry) -> AsyncGenerator[Inquiry]:
        """Yield the state while the reranker reads the passages, and the state with the `top_k` best of them."""
        texts = _reranked_texts(found)
        timeout_s, reranking = found.stage_s(_RERANK_SHARE), Reranking()
        needless = found.basis is not None or found.hopeless or not texts[1:]
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


def _reranked_texts(found: Inquiry) -> list[str]:
    return [reranked_text(one) for one in found.passages[:RERANKED]]
