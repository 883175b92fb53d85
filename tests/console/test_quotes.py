"""The quotes of real pages in the console, on the example PDFs."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote_plus

import pytest
from playwright.sync_api import Page

from benchmarks.reading import default_reader
from docwell.models import Chunk, Passage
from docwell.query.checking.grounding import cite
from docwell.text.lexicon import segments
from infra.report import ROOT
from tests.console.conftest import Console

pytestmark = pytest.mark.e2e
COUNT = 15
# The letters of the shortest quote. Answers cite sentences, not page numbers and table cells.
SHORTEST = 30
# A path that the console's policy allows; the browser gets the file from here.
DRAWN = "/-/drawn/"


def quotes_of(path: Path) -> list[tuple[int, str]]:
    """Return the page and the quote of each longer sentence of a file, as citations quote it."""
    reader, quotes = default_reader(), []
    for page in reader.pages(path, 1, reader.inspect(path).page_count):
        passage = Passage("id", path.name, "g", "v", Chunk(page.text, page.number, 0, len(page.text), 1), 1.0)
        for start, end in segments(page.text):
            if sum(map(str.isalnum, page.text[start:end])) >= SHORTEST:
                quotes.append((page.number, cite(1, passage, start, end).display_quote))
    return quotes


def is_marked(page: Page, path: Path, number: int, quote: str) -> bool:
    """Return whether the console, open on the page, marks a quote on a page of a file."""
    url = f"{DRAWN}{quote_plus(str(path))}"
    page.route(f"**{DRAWN}*", lambda route: route.fulfill(path=path, content_type="application/pdf"))
    boxes: int = page.evaluate("call => checks.marks(...call)", [url, number, quote])
    page.unroute(f"**{DRAWN}*")
    return boxes > 0


def test_the_quotes_of_the_examples_are_marked_on_their_pages_and_made_up_ones_are_not(console: Console) -> None:
    page = console.open()
    page.locator("#question").wait_for()
    for path in sorted((ROOT / "examples").rglob("*.pdf")):
        quotes = quotes_of(path)
        assert len(quotes) >= COUNT // 3
        for number, quote in quotes[:: max(1, len(quotes) * 3 // COUNT)]:
            assert is_marked(page, path, number, quote), (path.name, number, quote)
        assert not is_marked(page, path, quotes[0][0], "Eleven llamas sing in Paris at the weekend.")
