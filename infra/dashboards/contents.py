"""docwell's dashboard, top to bottom: the questions of an operator."""

from __future__ import annotations

from infra.dashboards import queries
from infra.dashboards.parts import (
    DAY,
    Formula,
    Graph,
    Line,
    Metric,
    Section,
    Table,
    of_answers,
    of_api,
    of_function,
    of_model_hosts,
    of_queue,
    of_service,
    of_table,
)

_FUNCTIONS = ("Query", "Ingest", "Reconcile")
_DRIFT = ("Missing", "Stale", "Orphan", "Duplicate", "Lost", "Stuck")
# Metrics by label. DocumentsRejected counts rejections; DocumentsRejectedNow counts documents in that status.
_DOCUMENTS = {
    "indexed": "DocumentsIndexed",
    "pending": "DocumentsPending",
    "empty": "DocumentsEmpty",
    "rejected": "DocumentsRejectedNow",
    "failed": "DocumentsFailed",
    "deleted": "DocumentsDeleted",
}


def _percentiles(title: str, metric: Metric) -> Graph:
    lines = tuple(Line(metric, statistic, statistic) for statistic in ("p50", "p95", "p99"))
    return Graph(title, lines, "milliseconds")


UP = Section(
    "Is it up?",
    "Failed requests, failed or throttled functions, rejected callers.",
    (
        Graph(
            "Requests",
            (
                Line(of_api("Count"), "all"),
                Line(of_api("4XXError"), "client errors (4xx)"),
                Line(of_api("5XXError"), "server errors (5xx)"),
            ),
        ),
        Graph(
            "Failed questions",
            (
                Line(of_service("query", "Problems"), "server errors"),
                Line(of_service("query", "Overloads"), "model host overloaded"),
            ),
        ),
        Graph(
            "Rejected callers",
            (
                Line(of_service("query", "QuotaRejections"), "over quota"),
                Line(of_service("authorizer", "Unauthenticated"), "denied by the authorizer"),
                Line(of_service("query", "Unauthenticated"), "rejected by the function"),
            ),
        ),
        Graph("Function errors", tuple(Line(of_function(name, "Errors"), name.lower()) for name in _FUNCTIONS)),
        Graph("Throttled", tuple(Line(of_function(name, "Throttles"), name.lower()) for name in _FUNCTIONS)),
        Graph(
            "Concurrent executions",
            tuple(Line(of_function(name, "ConcurrentExecutions"), name.lower(), "Maximum") for name in _FUNCTIONS),
        ),
        Graph(
            "Model hosts: asleep at 0, waking while one starts",
            (
                Line(of_model_hosts("GroupInServiceInstances"), "awake", "Maximum"),
                Line(of_model_hosts("GroupPendingInstances"), "starting", "Maximum"),
                Line(of_service("query", "ModelAsleep"), "questions that found none"),
            ),
        ),
        Graph(
            "Chroma server",
            (
                Line(of_service("chroma", "MemoryUsed"), "memory", "Maximum"),
                Line(of_service("chroma", "DiskUsed"), "disk", "Maximum"),
            ),
            "percent",
        ),
        Table("Errors by kind", queries.NAMED["problems-by-kind"]),
        Table("Bugs by place", queries.NAMED["bugs-by-place"]),
    ),
)

RIGHT = Section(
    "Is it right?",
    "Whether the index equals the bucket, and whether the passages support the answers.",
    (
        Graph(
            "Drift: bucket, ledger and index differ",
            (
                Line(of_service("reconcile", "Drift"), "all", "Maximum"),
                *(Line(of_service("reconcile", f"Drift{kind}"), kind.lower(), "Maximum") for kind in _DRIFT),
            ),
        ),
        Graph(
            "Canary: 1 where its page is found", (Line(of_service("canary", "CanaryFound"), "found", "Minimum"),)
        ),
        Graph(
            "Share of answers",
            (
                Line(of_answers("Refusals"), "refusals", hidden=True),
                Line(of_answers("Fallbacks"), "fallbacks", hidden=True),
                Line(of_answers("QueryLatency"), "answers", "SampleCount", hidden=True),
                Formula("100 * m1 / m3", "refused"),
                Formula("100 * m2 / m3", "fallbacks without the model"),
            ),
            "percent",
        ),
        Graph(
            "Prompts",
            (
                Line(of_answers("TruncatedPrompts"), "truncated by the model host"),
                Line(of_answers("DroppedPassages"), "dropped passages"),
                Line(of_answers("SkippedStages"), "skipped stages of the search"),
            ),
        ),
        Graph(
            "Suspicious content",
            (
                Line(of_answers("UnsupportedSentences"), "unsupported sentences"),
                Line(of_answers("SuspiciousPassages"), "passages with instructions to the model"),
            ),
        ),
        Graph(
            "Error of the token count",
            (
                Line(of_answers("TokenCountError"), "average", "Average"),
                Line(of_answers("TokenCountError"), "p95", "p95"),
            ),
            "percent",
        ),
        Graph(
            "Feedback",
            (
                Line(of_service("query", "Feedback"), "good", "Average", hidden=True),
                Formula("100 * m1", "good"),
            ),
            "percent",
            period=DAY,
        ),
        Table("Answers by prompt", queries.NAMED["answers-by-prompt"]),
        Table("Fallbacks by reason", queries.NAMED["fallbacks-by-reason"]),
    ),
)

FAST = Section(
    "Is it fast?",
    "The stages of a question, then of a document.",
    (
        _percentiles("Whole question", of_answers("QueryLatency")),
        _percentiles("Time to first token", of_answers("TimeToFirstToken")),
        _percentiles("Generate", of_answers("GenerateLatency")),
        _percentiles("Embed the question", of_answers("EmbedLatency")),
        _percentiles("Retrieve", of_answers("RetrieveLatency")),
        _percentiles("API Gateway latency", of_api("Latency")),
        Graph(
            "Cold starts", tuple(Line(of_service(name.lower(), "ColdStart"), name.lower()) for name in _FUNCTIONS)
        ),
        _percentiles("Ingest: one document or range", of_service("ingest", "IngestLatency")),
        Graph(
            "Longest run (the limit is 900 s for ingest and reconcile)",
            tuple(Line(of_function(name, "Duration"), name.lower(), "Maximum") for name in _FUNCTIONS),
            "milliseconds",
        ),
        Table("Slowest questions", queries.NAMED["slowest-questions"]),
        Table("Slowest documents", queries.NAMED["slowest-documents"]),
        Table("Cold starts by hour", queries.NAMED["cold-starts"]),
    ),
)

COST = Section(
    "What does it cost?",
    "The cost of questions by the price file, in its currency. Idle hosts are not included.",
    (
        Graph("Cost per day", (Line(of_answers("Cost"), "all answers"),), "money", period=DAY),
        Graph("Cost per answer", (Line(of_answers("Cost"), "average", "Average"),), "money"),
        Graph(
            "Seconds per day",
            (
                Line(of_answers("ModelHostSeconds"), "model host"),
                Line(of_answers("FunctionSeconds"), "query function"),
            ),
            "seconds",
            period=DAY,
        ),
        Graph(
            "Tokens of questions",
            (
                Line(of_answers("PromptTokens"), "prompt"),
                Line(of_answers("CompletionTokens"), "completion"),
            ),
            stacked=True,
        ),
        Graph("Embedded tokens", (Line(of_service("ingest", "EmbeddedTokens"), "documents"),)),
        Table("Cost by principal", queries.NAMED["cost-by-principal"]),
    ),
)

READING = Section(
    "What is it indexing?",
    "Documents by status at the end of reconcile's last pass, the backlog, and failures.",
    (
        Graph(
            "Documents by status",
            tuple(Line(of_service("reconcile", name), label, "Maximum") for label, name in _DOCUMENTS.items()),
            stacked=True,
            period=3600,
        ),
        Graph(
            "Backlog",
            (
                Line(of_queue("Ingest", "ApproximateNumberOfMessagesVisible"), "waiting", "Maximum"),
                Line(of_queue("Ingest", "ApproximateNumberOfMessagesNotVisible"), "in progress", "Maximum"),
                Line(of_queue("Ocr", "ApproximateNumberOfMessagesVisible"), "waiting for OCR", "Maximum"),
            ),
        ),
        Graph(
            "Age of the oldest message",
            (
                Line(of_queue("Ingest", "ApproximateAgeOfOldestMessage"), "ingest", "Maximum"),
                Line(of_queue("Ocr", "ApproximateAgeOfOldestMessage"), "OCR", "Maximum"),
            ),
            "seconds",
        ),
        Graph(
            "Failures",
            (
                Line(of_queue("DeadLetter", "ApproximateNumberOfMessagesVisible"), "dead letters", "Maximum"),
                Line(of_service("ingest", "DocumentsRejected"), "rejected documents"),
                Line(of_service("ingest", "UnknownEvents"), "unknown messages"),
            ),
        ),
        Graph(
            "Indexed",
            (
                Line(of_service("ingest", "PagesIngested"), "pages"),
                Line(of_service("ingest", "ChunksIngested"), "chunks"),
                Line(of_service("ingest", "HiddenCharacters"), "characters that pages do not show"),
            ),
        ),
        Graph(
            "Throttled table requests",
            tuple(
                Line(of_table(table, f"{access}ThrottleEvents"), f"{table.lower()}, {access.lower()}")
                for table in ("Ledger", "Principals", "Receipts")
                for access in ("Read", "Write")
            ),
        ),
        Table("Documents with errors", queries.NAMED["troubled-documents"]),
        Table("Unknown messages", queries.NAMED["unknown-events"]),
        Table("Reconcile passes", queries.NAMED["reconcile-passes"]),
    ),
)

SECTIONS = (UP, RIGHT, FAST, COST, READING)
