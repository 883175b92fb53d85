"""Metrics of answers."""

from __future__ import annotations

from aws_lambda_powertools.metrics import MetricUnit

from docwell.answers import AnswerStatus, Cost
from docwell.errors import ModelAsleep, ModelWaking, Overloaded
from docwell.observability import metrics, record_alone
from docwell.query.ask import QueryReport

_SLEEP = (ModelWaking.problem, ModelAsleep.problem)


def record_query(report: QueryReport, cost: Cost, request_id: str) -> None:
    """Add the metrics of one question. Request id and prompt version are properties, not dimensions."""
    answer = report.answer
    timings, usage = answer.timings_ms, answer.usage
    metrics.add_dimension("model", answer.model)
    metrics.add_metadata("request_id", request_id)
    metrics.add_metadata("prompt_version", answer.prompt_version)
    counts: dict[str, float] = {
        "PromptTokens": usage.prompt_tokens,
        "CompletionTokens": usage.completion_tokens,
        "DroppedPassages": answer.dropped_passages,
        "SuspiciousPassages": answer.suspicious_passages,
        "UnsupportedSentences": sum(not sentence.supported for sentence in answer.sentences),
        "Refusals": int(answer.status is AnswerStatus.REFUSED),
        # A sleeping host is no failure, and neither is a mode's extractive answer.
        "Fallbacks": int(
            answer.status is AnswerStatus.EXTRACTIVE
            and answer.fallback_reason is not None
            and not answer.fallback_reason.startswith(_SLEEP)
        ),
    }
    # A failed question is counted by its problem.
    if answer.status is not AnswerStatus.FAILED and answer.fallback_reason == Overloaded.problem:
        record_alone("Overloads", 1)
    if report.inquiry.skipped:
        counts["SkippedStages"] = len(report.inquiry.skipped)
    latencies = {
        "EmbedLatency": timings.embed,
        "RetrieveLatency": timings.retrieve,
        "QueryLatency": timings.total - timings.waking,
    }
    call = report.inquiry.call
    if call.first_token_ms is not None:
        latencies |= {"GenerateLatency": timings.generate, "TimeToFirstToken": call.first_token_ms}
        counts["TruncatedPrompts"] = int(call.truncated)
        metrics.add_metric("TokenCountError", MetricUnit.Percent, call.token_error * 100)
    for name, value in counts.items():
        metrics.add_metric(name, MetricUnit.Count, value)
    if answer.status in (AnswerStatus.ABANDONED, AnswerStatus.FAILED):
        latencies = {}  # omit the times of an interrupted answer
    for name, value in latencies.items():
        metrics.add_metric(name, MetricUnit.Milliseconds, value)
    metrics.add_metric("ModelHostSeconds", MetricUnit.Seconds, cost.model_host_s)
    metrics.add_metric("FunctionSeconds", MetricUnit.Seconds, cost.function_s)
    metrics.add_metric("Cost", MetricUnit.NoUnit, cost.amount)


def record_sleep(*, asleep: bool) -> None:
    """Record 1 if a question found all model hosts asleep, or 0 if a host answered.

    The alarms of infra/ollama.yaml start a host at the sum 1, and stop all after minutes without any value.
    """
    record_alone("ModelAsleep", float(asleep))
