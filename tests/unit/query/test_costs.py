"""Costs by the price file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from docwell.config import SettingsError
from docwell.query.costs import Prices, cost, load_prices
from tests.unit.query.query_world import rows


def price_file(**changes: Any) -> dict[str, Any]:
    prices: dict[str, Any] = rows("price_files")[0]
    return prices | changes


ROUND = Prices.model_validate(price_file())


def test_a_request_costs_its_seconds_and_itself() -> None:
    found = cost(ROUND, model_host_s=10, function_s=12)
    # 10 s of a host that two share at 3.6 an hour; 12 s of 2 GB; a call of the function and of the API.
    assert found.amount == pytest.approx(10 * 0.001 / 2 + 12 * 2 * 0.25 + 0.5 + 0.125, abs=1e-9)
    assert (found.currency, found.prices) == ("EUR", "round")
    assert (found.model_host_s, found.function_s) == (10, 12)


def test_the_memory_that_the_function_has_counts_before_the_files() -> None:
    assert cost(ROUND, 0, 1, memory_mb=1024).amount == pytest.approx(0.25 + 0.625)


@pytest.mark.parametrize(("seconds", "billed"), [(1.1, 1.1), (1.0001, 1.001), (0.0, 0.0), (0.0295, 0.030)])
def test_the_function_is_billed_by_begun_milliseconds(seconds: float, billed: float) -> None:
    assert cost(ROUND, 0, seconds).amount == pytest.approx(billed * 2 * 0.25 + 0.625, abs=1e-9)


def test_docwells_own_prices_name_their_day_and_where_they_stand() -> None:
    prices = load_prices()
    assert f"{prices.as_of:%Y-%m}" in prices.name
    assert all(page.startswith("https://aws.amazon.com/") for page in prices.source)
    # A thousand answers that keep a g5.xlarge busy for 2 s each, by hand.
    answer = cost(prices, 2.0, 2.2)
    by_hand = 2 / 3600 * 1.006 + 2.2 * 1769 / 1024 * 0.0000166667 + 0.0000002 + 0.0000035
    assert answer.amount == pytest.approx(by_hand, abs=1e-9)


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(price_file()))
    assert load_prices(path) == ROUND


@pytest.mark.parametrize(("change", "field"), rows("wrong_prices"))
def test_a_wrong_field_is_named_with_its_file(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(price_file(**change)))
    with pytest.raises(SettingsError, match=rf"mine\.json: {field}: "):
        load_prices(path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", None])
def test_what_is_no_price_file_is_said_to_be_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mine.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"mine\.json"):
        load_prices(path)
