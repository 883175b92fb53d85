"""What 1,000 pages, 1,000 questions and a month in which nobody asks cost, beside a managed knowledge base.

Seconds are those that `bench-ingest`, `bench-query` and `bench-coldstart` of this run measured; prices are those
of two dated files, `docwell/query/prices.json` (or the file in `DOCWELL_PRICES`) and `managed_prices.json` here,
each
with the title of its page and how it is known: some are from memory, and none is a bill. docwell's sums are for
the defaults of `template.yaml`, with network, firewall, alarms and receipts; the managed side has its list prices
alone. Both are asked with the same tokens, though a hosted model and a small one of one's own do not answer alike.
No GPU is measured: that a question keeps its host busy for 2 s is assumed (`Workload` in `bill.py`, with all else
that is).
"""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.speed import bill, managed
from benchmarks.speed.bill import WORKLOAD, Measured
from benchmarks.speed.managed import ManagedPrices
from benchmarks.speed.one_run import Bench, NotOneRunError, read_all
from benchmarks.speed.options import Options
from docwell.query.costs import Prices, load_prices
from infra.report import REPORTS, Report

LOADS = (10, 1_000, 100_000)  # questions a day
STORED_PAGES = 10_000  # of a month in which nobody asks: a hundred filings
_THOUSAND = 1000
_HOURS_AT_WORK = 12 * 21.7  # a month of working days

# Where each figure is found: the first of its names that the report has. The short form measures fewer sizes.
PAGES_A_SECOND = ("docwell: pages a second",)
CHARACTERS_A_SECOND = ("docwell: characters a second",)
QUESTION_MS = ("warm, 10,000 chunks, 1 client: p50", "warm, 1,000 chunks, 1 client: p50")
FIRST_QUESTION_S = ("docwell: query, process start to first answer",)


def measure(report: Report, options: Options) -> None:
    """Rows of money.

    Raises:
        NotOneRunError: what the other benchmarks measure is missing, or of different runs.
        SettingsError: the price file of one's own is wrong.
    """
    own_file = os.environ.get("DOCWELL_PRICES")
    prices, other = load_prices(Path(own_file) if own_file else None), managed.load_managed()
    if prices.currency != other.currency:
        raise NotOneRunError(f"{prices.name} is in {prices.currency}, {other.name} in {other.currency}")
    measured = _measured(read_all(REPORTS, ("ingest", "query", "coldstart")))
    options.console.print(f"[dim]prices: {prices.name} of {prices.as_of}, {other.name} of {other.as_of}[/]")
    _add_idle(report, prices, other, measured)
    _add_pages(report, prices, other, measured)
    _add_questions(report, prices, other, measured)
    _add_break_even(report, prices, other)


def _measured(run: dict[str, Bench]) -> Measured:
    pages_a_second = _first(run["ingest"], PAGES_A_SECOND)
    return Measured(
        question_s=_first(run["query"], QUESTION_MS) / 1000,
        first_question_s=_first(run["coldstart"], FIRST_QUESTION_S),
        pages_a_second=pages_a_second,
        characters_a_page=_first(run["ingest"], CHARACTERS_A_SECOND) / pages_a_second,
        cores=os.cpu_count() or 1,
    )


def _first(bench: Bench, metrics: tuple[str, ...]) -> float:
    return bench.figure(next((metric for metric in metrics if bench.has(metric)), metrics[0]))


def _add_idle(report: Report, prices: Prices, other: ManagedPrices, measured: Measured) -> None:
    unit = prices.currency
    idle = bill.idle_month(prices)
    report.add("docwell: a month in which nobody asks", sum(idle.values()), unit)
    for part, price in idle.items():
        report.add(f"of which {part}", price, unit)
    nights_off = sum(idle.values()) - idle["model host"] + prices.model_host.per_hour * _HOURS_AT_WORK
    report.add("docwell, model host on at working hours: a month in which nobody asks", nights_off, unit)
    own_servers = sum(price for part, price in idle.items() if part in bill.WITHOUT_SERVERS)
    report.add("docwell, servers that run already (Network=none): a month in which nobody asks", own_servers, unit)
    search = managed.search_month(other)
    report.add("managed, OpenSearch Serverless: a month in which nobody asks", search, unit)
    stored = managed.vectors_month(other, measured, STORED_PAGES, WORKLOAD)
    report.add("managed, S3 Vectors: a month in which nobody asks", stored, unit)


def _add_pages(report: Report, prices: Prices, other: ManagedPrices, measured: Measured) -> None:
    """In hundredths: a thousand pages cost less than one unit of the currency."""
    unit = f"{prices.currency} cents"
    report.add("docwell: 1,000 pages", 100 * bill.pages(prices, measured, _THOUSAND), unit)
    for store, vectors_in_s3 in managed.STORES.items():
        price = managed.pages(other, measured, _THOUSAND, WORKLOAD, vectors_in_s3=vectors_in_s3)
        report.add(f"managed, {store}: 1,000 pages", 100 * price, unit)


def _add_questions(report: Report, prices: Prices, other: ManagedPrices, measured: Measured) -> None:
    unit = prices.currency
    added = bill.question(prices, measured, cold=0.0)
    report.add("1,000 questions, without model host and idle parts", _THOUSAND * added, unit)
    for load in LOADS:
        what = f"1,000 questions at {load:,} a day"
        report.add(f"docwell: {what}", _THOUSAND * bill.questions_at(prices, measured, load), unit)
        for store, vectors_in_s3 in managed.STORES.items():
            idle_day = 0.0 if vectors_in_s3 else managed.search_month(other) / bill.DAYS_IN_MONTH
            for model in other.models:
                one = managed.question(other, model, WORKLOAD, vectors_in_s3=vectors_in_s3) + idle_day / load
                report.add(f"managed, {store}, {model}: {what}", _THOUSAND * one, unit)


def _add_break_even(report: Report, prices: Prices, other: ManagedPrices) -> None:
    unit = prices.currency
    report.add("model host that is always busy, 1,000 questions", _THOUSAND * bill.busy_host(prices), unit)
    for name, model in other.models.items():
        hosted = model.question(WORKLOAD)
        report.add(f"tokens of {name}, 1,000 questions", _THOUSAND * hosted, unit)
        questions = bill.break_even(prices, hosted)
        if questions is not None:
            report.add(f"load from which the model host is cheaper than {name}", questions, "questions a day")
        else:
            # No load is: what would have to change is the time that a question takes the host.
            seconds = bill.level_seconds(prices, hosted)
            report.add(
                f"no load makes the model host cheaper than {name}, unless a question takes under", seconds, "s"
            )
