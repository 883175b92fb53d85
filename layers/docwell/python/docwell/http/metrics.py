"""Metrics and log lines of HTTP requests: answers, feedback, problems and bugs."""

from __future__ import annotations

from aws_lambda_powertools.metrics import MetricUnit

from docwell.answers import AnswerStatus
from docwell.config import SettingsError
from docwell.errors import DocwellError, Overloaded, QuotaExceeded, Unauthenticated
from docwell.http.bodies import QueryResponse
from docwell.observability import logger, metrics, record_alone
from docwell.query.query import QueryReport

_SERVER_ERROR = 500
_COUNTED_PROBLEMS = {
    Overloaded: "Overloads",
    QuotaExceeded: "QuotaRejections",
    Unauthenticated: "Unauthenticated",
}


def record_query(report: QueryReport, response: QueryResponse) -> None:
    """Metrics of one question; the request id and the prompt's version are properties, not dimensions."""
    timings, usage = response.timings_ms, response.usage
    metrics.add_dimension("model", response.model)
    metrics.add_metadata("request_id", response.request_id)
    metrics.add_metadata("prompt_version", response.prompt_version)
    counts: dict[str, float] = {
        "PromptTokens": usage.prompt_tokens,
        "CompletionTokens": usage.completion_tokens,
        "DroppedPassages": response.dropped_passages,
        "SuspiciousPassages": response.suspicious_passages,
        "UnsupportedSentences": sum(not sentence.supported for sentence in response.sentences),
        "Refusals": int(response.status is AnswerStatus.REFUSED),
        "Fallbacks": int(response.status is AnswerStatus.EXTRACTIVE),
    }
    latencies = {"EmbedLatency": timings.embed, "RetrieveLatency": timings.retrieve, "QueryLatency": timings.total}
    if report.first_token_ms is not None:
        latencies |= {"GenerateLatency": timings.generate, "TimeToFirstToken": report.first_token_ms}
        counts["TruncatedPrompts"] = int(report.truncated)
        metrics.add_metric("TokenCountError", MetricUnit.Percent, report.token_error * 100)
    for name, value in counts.items():
        metrics.add_metric(name, MetricUnit.Count, value)
    for name, value in latencies.items():
        metrics.add_metric(name, MetricUnit.Milliseconds, value)
    metrics.add_metric("ModelHostSeconds", MetricUnit.Seconds, response.cost.model_host_s)
    metrics.add_metric("FunctionSeconds", MetricUnit.Seconds, response.cost.function_s)
    metrics.add_metric("Cost", MetricUnit.NoUnit, response.cost.amount)


def record_feedback(verdict: str) -> None:
    """`Feedback` is 1 for good and 0 for bad: its average is the share of good answers."""
    record_alone("Feedback", float(verdict == "good"))


def record_problem(error: DocwellError) -> DocwellError:
    """An answer that is a problem: logged and counted; the error, to be passed on."""
    failed = error.status >= _SERVER_ERROR
    (logger.warning if failed else logger.info)(
        "problem", extra={"problem": error.problem, "detail": error.detail}
    )
    if failed:
        record_alone("Problems", 1)
    for kind, name in _COUNTED_PROBLEMS.items():
        if isinstance(error, kind):
            record_alone(name, 1)
    return error


def record_bug(error: Exception) -> DocwellError:
    """An error that nobody raised on purpose, and what the client is told instead.

    The log has the type and the place, not the message: it may hold what a document or a user said.
    """
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "unknown"
    what = str(error) if isinstance(error, SettingsError) else None  # it names variables and nothing else
    logger.error("bug", extra={"exception": type(error).__name__, "where": where, "detail": what})
    record_alone("Problems", 1)
    return DocwellError("an error in docwell itself; its log has the request id")
