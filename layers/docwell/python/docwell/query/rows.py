"""Answer a question from each of several documents by itself, with a row for each.

A small model reads the passages of one document well, and confuses those of several. All rows together read and
write at most as much as two answers of another mode.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from docwell.answers import AnswerStatus, Sentence
from docwell.config import QueryLimits
from docwell.deadline import is_cancelled
from docwell.errors import DeadlineExceeded
from docwell.query.ask import Admitted, Event, Passages, Progress, QueryReport, Token, Waking
from docwell.query.checking.grounding import shifted
from docwell.query.checking.suspicion import suspicious_ids
from docwell.query.conclusions import Row, conclusion
from docwell.query.modes import Rows
from docwell.query.prompting import BuiltPrompt, about
from docwell.query.reports import Inquiry
from docwell.query.writing import Writer

# A row is one sentence.
ROW_TOKENS = 120
# The cost of all rows, in answers of another mode.
ROWS_CALLS = 2
# Fewer hold no sentence beside the number of its passage.
_LEAST_PASSAGE_TOKENS = 120

NOT_FOUND = "not found"
NO_TIME = "no time was left"


@dataclass(slots=True)
class _Row:
    """One document: its name, its question and, once it is asked, its report."""

    name: str
    found: Inquiry
    prompt: BuiltPrompt
    report: QueryReport | None = None
    text: str = NOT_FOUND


async def answered_in_rows(
    writer: Writer, admitted: Admitted, found: Inquiry, rows: Rows
) -> AsyncGenerator[Event]:
    """Yield the passages of all documents, each row once it is checked, and the answer.

    A document that does not answer says so in its row, and so does one for which no time was left. The order of
    the rows' figures or dates follows, if it is certain.

    Raises:
        BadInput: the question leaves no room for passages.
        Unavailable: the model host failed; `DeadlineExceeded` if no document was asked in time.
    """
    writer = replace(writer, model=rows.model, limits=_limits(writer.limits, len(rows.names)))
    table = [await _row(writer, found, document, name) for document, name in rows.names.items()]
    prompted = tuple(passage for row in table for passage in row.prompt.passages)
    suspicious = suspicious_ids(prompted)
    found = replace(found, passages=prompted, suspicious=suspicious)
    yield Progress(replace(writer.reports.report(found), prompted=prompted))
    yield Passages(prompted, suspicious, found.text)
    late, cited = None, 0
    for number, row in enumerate(table):
        if row.prompt.passages:
            row.found = replace(row.found, spent=found.spent, share=1 / (len(table) - number))
            try:
                async with aclosing(writer.answer(admitted, row.found, row.prompt)) as events:
                    async for event in events:
                        if isinstance(event, Token | Waking):
                            # Tokens are unchecked: the row comes whole.
                            yield Token("", event.pieces) if isinstance(event, Token) else event
                        elif isinstance(event, Progress):
                            found = replace(found, spent=event.report.answer.usage)
                            yield Progress(replace(event.report, prompted=prompted), at_model=event.at_model)
                        elif isinstance(event, QueryReport):
                            row.report = event
                            found = replace(found, spent=event.answer.usage)
            except DeadlineExceeded as error:
                late, row.text = error, NO_TIME
            # An answer that is being checked is finished even if its client leaves.
            yield Progress(replace(writer.reports.report(found), prompted=prompted))
            if is_cancelled():
                raise asyncio.CancelledError
        cited = _number(row, cited)
        yield Token(f"{_line(row)}\n", 0)
    if late and not any(row.report for row in table):
        raise late
    concluded = conclusion(found.text, [_stated(row) for row in table])
    yield Token(f"\n{concluded.text}" if concluded else "", 0)
    yield _joined(replace(writer.reports.report(found), prompted=prompted), table, concluded)


def _limits(limits: QueryLimits, rows: int) -> QueryLimits:
    """Return the limits of one row: its share of `ROWS_CALLS` calls, at most one whole call."""
    share = min(ROWS_CALLS / rows, 1)
    passage_tokens = limits.passage_tokens and max(int(limits.passage_tokens * share), _LEAST_PASSAGE_TOKENS)
    changed = {"num_ctx": int(limits.num_ctx * share), "num_predict": ROW_TOKENS, "passage_tokens": passage_tokens}
    return limits.model_copy(update=changed)


async def _row(writer: Writer, found: Inquiry, document: str, name: str) -> _Row:
    """Return a row that is not asked yet. Raises `BadInput`."""
    own = tuple(passage for passage in found.passages if passage.document == document)
    one = replace(found, ask=replace(found.ask, prompt=about(found.ask.prompt, name)), passages=own)
    prompt = await writer.prompt(one)
    return _Row(name, replace(one, passages=prompt.passages), prompt)


def _number(row: _Row, cited: int) -> int:
    """Number the citations of a row after the `cited` ones before it, and return how many there are now."""
    if row.report is None or not row.report.answer.citations:
        return cited
    answer = shifted(row.report.answer, cited)
    row.report, row.text = replace(row.report, answer=answer), " ".join(answer.answer.split())
    return cited + len(answer.citations)


def _line(row: _Row) -> str:
    return f"- {row.name}: {row.text}"


def _stated(row: _Row) -> Row:
    """Return a row as it can be compared, without sentences where it has no cited answer."""
    answer = row.report.answer if row.report else None
    is_answered = answer is not None and answer.citations and answer.status is AnswerStatus.ANSWERED
    return Row(row.name, answer.sentences if answer and is_answered else ())


def _joined(report: QueryReport, table: Sequence[_Row], concluded: Sentence | None) -> QueryReport:
    """Return the report of all rows and of what is concluded from them; a refusal if none has a citation."""
    reports = [row.report for row in table if row.report]
    answers = [one.answer for one in reports if one.answer.citations]
    answer = replace(
        report.answer,
        dropped_passages=sum(row.prompt.dropped for row in table),
        cut_short=any(one.cut_short for one in answers),
    )
    if answers:
        extractive = [one for one in answers if one.status is AnswerStatus.EXTRACTIVE]
        answer = replace(
            answer,
            answer="\n".join([*map(_line, table), *(["", concluded.text] if concluded else [])]),
            status=AnswerStatus.EXTRACTIVE if extractive else AnswerStatus.ANSWERED,
            citations=tuple(citation for one in answers for citation in one.citations),
            sentences=(*(each for one in answers for each in one.sentences), *([concluded] if concluded else [])),
            fallback_reason=extractive[0].fallback_reason if extractive else None,
        )
    return replace(
        report,
        answer=answer,
        first_token_ms=next((one.first_token_ms for one in reports if one.first_token_ms is not None), None),
        truncated=any(one.truncated for one in reports),
        estimated_tokens=sum(one.estimated_tokens for one in reports),
        token_error=max((one.token_error for one in reports), default=0.0),
        model_digest=next((one.model_digest for one in reports if one.model_digest), None),
    )
