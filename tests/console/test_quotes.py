"""The quotes of real pages in the console: a short form of `make bench-console`, on the example PDFs."""

from __future__ import annotations

import pytest

from benchmarks.console import Quote, is_marked, quotes_of
from infra.report import ROOT
from tests.console.conftest import Console

pytestmark = pytest.mark.e2e
COUNT = 15


def test_the_quotes_of_the_examples_are_marked_on_their_pages_and_made_up_ones_are_not(console: Console) -> None:
    page = console.open()
    page.locator("#question").wait_for()
    quotes = list(quotes_of(sorted((ROOT / "examples").rglob("*.pdf")), COUNT))
    assert len(quotes) == COUNT
    assert [one for one in quotes if not is_marked(page, one)] == []
    made_up = Quote(quotes[0].path, quotes[0].page, "Eleven llamas sing in Paris at the weekend.")
    assert not is_marked(page, made_up)
