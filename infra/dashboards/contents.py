"""What docwell's dashboard shows: top to bottom the questions of somebody who runs it."""

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
    of_queue,
    of_service,
    of_table,
)

_FUNCTIONS = ("Query", "Ingest", "Reconcile")
_DRIFT = ("Missing", "Stale", "Orphan", "Duplicate", "Lost", "Stuck")
# Label by metric: DocumentsRejected counts refusals as they happen, DocumentsRejectedNow what stands refused.
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
    "Requests that failed, functions that failed or were held back, callers that were turned away.",
    (
        Graph(
            "Requests",
            (
                Line(of_api("Count"), "all"),
                Line(of_api("4XXError"), "the caller's fault (4xx)"),
                Line(of_api("5XXError"), "our fault (5xx)"),
            ),
        ),
        Graph(
            "Failed questions",
            (
                Line(of_service("query", "Problems"), "answered with a problem of ours"),
                Line(of_service("query", "Overloads"), "model host spared"),
            ),
        ),
        Graph(
            "Turned away",
            (
                Line(of_service("query", "QuotaRejections"), "quota used up"),
                Line(of_service("query", "Unauthenticated"), "nobody known"),
            ),
        ),
        Graph("Function errors", tuple(Line(of_function(one, "Errors"), one.lower()) for one in _FUNCTIONS)),
        Graph("Throttled", tuple(Line(of_function(one, "Throttles"), one.lower()) for one in _FUNCTIONS)),
        Graph(
            "Running at once",
            tuple(Line(of_function(one, "ConcurrentExecutions"), one.lower(), "Maximum") for one in _FUNCTIONS),
        ),
        Table("Problems by kind", queries.PROBLEMS),
        Table("Bugs by place", queries.BUGS),
    ),
)

RIGHT = Section(
    "Is it right?",
    "Index equal to bucket; answers from the model, from whole prompts, borne out by their passages.",
    (
        Graph(
            "Drift: bucket, ledger and index differ",
            (
                Line(of_service("reconcile", "Drift"), "all", "Maximum"),
                *(Line(of_service("reconcile", f"Drift{kind}"), kind.lower(), "Maximum") for kind in _DRIFT),
            ),
        ),
        Graph(
            "Share of answers",
            (
                Line(of_answers("Refusals"), "refusals", hidden=True),
                Line(of_answers("Fallbacks"), "fallbacks", hidden=True),
                Line(of_answers("QueryLatency"), "answers", "SampleCount", hidden=True),
                Formula("100 * m1 / m3", "refused"),
                Formula("100 * m2 / m3", "without the model"),
            ),
            "percent",
        ),
        Graph(
            "Prompts",
            (
                Line(of_answers("TruncatedPrompts"), "cut by the model host"),
                Line(of_answers("DroppedPassages"), "passages that did not fit"),
            ),
        ),
        Graph(
            "Doubtful content",
            (
                Line(of_answers("UnsupportedSentences"), "sentences without support"),
                Line(of_answers("SuspiciousPassages"), "passages that give orders"),
            ),
        ),
        Graph(
            "Own token count against the model's",
            (
                Line(of_answers("TokenCountError"), "average", "Average"),
                Line(of_answers("TokenCountError"), "p95", "p95"),
            ),
            "percent",
        ),
        Graph(
            "Readers' verdicts",
            (
                Line(of_service("query", "Feedback"), "good", "Average", hidden=True),
                Formula("100 * m1", "share of good ones"),
            ),
            "percent",
            period=DAY,
        ),
        Table("Answers by prompt", queries.ANSWERS_BY_PROMPT),
        Table("Fallbacks by reason", queries.FALLBACKS),
    ),
)

FAST = Section(
    "Is it fast?",
    "Each stage of a question, then of a document.",
    (
        _percentiles("Whole question", of_answers("QueryLatency")),
        _percentiles("Time to first token", of_answers("TimeToFirstToken")),
        _percentiles("Generate", of_answers("GenerateLatency")),
        _percentiles("Embed the question", of_answers("EmbedLatency")),
        _percentiles("Retrieve", of_answers("RetrieveLatency")),
        _percentiles("As the gateway sees it", of_api("Latency")),
        Graph("Cold starts", tuple(Line(of_service(one.lower(), "ColdStart"), one.lower()) for one in _FUNCTIONS)),
        _percentiles("Ingest: one document or range", of_service("ingest", "IngestLatency")),
        Graph(
            "Longest run (the limit is 900 s for ingest and reconcile)",
            tuple(Line(of_function(one, "Duration"), one.lower(), "Maximum") for one in _FUNCTIONS),
            "milliseconds",
        ),
        Table("Slowest questions", queries.SLOWEST_QUESTIONS),
        Table("Slowest documents", queries.SLOWEST_DOCUMENTS),
        Table("Cold starts by hour", queries.COLD_STARTS),
    ),
)

COST = Section(
    "What does it cost?",
    "Questions by the price file, in its currency. Hosts that stand idle are on the bill alone.",
    (
        Graph("Money by day", (Line(of_answers("Cost"), "all answers"),), "money", period=DAY),
        Graph("Money for one answer", (Line(of_answers("Cost"), "average", "Average"),), "money"),
        Graph(
            "Seconds by day",
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
                Line(of_answers("PromptTokens"), "read"),
                Line(of_answers("CompletionTokens"), "written"),
            ),
            stacked=True,
        ),
        Graph("Tokens embedded", (Line(of_service("ingest", "EmbeddedTokens"), "of documents"),)),
        Table("Cost by principal", queries.COST_BY_PRINCIPAL),
    ),
)

READING = Section(
    "What is it reading?",
    "Documents by status at the end of reconcile's last pass; what waits, and what was given up.",
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
                Line(of_queue("Ingest", "ApproximateNumberOfMessagesNotVisible"), "at work", "Maximum"),
            ),
        ),
        Graph(
            "Age of the oldest message",
            (Line(of_queue("Ingest", "ApproximateAgeOfOldestMessage"), "waiting since", "Maximum"),),
            "seconds",
        ),
        Graph(
            "Given up",
            (
                Line(of_queue("DeadLetter", "ApproximateNumberOfMessagesVisible"), "dead letters", "Maximum"),
                Line(of_service("ingest", "DocumentsRejected"), "documents refused"),
                Line(of_service("ingest", "UnknownEvents"), "messages not understood"),
            ),
        ),
        Graph(
            "Read",
            (
                Line(of_service("ingest", "PagesIngested"), "pages"),
                Line(of_service("ingest", "ChunksIngested"), "chunks"),
            ),
        ),
        Graph(
            "Tables: requests held back",
            tuple(
                Line(of_table(table, f"{way}ThrottleEvents"), f"{table.lower()}, {way.lower()}")
                for table in ("Ledger", "Principals", "Receipts")
                for way in ("Read", "Write")
            ),
        ),
        Table("Troubled documents", queries.TROUBLED_DOCUMENTS),
        Table("Messages not understood", queries.UNKNOWN_EVENTS),
        Table("Reconcile's passes", queries.PASSES),
    ),
)

SECTIONS = (UP, RIGHT, FAST, COST, READING)
