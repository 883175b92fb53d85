"""The report of a question: where it stands, or its answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from docwell.answers import Answer, AnswerStatus, Citation, Mode, Sentence, Timings, Usage
from docwell.errors import Unavailable
from docwell.models import Passage
from docwell.ports import DocumentLinks
from docwell.query.ask import Basis, Inquiry, ModelCall, QueryReport
from docwell.query.checking.extractive import extract
from docwell.query.checking.grounding import Evidence, GroundedAnswer, cite
from docwell.query.overview import digest
from docwell.text.lexicon import words

_NONE = Usage()


class Hits(NamedTuple):
    """The passages of a search, best first, and the citation of each: its quote is nearest to the question.

    `fit` and `min_fit` are those of `docwell.query.ask.Inquiry`.
    """

    passages: tuple[Passage, ...]
    citations: tuple[Citation, ...]
    fit: float | None
    min_fit: float | None
    timings_ms: Timings


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
        """Return the report of an answer with this status; a refusal where no citation is left.

        `used` are the tokens of a call that has not ended, or whose answer this is.
        """
        is_answer = grounded is not None and bool(grounded.citations)
        answer = Answer(
            answer=grounded.text if grounded and is_answer else inquiry.refusal,
            status=status if is_answer else AnswerStatus.REFUSED,
            citations=tuple(map(self._linked, grounded.citations)) if grounded else (),
            usage=inquiry.usage + used,
            timings_ms=inquiry.watch.timings(),
            model=self.model,
            prompt_version=inquiry.ask.prompt.version,
            dropped_passages=inquiry.prompt.dropped if inquiry.prompt else 0,
            sentences=sentences if is_answer else (),
            suspicious_passages=len(inquiry.suspicious),
            rewritten_question=inquiry.text if inquiry.text != inquiry.ask.question.text else None,
            mode=inquiry.mode,
            partial=inquiry.partial,
        )
        return QueryReport(answer, inquiry, inquiry.watch.seconds["generate"])

    def fallback(self, inquiry: Inquiry, error: Unavailable, used: Usage) -> QueryReport:
        """Return the best sentences of the passages, because the model has failed."""
        report = self.quotes(replace(inquiry, call=ModelCall()), used)
        is_answer = report.answer.status is AnswerStatus.EXTRACTIVE
        return replace(report, answer=replace(report.answer, fallback_reason=error.reason if is_answer else None))

    def quotes(self, inquiry: Inquiry, used: Usage = _NONE) -> QueryReport:
        """Return the best sentences of the passages in place of a model's answer."""
        inquiry = replace(inquiry, prompted=inquiry.passages)
        if inquiry.mode is Mode.OVERVIEW:
            grounded, sentences = digest(inquiry.text, inquiry.passages)
        else:
            grounded, sentences = extract(inquiry.text, inquiry.passages), ()
        return self.report(inquiry, used, grounded, sentences, AnswerStatus.EXTRACTIVE)

    def of_basis(self, inquiry: Inquiry, basis: Basis) -> QueryReport:
        """Return the answer that a mode has given without a model."""
        inquiry = replace(inquiry.of(basis), prompted=basis.passages)
        status = AnswerStatus.EXTRACTIVE if basis.sentences else AnswerStatus.ANSWERED
        return self.report(inquiry, _NONE, basis.answer, basis.sentences, status)

    def hits(self, inquiry: Inquiry) -> Hits:
        """Return the passages of a search with their citations."""
        evidence, question_words = Evidence(inquiry.passages, inquiry.text), words(inquiry.text)
        citations = (
            self._linked(cite(number, passage, *evidence.window(question_words, number - 1)))
            for number, passage in enumerate(inquiry.passages, 1)
        )
        timings = inquiry.watch.timings()
        return Hits(inquiry.passages, tuple(citations), inquiry.fit, inquiry.min_fit, timings)

    def _linked(self, citation: Citation) -> Citation:
        """Return the citation with its link."""
        try:
            link = self.links.link(citation.document, citation.version, citation.unit)
        except Unavailable:
            link = None  # without credentials to sign a link, the citation still holds
        return replace(citation, link=link)
