"""Money from seconds: what pages, questions and idle months of docwell cost by a price file. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from docwell.query.costs import Prices, cost

HOURS_IN_MONTH = 730
DAYS_IN_MONTH = HOURS_IN_MONTH / 24
_SECONDS_IN_HOUR = 3600
_SECONDS_IN_DAY = 86_400
_MB_IN_GB = 1024  # as Lambda counts
# Memory that comes with one whole processor (Lambda's guide, "Configure memory").
MB_A_PROCESSOR = 1769


@dataclass(frozen=True, slots=True)
class Workload:
    """What is assumed, because no benchmark here can measure it.

    `model_s` is how long one question keeps the model host busy: no GPU is measured here. Hosts come and go by
    the load, so that `headroom` x the busy seconds are paid, and at least one host all day. An environment of the
    query function lives on for about `kept_s` after its last question. Prompts are as long as those of `make
    eval-answers`, answers some times longer.
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
    """What the other benchmarks measured, on a machine of so many cores.

    `question_s`: a question without the model's time; `first_question_s`: the same from the start of the process;
    `pages_a_second` and `characters_a_page` of ingest.
    """

    question_s: float
    first_question_s: float
    pages_a_second: float
    characters_a_page: float
    cores: int


@dataclass(frozen=True, slots=True)
class System:
    """What `template.yaml` makes with its defaults, and how many requests the code sends.

    Reads are of 4 KB and writes of 1 KB: of one question the principal and the live generations, its charge and
    its receipt; of one document about two states of the ledger, its lease and its ranges.
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
# The parts of an idle month where Chroma and the model host run already, and without a network of one's own.
WITHOUT_SERVERS = ("firewall", "alarms, metrics, dashboard, zones, key", "snapshot of the query function")


def idle_month(prices: Prices, system: System = SYSTEM) -> dict[str, float]:
    """What each part costs in a month in which nobody asks. Raises `LookupError` for a price that is not given."""
    return {
        "model host": prices.model_host.per_hour * HOURS_IN_MONTH,
        "disk of the model host": system.host_disk_gb * amount(prices, "disk"),
        "Chroma and its disks": amount(prices, "chroma_host") * HOURS_IN_MONTH
        + system.chroma_disk_gb * amount(prices, "disk"),
        "load balancers": system.load_balancers * amount(prices, "load_balancer") * HOURS_IN_MONTH,
        "NAT gateway": (amount(prices, "nat_gateway") + amount(prices, "public_address")) * HOURS_IN_MONTH,
        "endpoints": system.endpoints * system.endpoint_zones * amount(prices, "endpoint") * HOURS_IN_MONTH,
        "firewall": amount(prices, "firewall") + system.firewall_rules * amount(prices, "firewall_rule"),
        "alarms, metrics, dashboard, zones, key": system.alarms * amount(prices, "alarm")
        + system.metrics * amount(prices, "metric")
        + system.dashboards * amount(prices, "dashboard")
        + system.zones * amount(prices, "zone")
        + system.keys * amount(prices, "key"),
        "snapshot of the query function": _gb(system.query_mb)
        * HOURS_IN_MONTH
        * _SECONDS_IN_HOUR
        * amount(prices, "snapstart_cache"),
    }


def cold_share(questions_a_day: float, kept_s: float) -> float:
    """The share of questions that find no environment waiting.

    Questions that come at random, q a day, are more than t apart with probability exp(-q t / 86,400): the gap of a
    Poisson process. One environment is thought of; side by side there are more, and each has a first question.

    >>> round(cold_share(10, 600), 2), round(cold_share(1000, 600), 3)
    (0.93, 0.001)
    """
    return math.exp(-questions_a_day * kept_s / _SECONDS_IN_DAY)


def question(
    prices: Prices, measured: Measured, cold: float, workload: Workload = WORKLOAD, system: System = SYSTEM
) -> float:
    """What one question adds, without the model host; `cold` is the share of them that start an environment.

    The function is billed while it waits for the model. Raises `LookupError` for a price that is not given.
    """
    seconds = measured.question_s + workload.model_s
    seconds += cold * max(0.0, measured.first_question_s - measured.question_s)
    function_and_api = cost(prices, 0.0, seconds, system.query_mb).amount
    return (
        function_and_api
        + cold * _gb(system.query_mb) * amount(prices, "snapstart_restore")
        + system.question_reads * amount(prices, "table_read")
        + system.question_writes * amount(prices, "table_write")
        + system.question_log_gb * amount(prices, "log")
        + amount(prices, "trace")
        + amount(prices, "firewall_request")
    )


def busy_host(prices: Prices, workload: Workload = WORKLOAD) -> float:
    """What the model host's time for one question costs while there is always a next one."""
    hours = workload.headroom * workload.model_s / prices.model_host.parallel / _SECONDS_IN_HOUR
    return hours * prices.model_host.per_hour


def host_day(prices: Prices, questions_a_day: float, workload: Workload = WORKLOAD) -> float:
    """What the model hosts cost in a day: at least one all day, and as many as the load keeps busy."""
    return max(24 * prices.model_host.per_hour, questions_a_day * busy_host(prices, workload))


def questions_at(
    prices: Prices,
    measured: Measured,
    questions_a_day: float,
    workload: Workload = WORKLOAD,
    system: System = SYSTEM,
) -> float:
    """What one question costs at a load, with its share of the idle parts and of the model hosts.

    Raises `LookupError` for a price that is not given.
    """
    idle = idle_month(prices, system)
    shared_day = (sum(idle.values()) - idle["model host"]) / DAYS_IN_MONTH
    shared = (shared_day + host_day(prices, questions_a_day, workload)) / questions_a_day
    return shared + question(prices, measured, cold_share(questions_a_day, workload.kept_s), workload, system)


def pages(
    prices: Prices, measured: Measured, count: int, workload: Workload = WORKLOAD, system: System = SYSTEM
) -> float:
    """What indexing so many pages costs, beside the servers that run anyway.

    The seconds measured on `cores` cores are stretched to the processors that the function's memory brings; they
    are not shortened where it has more. Raises `LookupError` for a price that is not given.
    """
    documents = math.ceil(count / workload.pages_a_document)
    processors = system.ingest_mb / MB_A_PROCESSOR
    seconds = count / measured.pages_a_second * max(1.0, measured.cores / processors)
    function = seconds * _gb(system.ingest_mb) * prices.function.per_gb_second
    each = (
        prices.function.per_request
        + amount(prices, "object_put")
        + system.document_gets * amount(prices, "object_get")
        + system.document_messages * amount(prices, "queue_request")
        + system.document_reads * amount(prices, "table_read")
        + system.document_writes * amount(prices, "table_write")
    )
    return function + documents * each


def break_even(prices: Prices, hosted: float, workload: Workload = WORKLOAD) -> float | None:
    """Questions a day from which a model host is cheaper than a hosted model at `hosted` a question; None: never.

    With P the price of the host's hour, h the hosted price of a question and m what a busy host's time for one
    costs (`busy_host`), a day of q questions costs max(24 P, q m) against q h. That is level at

        q* = 24 P / h,   if h > m;

    where h <= m the busy seconds alone cost as much as the hosted model, at any load.
    """
    if hosted <= busy_host(prices, workload):
        return None
    return 24 * prices.model_host.per_hour / hosted


def level_seconds(prices: Prices, hosted: float, workload: Workload = WORKLOAD) -> float:
    """Seconds of the host a question at which a host that is always busy costs what the hosted model does.

    s* = 3600 h x parallel / (P x headroom), from `busy_host` = h.
    """
    host = prices.model_host
    return hosted * _SECONDS_IN_HOUR * host.parallel / (host.per_hour * workload.headroom)


def amount(prices: Prices, service: str) -> float:
    """The price of a service. Raises `LookupError`, with what to add, when the price file has none."""
    try:
        return prices.services[service].amount
    except KeyError:
        raise LookupError(
            f"price file {prices.name} has no price of {service!r} under `services`: see docwell/query/prices.json"
        ) from None


def _gb(megabytes: float) -> float:
    return megabytes / _MB_IN_GB
