"""The price of 1,000 pages, 1,000 questions and an idle month, beside Amazon Bedrock Knowledge Bases.

Seconds come from the reports of `bench-ingest`, `bench-query` and `bench-coldstart`. Prices come from two dated
files, `docwell/query/prices.json` (or the file in `DOCWELL_PRICES`) and `managed_prices.json`; each entry says how
it is known, and none is a bill. docwell's sums are for the defaults of `template.yaml`, with network, firewall,
alarms and receipts. The managed side is its list prices alone, with vectors in OpenSearch Serverless, paid by the
hour, or S3 Vectors, paid by use. Both get the same tokens. No GPU is measured: a question keeps its host busy for
an assumed 2 s (`Workload` in `bill.py` has all assumptions).
"""

import json
import os
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.speed import bill
from benchmarks.speed.bill import WORKLOAD, Measured
from benchmarks.speed.options import BenchError, Options, figures, read
from docwell.query.costs import Prices, load_prices
from infra.report import REPORTS, Report

LOADS = (10, 1_000, 100_000)  # questions a day
STORED_PAGES = 10_000  # of an idle month: a hundred filings
# The short form fills 1,000 chunks only.
_QUESTION_MS = ("warm, 10,000 chunks, 1 client: p50", "warm, 1,000 chunks, 1 client: p50")
_IDLE = "a month in which nobody asks"
# With redundancy, an index of any size keeps half a unit twice for writing and twice for reading.
_COMPUTE_UNITS = 2.0
# 1,024 dimensions in float32 with the text of a chunk of the default 300 tokens.
_CHUNK_GB, _CHUNK_TOKENS = (1024 * 4 + 2048) / 1e9, 300


class Managed:
    """The list prices of the managed knowledge base. `stores` says whether vectors are paid by use."""

    stores: ClassVar = {"OpenSearch Serverless": False, "S3 Vectors": True}

    def __init__(self) -> None:
        self.prices: Any = json.loads(Path(__file__).with_name("managed_prices.json").read_text("utf-8"))
        self.models: dict[str, Any] = self.prices["models"]
        self.search_month = _COMPUTE_UNITS * bill.HOURS_IN_MONTH * self._amount("compute_unit")

    def _amount(self, service: str) -> float:
        return float(self.prices["services"][service]["amount"])

    def vectors_month(self, tokens: float) -> float:
        """Return the price of a month of vectors in S3 without questions."""
        return tokens / _CHUNK_TOKENS * _CHUNK_GB * self._amount("vector_storage")

    def tokens_of(self, model: str) -> float:
        read, written = (float(self.models[model][what]["amount"]) for what in ("read", "written"))
        return WORKLOAD.prompt_tokens * read + WORKLOAD.answer_tokens * written

    def question(self, model: str, *, by_use: bool) -> float:
        """Return what one question adds: its embedding, its search where that is paid by use, and its tokens."""
        search = self._amount("vector_query") if by_use else 0.0
        return WORKLOAD.question_tokens * self._amount("embedded_token") + search + self.tokens_of(model)

    def pages(self, tokens: float, *, by_use: bool) -> float:
        """Return what indexing these tokens adds: their embedding, and writing where that is paid by use."""
        written = tokens / _CHUNK_TOKENS * _CHUNK_GB * self._amount("vector_put") if by_use else 0.0
        return tokens * self._amount("embedded_token") + written


def measure(report: Report, _: Options) -> None:
    """Add rows of money. Raises `BenchError` for a missing report, `SettingsError` for a wrong price file."""
    own_file = os.environ.get("DOCWELL_PRICES")
    prices, managed, measured = load_prices(Path(own_file) if own_file else None), Managed(), measured_in(REPORTS)
    if prices.currency != managed.prices["currency"]:
        raise BenchError(f"the price files are in {prices.currency} and {managed.prices['currency']}")
    tokens_a_page = measured.characters_a_page / WORKLOAD.characters_a_token
    unit, idle = prices.currency, bill.idle_month(prices)
    report.add(f"docwell: {_IDLE}", sum(idle.values()), unit)
    for part, price in idle.items():
        report.add(f"of which {part}", price, unit)
    own_servers = sum(idle[part] for part in bill.WITHOUT_SERVERS)
    report.add(f"docwell, servers that run already (Network=none): {_IDLE}", own_servers, unit)
    report.add(f"managed, OpenSearch Serverless: {_IDLE}", managed.search_month, unit)
    report.add(f"managed, S3 Vectors: {_IDLE}", managed.vectors_month(STORED_PAGES * tokens_a_page), unit)
    cents = f"{unit} cents"  # a thousand pages cost less than a dollar
    report.add("docwell: 1,000 pages", 100 * bill.pages(prices, measured, 1000), cents)
    for store, by_use in managed.stores.items():
        price = managed.pages(1000 * tokens_a_page, by_use=by_use)
        report.add(f"managed, {store}: 1,000 pages", 100 * price, cents)
    _add_questions(report, prices, managed, measured)


def _add_questions(report: Report, prices: Prices, managed: Managed, measured: Measured) -> None:
    unit = prices.currency
    added = bill.question(prices, measured, cold=0.0)
    report.add("1,000 questions, without model host and idle parts", 1000 * added, unit)
    for load in LOADS:
        what = f"1,000 questions at {load:,} a day"
        report.add(f"docwell: {what}", 1000 * bill.questions_at(prices, measured, load), unit)
        for store, by_use in managed.stores.items():
            idle_day = 0.0 if by_use else managed.search_month / bill.DAYS_IN_MONTH
            for model in managed.models:
                one = managed.question(model, by_use=by_use) + idle_day / load
                report.add(f"managed, {store}, {model}: {what}", 1000 * one, unit)
    report.add("model host that is always busy, 1,000 questions", 1000 * bill.busy_host(prices), unit)
    for model in managed.models:
        hosted = managed.tokens_of(model)
        report.add(f"tokens of {model}, 1,000 questions", 1000 * hosted, unit)
        if (questions := bill.break_even(prices, hosted)) is not None:
            report.add(f"load from which the model host is cheaper than {model}", questions, "questions a day")


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
            characters_a_page=ingest["docwell: characters a second"] / ingest["docwell: pages a second"],
            cores=os.cpu_count() or 1,
        )
    except (KeyError, StopIteration) as error:
        raise BenchError(f"a report lacks a figure: {error}") from None
