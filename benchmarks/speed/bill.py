"""The price of docwell's pages, questions and idle months, from measured seconds and a price file. Pure functions.

Every function raises `LookupError` where the price file lacks a price.
"""

import math
from dataclasses import dataclass

from docwell.query.costs import Prices, cost

HOURS_IN_MONTH = 730
DAYS_IN_MONTH = HOURS_IN_MONTH / 24
# Memory that brings one whole processor (Lambda's guide, "Configure memory").
MB_A_PROCESSOR = 1769
# The parts of an idle month where Chroma and the model host run already, without a new network.
WITHOUT_SERVERS = ("firewall", "alarms, metrics, dashboard, zones, key", "snapshot of the query function")


@dataclass(frozen=True, slots=True)
class Workload:
    """Assumptions that no benchmark here can measure.

    `model_s` is how long one question keeps the model host busy. Hosts scale with the load: `headroom` times the
    busy seconds are paid, and at least one host all day. An environment of the query function lives for about
    `kept_s` after its last question. Prompts are as long as those of `make eval-answers`.
    """

    prompt_tokens: int = 1400
    answer_tokens: int = 100
    question_tokens: int = 20
    model_s: float = 2.0
    headroom: float = 1.5
    kept_s: float = 600.0
    pages_a_document: int = 20
    characters_a_token: float = 4.0


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of the other benchmarks. `question_s` excludes the model's time."""

    question_s: float
    first_question_s: float
    pages_a_second: float
    characters_a_page: float
    cores: int


@dataclass(frozen=True, slots=True)
class System:
    """The resources of `template.yaml` with its defaults, and the requests that the code sends.

    A read is 4 KB, a write 1 KB. A question reads the principal and the live generations, and writes its charge
    and its receipt. A document writes about two states, its lease and its ranges.
    """

    ingest_mb: int = 3008
    query_mb: int = 1769
    host_disk_gb: int = 150
    chroma_disk_gb: int = 70
    load_balancers: int = 2
    endpoints: int = 4
    endpoint_zones: int = 2
    firewall_rules: int = 5
    alarms: int = 25
    dashboards: int = 1
    metrics: int = 25
    zones: int = 2
    keys: int = 1
    question_reads: int = 6
    question_writes: int = 7
    question_log_gb: float = 4e-6
    document_reads: int = 8
    document_writes: int = 8
    document_messages: int = 5
    document_gets: int = 4


SYSTEM = System()
WORKLOAD = Workload()


def idle_month(prices: Prices) -> dict[str, float]:
    """Return the price of each part in a month without questions."""
    price, system = _Price(prices), SYSTEM
    return {
        "model host": prices.model_host.per_hour * HOURS_IN_MONTH,
        "disk of the model host": system.host_disk_gb * price("disk"),
        "Chroma and its disks": price("chroma_host") * HOURS_IN_MONTH + system.chroma_disk_gb * price("disk"),
        "load balancers": system.load_balancers * price("load_balancer") * HOURS_IN_MONTH,
        "NAT gateway": (price("nat_gateway") + price("public_address")) * HOURS_IN_MONTH,
        "endpoints": system.endpoints * system.endpoint_zones * price("endpoint") * HOURS_IN_MONTH,
        "firewall": price("firewall") + system.firewall_rules * price("firewall_rule"),
        "alarms, metrics, dashboard, zones, key": system.alarms * price("alarm")
        + system.metrics * price("metric")
        + system.dashboards * price("dashboard")
        + system.zones * price("zone")
        + system.keys * price("key"),
        "snapshot of the query function": system.query_mb
        / 1024
        * HOURS_IN_MONTH
        * 3600
        * price("snapstart_cache"),
    }


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
    price, system = _Price(prices), SYSTEM
    seconds = measured.question_s + workload.model_s
    seconds += cold * max(0.0, measured.first_question_s - measured.question_s)
    return (
        cost(prices, 0.0, seconds, system.query_mb).amount
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


def questions_at(prices: Prices, measured: Measured, questions_a_day: float) -> float:
    """Return the price of one question at a load, with its share of idle parts and model hosts."""
    idle = idle_month(prices)
    hosts_day = max(24 * prices.model_host.per_hour, questions_a_day * busy_host(prices))
    shared_day = (sum(idle.values()) - idle["model host"]) / DAYS_IN_MONTH + hosts_day
    return shared_day / questions_a_day + question(prices, measured, cold_share(questions_a_day, WORKLOAD.kept_s))


def pages(prices: Prices, measured: Measured, count: int) -> float:
    """Return the price of indexing pages, besides the servers.

    Seconds measured on more cores than the function's memory brings are stretched; they are never shortened.
    """
    price, system = _Price(prices), SYSTEM
    seconds = count / measured.pages_a_second * max(1.0, measured.cores / (system.ingest_mb / MB_A_PROCESSOR))
    function = seconds * system.ingest_mb / 1024 * prices.function.per_gb_second
    each = (
        prices.function.per_request
        + price("object_put")
        + system.document_gets * price("object_get")
        + system.document_messages * price("queue_request")
        + system.document_reads * price("table_read")
        + system.document_writes * price("table_write")
    )
    return function + math.ceil(count / WORKLOAD.pages_a_document) * each


def break_even(prices: Prices, hosted: float) -> float | None:
    """Return the questions a day from which a model host is cheaper than a hosted model at `hosted` a question.

    A day of q questions costs max(24 P, q m) against q h, with P the host's price an hour, h the hosted price and
    m = `busy_host`. The two are equal at q = 24 P / h if h > m, and never otherwise (None).
    """
    return None if hosted <= busy_host(prices) else 24 * prices.model_host.per_hour / hosted


class _Price:
    """The amounts of one price file by service."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices

    def __call__(self, service: str) -> float:
        try:
            return self._prices.services[service].amount
        except KeyError:
            where = "under `services`: see docwell/query/prices.json"
            raise LookupError(f"price file {self._prices.name} has no price of {service!r} {where}") from None
