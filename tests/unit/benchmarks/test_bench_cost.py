"""Money from measured seconds, by price files."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.speed import cost
from benchmarks.speed.cost import SYSTEM, Measured, Workload, measured_in
from benchmarks.speed.idle import amounts, idle_month
from benchmarks.speed.options import BenchError, Options
from benchmarks.speed.stacks import profiles, system
from docwell.cli.loading.estimate import INGEST_MB
from docwell.query.costs import Prices, load_prices
from infra.report import Report

PRICES = load_prices()
MEASURED = Measured(question_s=0.02, first_question_s=1.0, pages_a_second=10, cores=2)
IDLE = idle_month(PRICES)
LOADS = st.floats(min_value=1, max_value=1e7)


def test_the_functions_and_servers_are_those_of_the_template() -> None:
    stack = system({})
    memories = {
        "IngestFunction": INGEST_MB,
        "QueryFunction": SYSTEM.query_mb,
        "AuthorizerFunction": SYSTEM.authorizer_mb,
    }
    for function, memory in memories.items():
        assert stack.stack_of(function).of(function).of("MemorySize") == memory
    assert stack.values.names["OllamaInstance"].partition(",")[0] == PRICES.model_host.instance


def test_a_month_of_the_defaults_by_hand() -> None:
    idle = idle_month(PRICES)
    assert idle["model hosts"] == pytest.approx(730 * 1.006)
    assert idle["Chroma"] == pytest.approx(730 * 0.0816)
    # The model host has 150 GB with 375 MB a second that are not free; Chroma has 20 and 50 GB.
    assert idle["disks"] == pytest.approx((150 + 20 + 50) * 0.08 + 375 * 0.04)
    assert idle["load balancers"] == pytest.approx(730 * 0.0225)
    assert idle["endpoints"] == pytest.approx(2 * 2 * 0.01 * 730)
    assert idle["firewall"] == 5 + 6  # an ACL and its rules
    views = 220 * (25 * (0.000001 + 0.0000004) + 0.0006 * 0.085)
    assert idle["console"] == pytest.approx(views + 0.005 * 0.023)
    assert idle["snapshot of the query function"] == pytest.approx(1769 / 1024 * 730 * 3600 * 0.0000015046)


def test_a_small_installation_pays_for_one_server_one_balancer_and_two_endpoints() -> None:
    idle = idle_month(PRICES, profiles()["small"])
    assert idle["model hosts"] == idle["NAT gateway"] == 0
    assert idle["Chroma"] == pytest.approx(730 * 0.0168)
    assert idle["disks"] == pytest.approx((20 + 20) * 0.08)
    assert idle["load balancers"] == pytest.approx(730 * 0.0225)
    assert idle["public addresses"] == pytest.approx(730 * 0.005)
    assert idle["endpoints"] == pytest.approx(2 * 730 * 0.01)  # of SQS and Secrets Manager
    assert idle["zones, keys, secrets"] == pytest.approx(2 * 0.5 + 1 + 2 * 0.4)
    assert sum(idle.values()) <= 90


def test_hosts_that_stop_at_night_cost_the_hours_in_which_they_run() -> None:
    by_day = {"OllamaHosts": "1,1", "OllamaNight": "0 19 * * *;0 7 * * 1-5;Etc/UTC"}
    idle = idle_month(PRICES, by_day)
    assert idle["model hosts"] == pytest.approx(730 * 60 / 168 * 1.006)
    always = idle_month(PRICES, {"OllamaHosts": "2,4"})
    assert always["model hosts"] == pytest.approx(2 * 730 * 1.006)


def test_spot_hosts_have_the_price_on_demand_because_the_file_has_no_other() -> None:
    spot = idle_month(PRICES, {"OllamaInstance": "g5.xlarge,0.4,0"})
    assert spot["model hosts"] == idle_month(PRICES)["model hosts"]


def test_only_servers_of_the_stack_have_secrets_of_the_stack() -> None:
    names = [idle_month(PRICES, given)["zones, keys, secrets"] for given in (None, cost.OWN_SERVERS)]
    assert names == [pytest.approx(2 * 0.5 + 1 + 2 * 0.4), 1]


def test_every_profile_pays_a_few_cents_for_its_console() -> None:
    for profile, parameters in profiles().items():
        assert 0 < idle_month(PRICES, parameters)["console"] < 0.1, profile
        assert idle_month(PRICES, parameters | {"Console": "none"})["console"] == 0


def test_every_profile_has_a_price_and_the_small_one_a_goal() -> None:
    for profile, parameters in profiles().items():
        assert sum(idle_month(PRICES, parameters).values()) > 0, profile
    assert set(cost.GOALS) <= set(profiles())


def test_the_cost_alarm_counts_hosts_at_the_price_of_the_price_file() -> None:
    for profile, parameters in {"defaults": {}, **profiles()}.items():
        instance, price = system(parameters).values.names["OllamaInstance"].split(",")
        assert float(price) == amounts(PRICES)(instance), profile


def test_the_cost_alarm_sees_a_host_that_is_left_on() -> None:
    for profile, parameters in profiles().items():
        if "OllamaNight" in parameters or parameters["OllamaHosts"].startswith("0,"):
            price = system(parameters).values.names["OllamaInstance"].partition(",")[2]
            assert parameters["CostPerDay"] < 24 * float(price), profile


def test_without_reports_the_idle_months_are_priced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "REPORTS", tmp_path)
    report = Report("bench-cost")
    cost.measure(report, Options())
    sums = {row.metric: row.value for row in report.rows if row.metric.endswith("without questions")}
    for profile in ("small", "team", "large"):
        parts = [row.value for row in report.rows if row.metric.startswith(f"{profile}: of which")]
        assert sums[f"{profile}: a month without questions"] == pytest.approx(
            sum(parts), abs=0.01
        )  # rows are rounded


def test_a_question_costs_the_function_while_it_waits_for_the_model() -> None:
    slow, quick = Workload(model_s=5), Workload(model_s=1)
    more = cost.question(PRICES, MEASURED, 0, slow) - cost.question(PRICES, MEASURED, 0, quick)
    assert more == pytest.approx(4 * 1769 / 1024 * 0.0000166667, abs=2e-9)


def test_a_cold_question_costs_its_start_and_the_restored_snapshot() -> None:
    more = cost.question(PRICES, MEASURED, 1) - cost.question(PRICES, MEASURED, 0)
    gigabytes = 1769 / 1024
    assert more == pytest.approx(0.98 * gigabytes * 0.0000166667 + gigabytes * 0.0001397998, abs=2e-9)


def test_pages_cost_their_seconds_on_the_processors_that_the_memory_brings() -> None:
    function = 100 * (2 / (3008 / 1769)) * 3008 / 1024 * 0.0000166667
    found = cost.pages(PRICES, MEASURED, 1000)
    requests = 50 * (0.0000002 + 0.000005 + 4 * 0.0000004 + 5 * 0.0000004 + 8 * 0.000000125 + 8 * 0.000000625)
    assert found == pytest.approx(function + requests)


def test_one_core_is_not_made_faster_by_a_function_that_has_more() -> None:
    one = Measured(0.02, 1.0, 10, cores=1)
    seconds = 100 * 3008 / 1024 * 0.0000166667
    assert cost.pages(PRICES, one, 1000) >= seconds


@given(few=LOADS, more=LOADS)
def test_a_question_is_never_dearer_at_a_higher_load(few: float, more: float) -> None:
    low, high = sorted((few, more))
    at = partial(cost.questions_at, PRICES, MEASURED, IDLE)
    assert at(high) <= at(low) * (1 + 1e-9)


def test_a_price_file_without_the_price_of_a_part_names_it() -> None:
    bare = Prices.model_validate(PRICES.model_dump() | {"name": "bare", "services": {}})
    with pytest.raises(LookupError, match=r"bare has no price of"):
        idle_month(bare)


def test_every_price_says_how_it_is_known_and_those_that_were_read_name_their_page() -> None:
    read = {one.page for one in PRICES.services.values() if one.known == "price page"}
    assert read == {"Amazon EC2 On-Demand Pricing", "Amazon VPC Pricing", "AWS PrivateLink pricing"}


def test_a_missing_report_is_named_with_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"run `make bench-ingest`"):
        measured_in(tmp_path)
