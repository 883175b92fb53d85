"""The one Logger, Metrics and Tracer, and how docwell's figures become metrics.

Logs and metrics hold no document text and no question. Dimensions are `service` and `model` alone: each
distinct value of a dimension is a metric that AWS bills.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from docwell.answers import AnswerStatus
from docwell.config import SettingsError
from docwell.errors import DocwellError, Overloaded, QuotaExceeded, Unauthenticated
from docwell.models import Status

if TYPE_CHECKING:  # each function loads its own use case alone
    from docwell.http.bodies import QueryResponse
    from docwell.ingest.ingest import IngestReport
    from docwell.query.query import QueryReport

NAMESPACE = "Docwell"

# `docwell` is also the root of the package's own loggers, so that use cases log through the standard library.
logger = Logger(service=None, logger_name="docwell", use_rfc3339=True)
metrics = Metrics(namespace=NAMESPACE)
tracer = Tracer(auto_patch=False)

# Listing documents has no figures of its own, and says so at each request.
warnings.filterwarnings("ignore", message="No application metrics to publish")

_environment = {"cold": True}

_SERVER_ERROR = 500
_COUNTED_PROBLEMS = {
    Overloaded: "Overloads",
    QuotaExceeded: "QuotaRejections",
    Unauthenticated: "Unauthenticated",
}


def record_cold_start() -> None:
    """`ColdStart` once for each execution environment (Powertools' own adds a dimension)."""
    if _environment["cold"]:
        _environment["cold"] = False
        record_alone("ColdStart", 1)


def record_alone(name: str, value: float, unit: MetricUnit = MetricUnit.Count) -> None:
    """A metric of the service as a whole. Written by itself, it gets no `model` from the question at hand:
    with it on some requests and without on others, the metric would be two to CloudWatch.
    """  # noqa: D205 - one sentence
    with single_metric(name, unit, value, namespace=NAMESPACE):
        pass


def record_ingest(report: IngestReport) -> None:
    """Metrics of one document event."""
    if report.status is None:
        return
    metrics.add_metric("IngestLatency", MetricUnit.Milliseconds, report.seconds * 1000)
    metrics.add_metric("PagesIngested", MetricUnit.Count, report.tally.pages)
    metrics.add_metric("ChunksIngested", MetricUnit.Count, report.tally.chunks)
    metrics.add_metric("EmbeddedTokens", MetricUnit.Count, report.tally.tokens)
    if report.status is Status.REJECTED:
        metrics.add_metric("DocumentsRejected", MetricUnit.Count, 1)


def record_unknown_event() -> None:
    """A message that is of no known kind was acknowledged."""
    metrics.add_metric("UnknownEvents", MetricUnit.Count, 1)


def record_drift(kinds: Mapping[str, int]) -> None:
    """What reconcile found, by kind: 0 is a figure too."""
    for kind, count in kinds.items():
        metrics.add_metric(f"Drift{kind.capitalize()}", MetricUnit.Count, count)
    metrics.add_metric("Drift", MetricUnit.Count, sum(kinds.values()))


def record_documents(counts: Mapping[str, int]) -> None:
    """How many documents there are of each status (`docwell.models.Status`), at the end of reconcile's pass."""
    for status, count in counts.items():
        # DocumentsRejected counts refusals as ingest makes them; this is how many stand refused.
        name = "DocumentsRejectedNow" if status == Status.REJECTED else f"Documents{status.capitalize()}"
        metrics.add_metric(name, MetricUnit.Count, count)


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


@contextmanager
def flushed() -> Iterator[None]:
    """Metrics that are added inside are written at the end: for what goes on after the handler has returned."""
    try:
        yield
    finally:
        metrics.flush_metrics()
