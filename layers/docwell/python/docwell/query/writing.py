"""Write an answer: prompt the model, take its text as it comes, and check it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from docwell.answers import Completion, Mode, Sentence, Usage
from docwell.config import QueryLimits
from docwell.deadline import Deadline, finish
from docwell.errors import Corrupt, DeadlineExceeded, Unavailable
from docwell.ports import Embedder, LanguageModel
from docwell.query.ask import Admitted, Checked, Event, Progress, QueryReport, Token, Waking
from docwell.query.calibration import Calibration
from docwell.query.checking.check import check
from docwell.query.checking.grounding import GroundedAnswer, marked
from docwell.query.checking.support import MeaningScale
from docwell.query.checking.wording import finished_part
from docwell.query.model_host import has_read
from docwell.query.prompting import BuiltPrompt, build_prompt, is_refusal, may_be_refusal
from docwell.query.reports import Inquiry, Reports
from docwell.query.stopwatch import ms
from docwell.query.waking import Sleeper

_Fact = TypeVar("_Fact")

_FACTS_SHARE = 0.1
# Reserved for checking the model's answer, or for the extractive answer.
RESERVE_S = 0.75


@dataclass(frozen=True)
class Writer:
    """Writes answers with one model."""

    model: LanguageModel
    embedder: Embedder
    calibration: Calibration
    reports: Reports
    limits: QueryLimits
    scale: MeaningScale
    sleeper: Sleeper | None = None

    async def prompt(self, found: Inquiry) -> BuiltPrompt:
        """Return the prompt that fits the model's context. Raises `BadInput`."""
        await self.calibration.load(found.ask.deadline)
        context = self.limits.num_ctx
        # A model may have been trained for less context.
        if trained_for := await self._fact(self.model.context_length(), found.ask.deadline):
            context = min(context, trained_for)
        budget, ratio = context - self.limits.num_predict, self.calibration.ratio
        parts, vector = self.limits.passage_tokens, found.searched.vector if found.searched else ()
        return build_prompt(found.ask.prompt, found.passages, found.text, budget, ratio, parts, vector)

    async def answer(self, admitted: Admitted, found: Inquiry, prompt: BuiltPrompt) -> AsyncGenerator[Event]:
        """Yield pieces of the model's text, then the checked answer, or the extractive one. Raises as `ask`."""
        completion, used, early, meanings = None, Usage(), _Early(), _Meanings.of(found, self.embedder)
        attempt = partial(self._generate, admitted, found, prompt)
        try:
            async with aclosing(self.sleeper.awake(found, attempt) if self.sleeper else attempt()) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Completion):
                        completion = piece
                        continue
                    if isinstance(piece, Waking):
                        used, early = Usage(), _Early()
                        yield Progress(self.reports.report(found, prompt))
                    else:
                        used += Usage(0, piece.pieces) if isinstance(piece, Token) else _reading(prompt)
                    yield piece
                    grown = found.ask.question.by_sentence and isinstance(piece, Token) and early.grows(piece.text)
                    if grown and (checked := await self._checked_early(found, prompt, meanings, early.part)):
                        yield checked
        except Unavailable as error:
            used = used if has_read(error) else Usage()
            if not found.ask.question.fallback:
                yield Progress(self.reports.report(found, prompt, used))
                raise
            yield self.reports.extractive(found, prompt, error, used)
        if completion is not None:
            # A client that leaves now is charged: the model has done its work.
            yield await finish(self._checked(found, prompt, meanings, completion))

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
        left_s = found.share * watch.deadline.left(RESERVE_S)
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

    async def _checked_early(
        self, found: Inquiry, prompt: BuiltPrompt, meanings: _Meanings, part: str
    ) -> Checked | None:
        """Return the checked beginning of an answer; None while its check could still change with the rest."""
        # A text without any marker gets some, and a later one with a marker does not.
        if found.mode is not Mode.OVERVIEW and not marked(part, len(prompt.passages)):
            return None
        grounded, sentences = await asyncio.to_thread(self._grounded, found, prompt, meanings, part)
        return Checked(grounded.text, sentences) if grounded and grounded.citations else None

    async def _checked(
        self, found: Inquiry, prompt: BuiltPrompt, meanings: _Meanings, completion: Completion
    ) -> QueryReport:
        """Return the report of the model's text, without the parts that no passage supports."""
        estimate = self.calibration.ratio.observe(prompt.bound, completion.prompt_tokens)
        grounded, sentences = await asyncio.to_thread(self._grounded, found, prompt, meanings, completion.text)
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
        self, found: Inquiry, prompt: BuiltPrompt, meanings: _Meanings, text: str
    ) -> tuple[GroundedAnswer | None, tuple[Sentence, ...]]:
        """Return the grounded text and its sentences; None for a refusal, and where no passage supports it."""
        if is_refusal(text):
            return None, ()
        limits, each = self.limits, found.mode is Mode.OVERVIEW
        return check(
            text, prompt.passages, found.text, meanings.cosines, limits.min_support, self.scale, each=each
        )


@dataclass(slots=True)
class _Meanings:
    """The vectors of the texts that the checks of one answer compare: each is embedded once."""

    embedder: Embedder
    known: dict[str, NDArray[np.float32]]

    @classmethod
    def of(cls, found: Inquiry, embedder: Embedder) -> Self:
        """Begin with the question's vector."""
        searched = found.searched
        return cls(embedder, {searched.text: np.asarray(searched.vector, dtype=np.float32)} if searched else {})

    def cosines(self, one: Sequence[str], other: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return the cosine of each of the first texts with each of the second.

        All are embedded as questions are: the model may write a sentence longer than the embedder reads.
        """
        new = [text for text in dict.fromkeys([*one, *other]) if text not in self.known]
        if new:
            self.known.update(zip(new, self.embedder.embed_queries(new), strict=True))
        rows, columns = (np.stack([self.known[text] for text in texts]) for texts in (one, other))
        cosines: list[list[float]] = (rows @ columns.T).tolist()
        return cosines


@dataclass(slots=True)
class _Early:
    """The model's text so far, and the `part` of it that is finished."""

    text: str = ""
    part: str = ""

    def grows(self, piece: str) -> bool:
        """Add a piece, and return whether this finishes a sentence."""
        self.text += piece
        before, self.part = self.part, finished_part(self.text)
        return len(self.part) > len(before)


def _reading(prompt: BuiltPrompt) -> Usage:
    return Usage(prompt.estimate.tokens)
