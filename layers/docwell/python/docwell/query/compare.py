"""The mode `compare`: answer a question from each of several documents separately, with a row for each.

A small model reads the passages of one document well, but confuses those of several. All rows together use at most
the tokens of two answers in another mode.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from docwell.answers import REFUSALS, AnswerStatus, Mode, Refusal
from docwell.config import QueryLimits
from docwell.errors import BadInput, DeadlineExceeded, NoAnswer, PromptTooLong
from docwell.ports import LanguageModel
from docwell.query.ask import (
    Basis,
    Event,
    Inquiry,
    ModelCall,
    Passages,
    Progress,
    QueryReport,
    Searched,
    Token,
    Waking,
)
from docwell.query.checking.grounding import numbered
from docwell.query.document_names import names_of, side_by_side
from docwell.query.prompting import Prompt, about
from docwell.query.retrieval.retrieval import Retrieval
from docwell.query.retrieval.scope import MOST_ROWS
from docwell.query.writing import Writer

FEWEST_DOCUMENTS, MOST_DOCUMENTS = 2, 8
# A row is one sentence.
ROW_TOKENS = 120
# All rows together may use the tokens of this many answers in another mode.
ROWS_CALLS = 2
# Fewer tokens leave no room for a sentence.
_LEAST_PASSAGE_TOKENS = 120
TWO_TO_EIGHT = (
    f"a comparison is of {FEWEST_DOCUMENTS} to {MOST_DOCUMENTS} documents: "
    "name them in the question or as `filter.documents`"
)
NOT_FOUND = "not found"
NO_TIME, NO_ANSWER = "no time was left", "the model wrote no answer"
NOT_VERIFIED = "no answer could be verified"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Finds the documents and their passages; `model` writes the rows."""

    retrieval: Retrieval
    prompt: Prompt
    model: LanguageModel

    def basis(self, searched: Searched) -> Basis | None:
        """Return up to `top_k` passages of each document, None if no document has any.

        Raises `BadInput` for fewer than two documents, and for more than eight.
        """
        keys = self._documents(searched)
        if not FEWEST_DOCUMENTS <= len(keys) <= MOST_DOCUMENTS:
            raise BadInput(TWO_TO_EIGHT)
        passages = tuple(
            passage
            for key in keys
            for passage in self.retrieval.search(
                searched.scope.only(key), searched.vector, searched.top_k, searched.text
            ).passages
        )
        names = names_of(keys)
        return Basis(Mode.COMPARE, passages, self.prompt, names, self.model) if passages else None

    def _documents(self, searched: Searched) -> Sequence[str]:
        """Return the keys of the documents to compare, in the order of the rows.

        They are those that the question names. If it names none or too many, and the caller wants a comparison:
        all that match if they are up to eight, else those of the passages. A filter by documents goes first.
        """
        scope, catalogue = searched.scope, self.retrieval.catalogue
        live, complete = scope.documents(catalogue, MOST_ROWS)
        # A document may be named although none of its passages is near the question.
        keys: Sequence[str] = sorted(side_by_side(searched.text, live if complete else searched.documents))
        if not FEWEST_DOCUMENTS <= len(keys) <= MOST_DOCUMENTS:
            keys = sorted(side_by_side(searched.text, searched.documents))
        suits = searched.mode is Mode.AUTO or FEWEST_DOCUMENTS <= len(keys) <= MOST_DOCUMENTS
        if not suits or (scope.filter.documents and searched.mode is Mode.COMPARE):
            if complete and (scope.filter.documents or len(live) <= MOST_DOCUMENTS):
                return sorted(live)
            keys = list(dict.fromkeys(passage.document for passage in searched.passages))[:MOST_DOCUMENTS]
        live = catalogue.described(keys)
        return [key for key in keys if key in live]


@dataclass(slots=True)
class _Row:
    """One document: its name, its question and, once the model has answered, its report."""

    name: str
    inquiry: Inquiry
    report: QueryReport | None = None
    text: str = NOT_FOUND


async def answered_in_rows(writer: Writer, inquiry: Inquiry, names: Mapping[str, str]) -> AsyncGenerator[Event]:
    """Yield the passages of all documents, each row once it is checked, and the answer.

    A row says so if its document has no answer, the model wrote none, or no time was left for it.

    Raises:
        BadInput: the question leaves no room for passages.
        Unavailable: the model host failed, or no row has an answer.
    """
    writer = replace(writer, limits=_limits(writer.limits, len(names)))
    table = [await _row(writer, inquiry, document, name) for document, name in names.items()]
    prompted = tuple(passage for row in table for passage in row.inquiry.prompted)
    inquiry = replace(inquiry, passages=prompted, prompted=prompted)
    yield Progress(writer.reports.report(inquiry))
    yield Passages(prompted, inquiry.text)
    failure, cited = None, 0
    for number, row in enumerate(table):
        if row.inquiry.prompted:
            row.inquiry = replace(row.inquiry, usage=inquiry.usage, share=1 / (len(table) - number))
            try:
                async with aclosing(writer.answer(row.inquiry)) as events:
                    async for event in events:
                        if isinstance(event, QueryReport):
                            row.report = event
                            row.text = NOT_VERIFIED if event.answer.refusal == "not_verified" else NOT_FOUND
                            inquiry = replace(inquiry, usage=event.answer.usage)
                        elif isinstance(event, Progress):
                            inquiry = replace(inquiry, usage=event.report.answer.usage)
                            of_all = replace(event.report.inquiry, prompted=inquiry.prompted)
                            yield Progress(replace(event.report, inquiry=of_all), event.at_model)
                        elif isinstance(event, Token | Waking):
                            # Send no text of unchecked tokens: the row comes whole.
                            yield Token("", event.pieces) if isinstance(event, Token) else event
            except (DeadlineExceeded, NoAnswer, PromptTooLong) as error:
                failure, row.text = error, NO_TIME if isinstance(error, DeadlineExceeded) else NO_ANSWER
            yield Progress(writer.reports.report(inquiry))
        cited = _number(row, cited)
        yield Token(f"- {row.name}: {row.text}\n", 0)
    if failure and not any(row.report for row in table):
        raise failure
    yield _report_of_rows(writer.reports.report(inquiry), table)


def _limits(limits: QueryLimits, rows: int) -> QueryLimits:
    """Return the limits of one row: its share of `ROWS_CALLS` calls, at most one whole call."""
    share = min(ROWS_CALLS / rows, 1)
    passage_tokens = limits.passage_tokens and max(int(limits.passage_tokens * share), _LEAST_PASSAGE_TOKENS)
    num_ctx = int((limits.num_ctx - limits.thinking_tokens) * share) + limits.thinking_tokens
    changed = {"num_ctx": num_ctx, "num_predict": ROW_TOKENS, "passage_tokens": passage_tokens}
    return limits.model_copy(update=changed)


async def _row(writer: Writer, inquiry: Inquiry, document: str, name: str) -> _Row:
    """Return a row without an answer yet. Raises `BadInput`."""
    passages = tuple(passage for passage in inquiry.passages if passage.document == document)
    inquiry = replace(inquiry, ask=replace(inquiry.ask, prompt=about(inquiry.ask.prompt, name)), passages=passages)
    return _Row(name, await writer.prompted(inquiry))


def _number(row: _Row, cited: int) -> int:
    """Number the citations of a row after the `cited` ones before it, and return the new total."""
    if row.report is None or row.report.answer.refusal:
        return cited
    answer = row.report.answer
    grounded, sentences = numbered(answer.answer, answer.citations, answer.sentences, cited + 1)
    answer = replace(answer, answer=grounded.text, citations=grounded.citations, sentences=sentences)
    row.report, row.text = replace(row.report, answer=answer), " ".join(answer.answer.split())
    return cited + len(answer.citations)


def _report_of_rows(report: QueryReport, table: Sequence[_Row]) -> QueryReport:
    """Return the report of all rows; a refusal if none has a citation."""
    reports = [row.report for row in table if row.report]
    answers = [row.answer for row in reports if not row.answer.refusal]
    causes = [row.answer.refusal for row in reports if row.answer.refusal] or ["no_room"]
    refusal: Refusal = "not_verified" if "not_verified" in causes else causes[0]
    answer = replace(
        report.answer,
        answer=REFUSALS[refusal],
        refusal=None if answers else refusal,
        dropped_passages=sum(prompt.dropped for row in table if (prompt := (row.report or row).inquiry.prompt)),
        cut_short=any(part.cut_short for part in answers),
    )
    if answers:
        extractive = [part for part in answers if part.status is AnswerStatus.EXTRACTIVE]
        answer = replace(
            answer,
            answer="\n".join(f"- {row.name}: {row.text}" for row in table),
            status=AnswerStatus.EXTRACTIVE if extractive else AnswerStatus.ANSWERED,
            citations=tuple(citation for part in answers for citation in part.citations),
            sentences=tuple(sentence for part in answers for sentence in part.sentences),
            fallback_reason=extractive[0].fallback_reason if extractive else None,
        )
    calls = [row.inquiry.call for row in reports] or [ModelCall()]
    call = replace(
        calls[0],
        estimated_tokens=sum(call.estimated_tokens for call in calls),
        truncated=any(call.truncated for call in calls),
        token_error=max(call.token_error for call in calls),
    )
    return replace(report, answer=answer, inquiry=replace(report.inquiry, call=call))
