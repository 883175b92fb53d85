"""An amount in a currency that neither the passage nor the question has is marked."""

from __future__ import annotations

import pytest

from tests.unit.query.checking.test_sheet_rows import passes

FEES = "Fees include tax.\nTest: Urine | Fee: 52\nTest: Iron | Fee: 64"
PROSE = "The urine test costs {} and takes three days. The iron test has no fee."
QUESTION = "What does the urine test cost?"


@pytest.mark.parametrize("currency", ["pounds", "crowns", "euros", "dollars", "francs", "yen", "rupees"])
def test_a_currency_that_nothing_says_is_marked(currency: str) -> None:
    assert not passes(QUESTION, f"The urine test costs 52 {currency} [1].", FEES)
    assert passes(
        f"What does the urine test cost in {currency}?", f"The urine test costs 52 {currency} [1].", FEES
    )


def test_an_amount_without_a_currency_is_not_marked() -> None:
    assert passes(QUESTION, "The urine test costs 52 [1].", FEES)


@pytest.mark.parametrize("sign", ["$", "\u20ac", "\u00a3"])
def test_a_sign_that_nothing_says_is_marked(sign: str) -> None:
    assert not passes(QUESTION, f"The urine test costs {sign}52 [1].", FEES)


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        ("$52", "52 dollars"),
        ("52 dollars", "$52"),
        ("EUR 52", "52 euros"),
        ("52 \u20ac", "52 euros"),
        ("\u00a352", "52 pounds"),
        ("52 francs", "52 Swiss francs"),
        ("CHF 52", "52 francs"),
        ("52 kr", "52 kronor"),
        ("\u20b952", "52 rupees"),
    ],
)
def test_a_currency_counts_in_another_form(said: str, answered: str) -> None:
    assert passes(QUESTION, f"The urine test costs {answered} [1].", PROSE.format(said))


@pytest.mark.parametrize("answered", ["52 litres", "52 visits", "52 pounds of apples"])
def test_another_unit_is_no_currency(answered: str) -> None:
    text = PROSE.format("an hour") + " The ward bought 52 litres, made 52 visits and ate 52 pounds of apples."
    assert passes("What did the ward buy, make and eat?", f"The ward had {answered} [1].", text)
