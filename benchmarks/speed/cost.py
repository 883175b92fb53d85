"""The price of an idle month of each profile, of 1,000 pages and of 1,000 questions.

Seconds come from the reports of `bench-ingest`, `bench-query` and `bench-coldstart`. Prices come from a dated
file, `docwell/query/prices.json` or that in `DOCWELL_PRICES`; each entry says how it is known. None is a bill.
Questions are priced for the defaults of `template.yaml`. No GPU is measured: a question keeps its host busy for an
assumed 2 s (`Workload` has all assumptions).
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.idle import HOURS_IN_MONTH, MODEL_HOSTS, Lines, amounts, idle_month
from benchmarks.speed.options import BenchError, Options, figures, read
from benchmarks.speed.stacks import profiles
from docwell.cli.loading.estimate import INGEST_MB, indexing_price
from docwell.query.costs import Prices, cost, load_prices
from infra.progress import CONSOLE
from infra.report import REPORTS, Report

LOADS = (10, 1_000, 100_000)  # questions a day
# The short form fills 1,000 chunks only.
_QUESTION_MS = ("warm, 10,000 chunks, 1 client: p50", "warm, 1,000 chunks, 1 client: p50")

DAYS_IN_MONTH = HOURS_IN_MONTH / 24
# Memory that brings one whole processor (Lambda's guide, "Configure memory").
MB_A_PROCESSOR = 1769
# What an idle month of a profile may cost, in USD.
GOALS = {"small": "<= 90"}
# An installation whose servers run already.
OWN_SERVERS = {"Network": "none", "ChromaUrl": "https://chroma", "OllamaUrl": "https://ollama"}


@dataclass(frozen=True, slots=True)
class Workload:
    """Assumptions that no benchmark here can measure.

    `model_s` is how long one question keeps the model host busy. Hosts scale with the load: `headroom` times the
    busy seconds are paid, and at least one host all day. An environment of the query function lives for about
    `kept_s` after its last question.
    """

    model_s: float = 2.0
    headroom: float = 1.5
    kept_s: float = 600.0
    pages_a_document: int = 20
    authorizer_s: float = 0.02


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of the other benchmarks. `question_s` excludes the model's time."""

    question_s: float
    first_question_s: float
    pages_a_second: float
    cores: int


@dataclass(frozen=True, slots=True)
class System:
    """The functions of a question in `template.yaml`, and the requests that the code sends.

    A read is 4 KB, a write 1 KB. A question reads its key, the principal and the live generations, and writes its
    charge and its receipt.
    """

    query_mb: int = 1769
    authorizer_mb: int = 512
    question_reads: int = 7
    question_writes: int = 7
    question_log_gb: float = 4e-6


SYSTEM = System()
WORKLOAD = Workload()


def cold_share(questions_a_day: float, kept_s: float) -> float:
    """Return the share of questions that start an environment: a Poisson process's gaps that exceed `kept_s`.

    >>> round(cold_share(10, 600), 2), round(cold_share(1000, 600), 3)
    (0.93, 0.001)
    """
    return math.exp(-questions_a_day * kept_s / 86_400)


def question(prices: Prices, measured: Measured, cold: float, workload: Workload = WORKLOAD) -> float:
    """Return what one question adds, without the model host; the share `cold` of them start an environment.

    Lambda bills the function while it waits for the model.
    """
    price, system = amounts(prices), SYSTEM
    seconds = measured.question_s + workload.model_s
    seconds += cold * max(0.0, measured.first_question_s - measured.question_s)
    return (
        cost(prices, 0.0, seconds, system.query_mb).amount
        + prices.function.per_request
        + workload.authorizer_s * system.authorizer_mb / 1024 * prices.function.per_gb_second
        + cold * system.query_mb / 1024 * price("snapstart_restore")
        + system.question_reads * price("table_read")
        + system.question_writes * price("table_write")
        + system.question_log_gb * price("log")
        + price("trace")
        + price("firewall_request")
    )


def busy_host(prices: Prices, workload: Workload = WORKLOAD) -> float:
    """Return the price of the model host's time for one question, while it is always busy."""
    host = prices.model_host
    return workload.headroom * workload.model_s / host.parallel / 3600 * host.per_hour


def questions_at(prices: Prices, measured: Measured, idle: Lines, questions_a_day: float) -> float:
    """Return the price of one question at a load, with its share of idle parts and model hosts."""
    hosts_day = max(24 * prices.model_host.per_hour, questions_a_day * busy_host(prices))
    shared_day = (sum(idle.values()) - idle[MODEL_HOSTS]) / DAYS_IN_MONTH + hosts_day
    return shared_day / questions_a_day + question(prices, measured, cold_share(questions_a_day, WORKLOAD.kept_s))


def pages(prices: Prices, measured: Measured, count: int) -> float:
    """Return the price of indexing pages, besides the servers.

    Seconds measured on more cores than the function's memory brings are stretched; they are never shortened.
    """
    seconds = count / measured.pages_a_second * max(1.0, measured.cores / (INGEST_MB / MB_A_PROCESSOR))
    documents = math.ceil(count / WORKLOAD.pages_a_document)
    return indexing_price(amounts(prices), prices.function, documents, seconds)


def measure(report: Report, _: Options) -> None:
    """Add rows of money. Raises `SettingsError` for a wrong price file."""
    own_file = os.environ.get("DOCWELL_PRICES")
    prices = load_prices(Path(own_file) if own_file else None)
    unit = prices.currency
    CONSOLE.print(f"prices: {prices.name}, of {prices.as_of}")
    for profile, parameters in profiles().items():
        lines = idle_month(prices, parameters)
        report.add(f"{profile}: a month without questions", sum(lines.values()), unit, GOALS.get(profile))
        for part, price in lines.items():
            report.add(f"{profile}: of which {part}", price, unit)
    own_servers = sum(idle_month(prices, OWN_SERVERS).values())
    report.add("a month without questions, servers that run already (Network=none)", own_servers, unit)
    try:
        measured = measured_in(REPORTS)
    except BenchError as error:
        CONSOLE.print(f"pages and questions are not priced: {error}", soft_wrap=True)
        return
    # A thousand pages cost less than a dollar.
    report.add("1,000 pages", 100 * pages(prices, measured, 1000), f"{unit} cents")
    added = question(prices, measured, cold=0.0)
    report.add("1,000 questions, without model host and idle parts", 1000 * added, unit)
    idle = idle_month(prices)
    for load in LOADS:
        report.add(f"1,000 questions at {load:,} a day", 1000 * questions_at(prices, measured, idle, load), unit)
    report.add("model host that is always busy, 1,000 questions", 1000 * busy_host(prices), unit)


def measured_in(reports: Path) -> Measured:
    """Return the figures of three reports. Raises `BenchError` unless they are of one commit and machine."""
    found = {name: read(name, reports) for name in ("ingest", "query", "coldstart")}
    for what in ("commit", "machine"):
        if len({report[what] for report in found.values()}) > 1:
            raise BenchError(f"the reports of {', '.join(found)} are not of one {what}: run them again")
    ingest, query, coldstart = (figures(report) for report in found.values())
    try:
        return Measured(
            question_s=next(query[name] for name in _QUESTION_MS if name in query) / 1000,
            first_question_s=coldstart["docwell: query, process start to first answer"],
            pages_a_second=ingest["docwell: pages a second"],
            cores=os.cpu_count() or 1,
        )
    except (KeyError, StopIteration) as error:
        raise BenchError(f"a report lacks a figure: {error}") from None
