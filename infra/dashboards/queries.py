"""The saved Logs Insights queries. Fields with an @ are CloudWatch's, the others docwell's."""

from __future__ import annotations

from infra.dashboards.parts import SavedQuery

COST_BY_PRINCIPAL = SavedQuery(
    "cost-by-principal",
    "Query",
    """
filter message = "answered"
| stats sum(cost_amount) as cost, count(*) as questions, sum(prompt_tokens) as tokens_read,
    sum(completion_tokens) as tokens_written, sum(model_host_s) as model_seconds,
    sum(function_s) as function_seconds by principal, cost_currency
| sort cost desc
| limit 100
""",
)
SLOWEST_QUESTIONS = SavedQuery(
    "slowest-questions",
    "Query",
    """
filter message = "answered"
| fields @timestamp, request_id, timings_ms.total, timings_ms.embed, timings_ms.retrieve, timings_ms.generate,
    prompt_tokens, completion_tokens, outcome
| sort timings_ms.total desc
| limit 20
""",
)
ONE_REQUEST = SavedQuery(
    "one-request",
    "Query",
    """
filter request_id = "put the request id of the answer here"
| fields @timestamp, level, message, outcome, problem, detail, principal, model, timings_ms.total
| sort @timestamp asc
""",
)
PROBLEMS = SavedQuery(
    "problems-by-kind",
    "Query",
    """
filter message = "problem"
| stats count(*) as times, latest(@timestamp) as last by problem, detail
| sort times desc
| limit 50
""",
)
BUGS = SavedQuery(
    "bugs-by-place",
    "Query",
    """
filter message = "bug"
| stats count(*) as times, latest(@timestamp) as last, latest(request_id) as request by exception, `where`
| sort times desc
""",
)
ANSWERS_BY_PROMPT = SavedQuery(
    "answers-by-prompt",
    "Query",
    """
filter message = "answered"
| stats count(*) as answers, avg(citations) as citations_each, sum(unsupported_sentences) as unsupported,
    sum(dropped_passages) as dropped, avg(timings_ms.generate) as generate_ms by prompt_version, model, outcome
| sort answers desc
""",
)
FALLBACKS = SavedQuery(
    "fallbacks-by-reason",
    "Query",
    """
filter message = "answered" and ispresent(fallback_reason)
| stats count(*) as answers, latest(request_id) as request by fallback_reason, model
| sort answers desc
""",
)
# With SnapStart a start restores a snapshot, and its log line has no Init Duration:
# https://docs.aws.amazon.com/lambda/latest/dg/snapstart-monitoring.html
COLD_STARTS = SavedQuery(
    "cold-starts",
    "Query",
    """
filter @type = "REPORT"
| parse @message /Restore Duration: (?<restored>[0-9.]+) ms/
| stats count(*) as calls, count(@initDuration) + count(restored) as cold,
    pct(coalesce(@initDuration, restored), 95) as cold_start_ms_p95,
    max(@maxMemoryUsed) / 1000000 as megabytes by bin(1h)
""",
)
TROUBLED_DOCUMENTS = SavedQuery(
    "troubled-documents",
    "Ingest",
    """
filter message = "not done" or (message = "done" and outcome = "REJECTED")
| stats count(*) as times, latest(@timestamp) as last, latest(problem) as what, latest(detail) as more,
    latest(reason) as refused by document
| sort last desc
| limit 100
""",
)
UNKNOWN_EVENTS = SavedQuery(
    "unknown-events",
    "Ingest",
    """
filter message = "unknown event"
| fields @timestamp, detail, function_request_id
| sort @timestamp desc
| limit 50
""",
)
SLOWEST_DOCUMENTS = SavedQuery(
    "slowest-documents",
    "Ingest",
    """
filter message = "done"
| fields @timestamp, document, range, outcome, pages, chunks, seconds
| sort seconds desc
| limit 20
""",
)
PASSES = SavedQuery(
    "reconcile-passes",
    "Reconcile",
    """
filter message = "reconciled"
| fields @timestamp, reports.0.phase, reports.0.complete, reports.0.keys, reports.0.sent, reports.0.waiting,
    reports.0.drift.missing, reports.0.drift.stale, reports.0.drift.orphan, reports.0.drift.duplicate,
    reports.0.drift.lost, reports.0.drift.stuck
| sort @timestamp desc
| limit 50
""",
)

ALL = (
    COST_BY_PRINCIPAL,
    SLOWEST_QUESTIONS,
    ONE_REQUEST,
    PROBLEMS,
    BUGS,
    ANSWERS_BY_PROMPT,
    FALLBACKS,
    COLD_STARTS,
    TROUBLED_DOCUMENTS,
    UNKNOWN_EVENTS,
    SLOWEST_DOCUMENTS,
    PASSES,
)
