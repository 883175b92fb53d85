"""A question on its way to its answer, and the reports of where it stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from docwell.answers import Answer, AnswerStatus, Citation, Mode, Sentence, Timings, Usage
from docwell.bucket_ports import DocumentLinks
from docwell.errors import Unavailable
from docwell.models import Passage
from docwell.query.ask import Ask, QueryReport
from docwell.query.checking.extractive import extract
from docwell.query.checking.grounding import Evidence, GroundedAnswer, cite
from docwell.query.checking.suspicion import suspicious_ids
from docwell.query.modes import Basis, Searched
from docwell.query.overview import digest
from docwell.query.prompting import BuiltPrompt
from docwell.query.stopwatch import Stopwatch
from docwell.text.lexicon import words

REFUSAL = "The documents do not answer this question."
# The index finds little for a question in a language that the embedding model has not learnt.
OTHER_LANGUAGE = (
    f"{REFUSAL} The embedding model knows English only: ask in English, or switch to a multilingual model"
    " (docs/models.md)."
)

# An optional stage leaves this share to the model's answer, and is skipped if it had less time than this.
_ANSWER_SHARE = 0.5
_LEAST_STAGE_S = 0.5
_NONE = Usage()


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A question on its way to its passages: the `text` to search for, and the tokens `spent` so far.

    While `at_model`, `spent` includes a prompt that the model is reading. `skipped` names the optional stages that
    gave nothing. A question that is `hopeless`, for its `fit` is under `min_fit`, is refused without the model;
    `refusal` is the text of a refusal.
    `basis` is what to answer from before the passages are tried, if anything; `mode` is how it is answered now.
    `searched` is the question as the modes see it.
    With `partial`, a part of the index did not answer.
    The model may take this `share` of the time that is left.
    """

    ask: Ask
    watch: Stopwatch
    text: str
    spent: Usage = _NONE
    at_model: bool = False
    skipped: tuple[str, ...] = ()
    wordings: tuple[str, ...] = ()
    passages: tuple[Passage, ...] = ()
    searched: Searched | None = None
    basis: Basis | None = None
    suspicious: frozenset[str] = frozenset()
    fit: float | None = None
    min_fit: float | None = None
    hopeless: bool = False
    refusal: str = REFUSAL
    mode: Mode = Mode.PASSAGES
    partial: bool = False
    share: float = 1.0

    def stage_s(self, share: float) -> float:
        """Return the seconds for an optional stage with this share of the deadline, 0 if they are too few."""
        deadline = self.watch.deadline
        seconds = min(deadline.seconds * share, deadline.left(deadline.seconds * _ANSWER_SHARE))
        return seconds if seconds >= _LEAST_STAGE_S else 0.0

    def of(self, basis: Basis) -> Inquiry:
        """Return the question as it is asked of the basis of a mode."""
        return replace(
            self,
            ask=replace(self.ask, prompt=basis.prompt or self.ask.prompt),
            passages=basis.passages,
            suspicious=suspicious_ids(basis.passages),
            refusal=basis.answer.text if basis.answer else self.refusal,
            min_fit=None,  # no gate decides
            hopeless=False,
            mode=basis.mode,
            partial=self.partial or basis.partial,
        )

    def tries_passages(self, answer: Answer, reserve_s: float) -> bool:
        """Whether the model refuses to answer in a mode, and there is time for another answer as long as this."""
        refused = answer.status is AnswerStatus.REFUSED and not (self.basis and self.basis.answer)
        return refused and self.watch.deadline.left(reserve_s) > self.watch.seconds["generate"]


class Hits(NamedTuple):
    """The passages of a search, best first, and the citation of each: its quote is nearest to the question.

    `fit` and `min_fit` are those of `docwell.query.ask.QueryReport`.
    """

    passages: tuple[Passage, ...]
    citations: tuple[Citation, ...]
    fit: float | None
    min_fit: float | None
    timings_ms: Timings
    partial: bool


@dataclass(frozen=True, slots=True)
class Reports:
    """Makes the reports of the answers of one model."""

    model: str
    links: DocumentLinks

    def report(self, found: Inquiry, prompt: BuiltPrompt | None = None, used: Usage = _NONE) -> QueryReport:
        """Return the report of an answer without text, `used` by its own prompt and the model's pieces."""
        report = QueryReport(
            self.answer(found, used),
            model_host_s=found.watch.seconds["generate"],
            skipped=found.skipped,
            fit=found.fit,
            min_fit=found.min_fit,
        )
        if prompt is None:
            return report
        return replace(
            report,
            answer=replace(report.answer, dropped_passages=prompt.dropped),
            prompted=prompt.passages,
            estimated_tokens=prompt.estimate.tokens,
        )

    def extractive(self, found: Inquiry, prompt: BuiltPrompt, error: Unavailable, used: Usage) -> QueryReport:
        """Return the best sentences of the passages, because the model has failed."""
        said = (
            digest(found.text, found.passages)
            if found.mode is Mode.OVERVIEW
            else (extract(found.text, found.passages),)
        )
        answer = _extractive(self.answer(found, used, *said))
        reason = error.reason if answer.status is AnswerStatus.EXTRACTIVE else None
        answer = replace(answer, dropped_passages=prompt.dropped, fallback_reason=reason)
        return replace(self.report(found), answer=answer, prompted=found.passages)

    def quotes(self, found: Inquiry) -> QueryReport:
        """Return the best sentences of the passages; no model is asked."""
        answer = _extractive(self.answer(found, _NONE, extract(found.text, found.passages)))
        return replace(self.report(found), answer=answer, prompted=found.passages)

    def of_basis(self, found: Inquiry, basis: Basis) -> QueryReport:
        """Return the report of an answer that a mode has given without a model."""
        answer = self.answer(found, _NONE, basis.answer, basis.sentences)
        answer = _extractive(answer) if basis.sentences else answer
        return replace(self.report(found), answer=answer, prompted=found.passages)

    def hits(self, found: Inquiry) -> Hits:
        """Return the passages of a search with their citations."""
        evidence, asked = Evidence(found.passages, found.text), words(found.text)
        citations = (
            self._cited(cite(number, one, *evidence.window(asked, number - 1)))
            for number, one in enumerate(found.passages, 1)
        )
        return Hits(
            found.passages, tuple(citations), found.fit, found.min_fit, found.watch.timings(), found.partial
        )

    def answer(
        self,
        found: Inquiry,
        used: Usage,
        grounded: GroundedAnswer | None = None,
        sentences: tuple[Sentence, ...] = (),
    ) -> Answer:
        """Return the answer, or the refusal where no citation is left."""
        if grounded is not None and not grounded.citations:
            grounded = None
        return Answer(
            answer=grounded.text if grounded else found.refusal,
            status=AnswerStatus.ANSWERED if grounded else AnswerStatus.REFUSED,
            citations=tuple(self._cited(one) for one in grounded.citations) if grounded else (),
            usage=found.spent + used,
            timings_ms=found.watch.timings(),
            model=self.model,
            prompt_version=found.ask.prompt.version,
            dropped_passages=0,
            sentences=sentences if grounded else (),
            suspicious_passages=len(found.suspicious),
            rewritten_question=found.text if found.text != found.ask.question.text else None,
            mode=found.mode,
            partial=found.partial,
        )

    def _cited(self, citation: Citation) -> Citation:
        """Return the citation with its link."""
        try:
            link = self.links.link(citation.document, citation.version, citation.unit)
        except Unavailable:
            link = None  # without credentials to sign a link, the citation still holds
        return replace(citation, link=link)


def _extractive(answer: Answer) -> Answer:
    """Return the answer as one of sentences of the documents; a refusal stays one."""
    answered = answer.status is AnswerStatus.ANSWERED
    return replace(answer, status=AnswerStatus.EXTRACTIVE) if answered else answer
