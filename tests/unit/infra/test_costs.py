"""`make costs` counts every resource of the templates, and the page shows what it prints."""

from __future__ import annotations

import runpy
from typing import Any

import pytest

from infra.container.sam import ROOT
from tests.unit.infra.templates import TEMPLATES, content


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "costs"))


def test_each_type_of_resource_has_a_price_or_is_named_as_one_without(script: dict[str, Any]) -> None:
    bill = script["BILL"]
    named = [*bill["by_facts"], *bill["by_use"], *bill["free"], *{row["of"] for row in bill["row"] if "of" in row}]
    roots = (path for path in TEMPLATES if path.stem != "key")  # deployed apart
    types = {part["Type"] for path in roots for part in content(path)["Resources"].values()}
    assert sorted(named) == sorted(types)


def test_a_row_is_a_number_of_resources_times_facts_times_a_price(script: dict[str, Any]) -> None:
    hour = script["PRICES"]["endpoint"]["amount"]
    for network, zones in (("one-zone", 1), ("two-zones", 2), ("none", 0)):
        parts = script["costs"]("small", {"Network": network})
        assert parts["interface endpoints"] == pytest.approx(2 * zones * 730 * hour)
    # Twelve hours on five days of the week.
    assert script["costs"]("team", {"OllamaInstance": "g5.xlarge,1.4"})["model hosts"] == pytest.approx(365)


def test_the_page_has_what_the_command_prints(script: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs/operate/deploy.md").read_text()
    script["main"]([])
    assert capsys.readouterr().out in page
    for profile in ("small", "team", "large", "staging"):
        assert f"| `{profile}` | {sum(script['costs'](profile, {}).values()):,.0f} |" in page
    assert f"costs {sum(script['costs']('small', {}).values()):,.0f} USD" in (ROOT / "README.md").read_text()
