"""Write an answer: prompt the model, take its text as it comes, check it, and report it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from time import perf_counter

from docwell.answers import REFUSALS, Answer, AnswerStatus, Citation, Completion, Mode, Sentence, Usage
from docwell.config import QueryLimits
from docwell.errors import BadInput, DeadlineExceeded, ModelWaking, PromptTooLong, Unavailable
from docwell.ports import DocumentLinks, Embedder, LanguageModel
from docwell.query.ask import Basis, Checked, Event, Inquiry, ModelCall, Passages, Progress, QueryReport, Token
from docwell.query.checking.check import NO_SOURCE, Checker, finished_part
from docwell.query.checking.grounding import Evidence, GroundedAnswer, cite, likely, quoted
from docwell.query.checking.suspicion import suspicion
from docwell.query.model_host import charged
from docwell.query.overview import digest
from docwell.query.prompting import build_prompt, is_refusal, may_be_refusal
from docwell.query.waking import Sleeper
from docwell.text.lexicon import content_words

# The share of the deadline for facts of the model host.
_FACTS_SHARE = 0.1
# The time reserved for checking the model's answer, or for the extractive answer.
RESERVE_S = 0.75
# Of a refused prompt: SmolLM2 makes up to 2.6 times the tokens that `docwell.text.tokens` assumes.
_SHORTER = 0.38
_NONE = Usage()


@dataclass(frozen=True, slots=True)
class Reports:
    """Makes the reports of the answers of one model."""

    model: str
    links: DocumentLinks

    def report(
        self,
        inquiry: Inquiry,
        used: Usage = _NONE,
        grounded: GroundedAnswer | None = None,
        sentences: tuple[Sentence, ...] = (),
        status: AnswerStatus = AnswerStatus.ANSWERED,
    ) -> QueryReport:
        """Return the report of an answer with this status; a refusal if no citation is left, or if it says so.

        `used` are the tokens of a call that has not ended, or whose answer this is.
        """
        is_answer = bool(grounded and grounded.citations) and status is not AnswerStatus.REFUSED
        answer = Answer(
            answer=(grounded.text if grounded else "") or REFUSALS[inquiry.refusal],
            status=status if is_answer else AnswerStatus.REFUSED,
            citations=tuple(map(self._linked, grounded.citations)) if grounded else (),
            usage=inquiry.usage + used,
            timings_ms=inquiry.watch.timings(),
            model=self.model,
            prompt_version=inquiry.ask.prompt.version,
            dropped_passages=inquiry.prompt.dropped if inquiry.prompt else 0,
            sentences=sentences,
            suspicious_passages=sum(bool(suspicion(passage.chunk.text)) for passage in inquiry.passages),
            rewritten_question=inquiry.text if inquiry.text != inquiry.ask.question.text else None,
            refusal=None if is_answer else inquiry.refusal,
            mode=inquiry.mode,
            partial=inquiry.partial,
        )
        return QueryReport(answer, inquiry, inquiry.watch.seconds["generate"])

    def quotes(self, inquiry: Inquiry, used: Usage = _NONE, error: Unavailable | None = None) -> QueryReport:
        """Return the best sentences of the passages in place of a model's answer; `error` says why it failed."""
        inquiry = replace(inquiry, prompted=inquiry.passages, call=ModelCall())
        if inquiry.mode is Mode.OVERVIEW:
            grounded, sentences = digest(inquiry.text, inquiry.passages)
        else:
            grounded, sentences = quoted(likely(inquiry.text, inquiry.passages, 3), inquiry.passages)[0], ()
        report = self.report(inquiry, used, grounded, sentences, AnswerStatus.EXTRACTIVE)
        return replace(report, answer=replace(report.answer, fallback_reason=error.reason if error else None))

    def unverified(self, inquiry: Inquiry, used: Usage) -> QueryReport:
        """Return a refusal with the sentences of all passages found that most likely answer."""
        passages = inquiry.searched.passages if inquiry.searched else inquiry.prompted
        inquiry = replace(inquiry, refusal="not_verified", prompted=passages)
        nearest, asked = likely(inquiry.text, passages, 3), content_words(inquiry.text)
        grounded, sentences = quoted([row for row in nearest if row.words & asked] or nearest[:1], passages)
        text = grounded.text and f"{REFUSALS['not_verified']} The nearest text says: {grounded.text}"
        return self.report(inquiry, used, replace(grounded, text=text), sentences, AnswerStatus.REFUSED)

    def of_basis(self, inquiry: Inquiry, basis: Basis) -> QueryReport:
        """Return the answer that a mode made without a model."""
        inquiry = replace(inquiry.of(basis), prompted=basis.passages)
        status = AnswerStatus.EXTRACTIVE if basis.sentences else AnswerStatus.ANSWERED
        return self.report(inquiry, _NONE, basis.answer, basis.sentences, status)

    def citations(self, inquiry: Inquiry) -> list[Citation]:
        """Return a citation of each passage, whose quote is nearest to the question."""
        evidence, question_words = Evidence(inquiry.passages, inquiry.text), content_words(inquiry.text)
        return [
            self._linked(cite(number, passage, *evidence.window(question_words, number - 1)))
            for number, passage in enumerate(inquiry.passages, 1)
        ]

    def _linked(self, citation: Citation) -> Citation:
        """Return the citation with its link."""
        link = None
        with suppress(Unavailable):  # without credentials to sign a link, keep the citation
            link = self.links.link(citation.document, citation.version, citation.unit)
        return replace(citation, link=link)


@dataclass(frozen=True)
class Writer:
    """Writes answers with one model."""

    model: LanguageModel
    reports: Reports
    limits: QueryLimits
    likeness: Callable[[str, Sequence[str]], float] | None = None
    sleeper: Sleeper | None = None

    async def prompted(self, inquiry: Inquiry) -> Inquiry:
        """Return the question with a prompt that fits the model's context; unchanged if it has one or is hopeless.

        Markers number the passages of the prompt, which may be cut. Raises `BadInput`.
        """
        if inquiry.prompt or inquiry.is_hopeless:
            return inquiry
        limits, context, model_digest = self.limits, self.limits.num_ctx, None
        with suppress(Unavailable):  # the call of the model reports it
            async with inquiry.ask.deadline.stage("facts", _FACTS_SHARE):
                facts = await self.model.facts()
            # The model may have been trained for a smaller context.
            context, model_digest = min(context, facts.context_length or context), facts.digest
        room = context - limits.num_predict - limits.thinking_tokens
        prompt = build_prompt(inquiry.ask.prompt, inquiry.passages, inquiry.text, room, limits.passage_tokens)
        if inquiry.passages and inquiry.refusal == "nothing_near":
            inquiry = replace(inquiry, refusal="no_room" if prompt.dropped else "not_in_documents")
        call = ModelCall(prompt.bound.expected, model_digest=model_digest)
        return replace(inquiry, prompt=prompt, passages=prompt.passages, prompted=prompt.passages, call=call)

    async def answer(self, inquiry: Inquiry) -> AsyncGenerator[Event]:
        """Yield the passages of the prompt, pieces of the model's text, and the answer. Raises as `ask`.

        The answer is checked, or extractive if the model fails and the question allows it. If no passage is near
        the question, or none fits, it is a refusal without a call of the model.
        """
        inquiry = await self.prompted(inquiry)
        report = self.reports.report(inquiry)
        yield Progress(report)
        yield Passages(inquiry.prompted, inquiry.text)
        if inquiry.prompt is None or not inquiry.prompted:
            yield report
            return
        await inquiry.ask.admission.admitted()
        each, least = inquiry.mode is Mode.OVERVIEW, self.limits.min_support
        checker = Checker(inquiry.prompted, inquiry.text, least, each=each, likeness=self.likeness)
        draft = _Draft()
        try:
            for is_last in (False, True):
                left_s = inquiry.share * inquiry.watch.deadline.left(RESERVE_S)
                if left_s <= 0:
                    raise DeadlineExceeded("retrieve", "finding passages took all the time allowed")
                draft = _Draft(Usage(inquiry.prompt.bound.expected))
                yield Progress(self.reports.report(inquiry, draft.usage), at_model=True)
                try:
                    with inquiry.watch.timed("generate"):
                        async with aclosing(self.model.chat(inquiry.prompt.messages, left_s)) as pieces:
                            async for piece in pieces:
                                for shown in await self._take(inquiry, checker, draft, piece):
                                    yield shown
                    # The model has done its work: charge a client that leaves during the check.
                    yield Progress(self.reports.report(inquiry, draft.usage))
                    yield await asyncio.to_thread(self._checked, inquiry, checker, draft.completion)
                    break
                except ModelWaking as error:
                    async with aclosing(self._woken(inquiry, error, is_last=is_last)) as events:
                        async for event in events:
                            yield event
        except Unavailable as error:
            async with aclosing(self._failed(inquiry, error, draft.usage)) as events:
                async for event in events:
                    yield event

    async def _failed(self, inquiry: Inquiry, error: Unavailable, estimate: Usage) -> AsyncGenerator[Event]:
        """Yield the answer from a shorter prompt, or the extractive answer. Raises the error without both."""
        if isinstance(error, PromptTooLong) and inquiry.prompt:
            room = (
                int(inquiry.prompt.bound.most * _SHORTER) + self.limits.num_predict + self.limits.thinking_tokens
            )
            shorter = replace(self, limits=self.limits.model_copy(update={"num_ctx": room}))
            again = replace(inquiry, prompt=None, prompted=())
            with suppress(BadInput):  # no room beside the question
                again = await shorter.prompted(again)
            if again.prompt and again.prompted:
                prompt = replace(again.prompt, dropped=inquiry.prompt.dropped + again.prompt.dropped)
                if prompt.dropped and again.refusal == "not_in_documents":
                    again = replace(again, refusal="no_room")
                async with aclosing(shorter.answer(replace(again, prompt=prompt))) as events:
                    async for event in events:
                        yield event
                return
        used = charged(error, estimate)
        fallback = self.reports.quotes(inquiry, used, error) if inquiry.ask.question.fallback else None
        if fallback is None or not fallback.answer.citations:
            yield Progress(self.reports.report(inquiry, used))
            raise error
        yield fallback

    async def _woken(self, inquiry: Inquiry, error: ModelWaking, *, is_last: bool) -> AsyncGenerator[Event]:
        """Yield the events of waiting for a model host. Raises the error if the question must not be repeated."""
        if self.sleeper is None:
            raise error
        if (stopped := self.sleeper.stopped()) or is_last:
            raise (stopped or error) from None
        async with aclosing(self.sleeper.waking(inquiry)) as events:
            async for waking in events:
                yield Progress(self.reports.report(inquiry))
                yield waking
        if not inquiry.ask.question.waits:
            raise error

    async def _take(
        self, inquiry: Inquiry, checker: Checker, draft: _Draft, piece: str | Completion
    ) -> list[Token | Checked]:
        """Add a piece; return the text to show, and the checked beginning of the answer if a sentence has ended.

        Hold back text that may still become a refusal.
        """
        if not piece:  # a token of thinking
            draft.usage += Usage(0, 1)
            return [Token("")]
        if inquiry.watch.first_token_ms is None:
            inquiry.watch.first_token_ms = round((perf_counter() - draft.started) * 1000, 2)
        if isinstance(piece, Completion):
            draft.completion, draft.usage = piece, Usage(piece.prompt_tokens, piece.completion_tokens)
            return []
        draft.text, draft.held, draft.pieces_held = draft.text + piece, draft.held + piece, draft.pieces_held + 1
        if draft.text == draft.held and may_be_refusal(draft.held):
            return []
        token = Token(draft.held, draft.pieces_held)
        draft.usage += Usage(0, draft.pieces_held)
        draft.held, draft.pieces_held = "", 0
        if not inquiry.ask.question.by_sentence or len(part := finished_part(draft.text)) <= len(draft.part):
            return [token]
        draft.part = part
        grounded, sentences = await asyncio.to_thread(checker.check, part)
        return [token, Checked(grounded.text, sentences)] if grounded and not checker.is_open else [token]

    def _checked(self, inquiry: Inquiry, checker: Checker, completion: Completion | None) -> QueryReport:
        """Return the report of the model's text, without the parts that no passage supports."""
        if inquiry.prompt is None or completion is None:
            raise ValueError("a model's answer has a prompt and ends with its completion")
        bound, read = inquiry.prompt.bound, completion.prompt_tokens
        refused, (grounded, sentences) = is_refusal(completion.text), NO_SOURCE
        if not refused:
            grounded, sentences = checker.check(completion.text)
        call = replace(
            inquiry.call,
            first_token_ms=inquiry.watch.first_token_ms,
            truncated=read < bound.least,
            token_error=abs(bound.expected - read) / read if read > 0 else 0.0,
        )
        used, inquiry = Usage(read, completion.completion_tokens), replace(inquiry, call=call)
        report = self.reports.report(inquiry, used, grounded, sentences)
        if grounded is None and not refused:
            report = self.reports.unverified(inquiry, used)
        return replace(report, answer=replace(report.answer, cut_short=completion.done_reason == "length"))


@dataclass(slots=True)
class _Draft:
    """The model's text so far, the tokens used, and its `completion` at the end. `part` has whole sentences."""

    usage: Usage = _NONE
    completion: Completion | None = None
    part: str = ""
    text: str = ""
    held: str = ""
    pieces_held: int = 0
    started: float = field(default_factory=perf_counter)


def likeness(embedder: Embedder, unrelated: float, same: float, sentence: str, texts: Sequence[str]) -> float:
    """Return the likeness of a sentence to the nearest text: 0 for the cosine `unrelated`, 1 for `same`.

    Embed all as questions, which may be cut: the model may write a sentence longer than the embedder reads.
    """
    vector, *vectors = embedder.embed_queries([sentence, *texts])
    nearest = max((float(row @ vector) for row in vectors), default=unrelated)
    return min(1.0, max(0.0, (nearest - unrelated) / (same - unrelated)))
