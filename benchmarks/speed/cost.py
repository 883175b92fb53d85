"""The price of 1,000 pages, 1,000 questions and an idle month, beside a managed knowledge base.

Seconds come from the reports of `bench-ingest`, `bench-query` and `bench-coldstart`. Prices come from two dated
files, `docwell/query/prices.json` (or the file in `DOCWELL_PRICES`) and `managed_prices.json`; each entry says how
it is known, and none is a bill. docwell's sums are for the defaults of `template.yaml`, with network, firewall,
alarms and receipts; the managed side is its list prices alone. Both get the same tokens. No GPU is measured: a
question keeps its host busy for an assumed 2 s (`Workload` in `bill.py` has all assumptions).
"""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.progress import CONSOLE
from benchmarks.speed import bill
from benchmarks.speed.bill import WORKLOAD, Measured
from benchmarks.speed.managed import STORES, ManagedPrices
from benchmarks.speed.options import BenchError, Options
from benchmarks.speed.page import figures, read
from docwell.query.costs import Prices, load_prices
from infra.report import REPORTS, Report

LOADS = (10, 1_000, 100_000)  # questions a day
STORED_PAGES = 10_000  # of an idle month: a hundred filings
# The short form fills 1,000 chunks only.
_QUESTION_MS = ("warm, 10,000 chunks, 1 client: p50", "warm, 1,000 chunks, 1 client: p50")
_THOUSAND = 1000
_HOURS_AT_WORK = 12 * 21.7  # a month of working days


def measure(report: Report, _: Options) -> None:
    """Add rows of money. Raises `BenchError` for a missing report, `SettingsError` for a wrong price file."""
    own_file = os.environ.get("DOCWELL_PRICES")
    prices, other = load_prices(Path(own_file) if own_file else None), ManagedPrices.load()
    if prices.currency != other.currency:
        raise BenchError(f"{prices.name} is in {prices.currency}, {other.name} in {other.currency}")
    measured = measured_in(REPORTS)
    CONSOLE.print(f"prices: {prices.name} of {prices.as_of}, {other.name} of {other.as_of}", style="dim")
    _add_idle(report, prices, other, measured)
    _add_pages(report, prices, other, measured)
    _add_questions(report, prices, other, measured)
    _add_break_even(report, prices, other)


def measured_in(reports: Path) -> Measured:
    """Return the figures of three reports. Raises `BenchError` unless they are of one commit and machine."""
    found = {name: read(name, reports) for name in ("ingest", "query", "coldstart")}
    for what in ("commit", "machine"):
        if len({report[what] for report in found.values()}) > 1:
            raise BenchError(f"the reports of {', '.join(found)} are not of one {what}: run them again")
    ingest, query, coldstart = (figures(report) for report in found.values())
    try:
        question_ms = next(query[name] for name in _QUESTION_MS if name in query)
        return Measured(
            question_s=question_ms / 1000,
            first_question_s=coldstart["docwell: query, process start to first answer"],
            pages_a_second=ingest["docwell: pages a second"],
            characters_a_page=ingest["docwell: characters a second"] / ingest["docwell: pages a second"],
            cores=os.cpu_count() or 1,
        )
    except (KeyError, StopIteration) as error:
        raise BenchError(f"a report lacks a figure: {error}") from None


def _add_idle(report: Report, prices: Prices, other: ManagedPrices, measured: Measured) -> None:
    unit, what = prices.currency, "a month in which nobody asks"
    idle = bill.idle_month(prices)
    report.add(f"docwell: {what}", sum(idle.values()), unit)
    for part, price in idle.items():
        report.add(f"of which {part}", price, unit)
    nights_off = sum(idle.values()) - idle["model host"] + prices.model_host.per_hour * _HOURS_AT_WORK
    report.add(f"docwell, model host on at working hours: {what}", nights_off, unit)
    own_servers = sum(price for part, price in idle.items() if part in bill.WITHOUT_SERVERS)
    report.add(f"docwell, servers that run already (Network=none): {what}", own_servers, unit)
    report.add(f"managed, OpenSearch Serverless: {what}", other.search_month(), unit)
    report.add(f"managed, S3 Vectors: {what}", other.vectors_month(measured, STORED_PAGES, WORKLOAD), unit)


def _add_pages(report: Report, prices: Prices, other: ManagedPrices, measured: Measured) -> None:
    unit = f"{prices.currency} cents"  # a thousand pages cost less than a dollar
    report.add("docwell: 1,000 pages", 100 * bill.pages(prices, measured, _THOUSAND), unit)
    for store, vectors_in_s3 in STORES.items():
        price = other.pages(measured, _THOUSAND, WORKLOAD, vectors_in_s3=vectors_in_s3)
        report.add(f"managed, {store}: 1,000 pages", 100 * price, unit)


def _add_questions(report: Report, prices: Prices, other: ManagedPrices, measured: Measured) -> None:
    unit = prices.currency
    added = bill.question(prices, measured, cold=0.0)
    report.add("1,000 questions, without model host and idle parts", _THOUSAND * added, unit)
    for load in LOADS:
        what = f"1,000 questions at {load:,} a day"
        report.add(f"docwell: {what}", _THOUSAND * bill.questions_at(prices, measured, load), unit)
        for store, vectors_in_s3 in STORES.items():
            idle_day = 0.0 if vectors_in_s3 else other.search_month() / bill.DAYS_IN_MONTH
            for model in other.models:
                one = other.question(model, WORKLOAD, vectors_in_s3=vectors_in_s3) + idle_day / load
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
            what = f"no load makes the model host cheaper than {name}, unless a question takes under"
            report.add(what, bill.level_seconds(prices, hosted), "s")
