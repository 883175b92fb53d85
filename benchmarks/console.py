"""The console in Chromium, on a local stack: size, first paint, a click to its quote, real quotes, large cases.

``python -m benchmarks.console [--n 500]``

Quotes are cut from pages as citations are: random sentences of the text that docwell reads in random PDFs of the
evaluation set. A quote counts as marked when the console marks it on its page.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_plus

from playwright.sync_api import Browser, Page

from benchmarks import console_large as large
from benchmarks.chromium import chromium
from benchmarks.doors import Doors, local_stack
from benchmarks.model_host import MODEL, ModelHost
from benchmarks.pdfs import pdf
from benchmarks.reading import default_reader
from docwell.errors import Refused
from docwell.models import Chunk, Passage
from docwell.query.checking.grounding import cite
from docwell.text.lexicon import segments
from infra.local.stack import Stack
from infra.measuring import Spread
from infra.report import EVALUATION, Report

FOLDERS = ("filings2", "financebench", "mmlongbench", "chunking", "extraction", "xquad")
SEED = 20261127
# The letters of the shortest quote. Answers cite sentences, not page numbers and table cells.
SHORTEST = 30
PAGES, ANSWER_PAGE = 300, 211
QUESTION = "When is the boiler in the cellar inspected?"
QUOTE = "The boiler in the cellar is inspected every March by two engineers of the city."
# Enough for quartiles. Each has a new browser context, with an empty cache.
LOADS, CLICKS = 7, 7
# A file is opened once for several quotes.
_QUOTES_EACH, _PAGES_EACH = 5, 5
WAIT_MS = 60_000
INDEXED_S = 600.0
# A path that the console's policy allows; the browser gets the file from here.
_DRAWN = "/-/drawn/"
# Bytes of all files of the page, with their headers.
_SIZE = """() => performance.getEntriesByType("navigation").concat(performance.getEntriesByType("resource"))
  .filter((one) => !one.name.includes("/v1/")).reduce((sum, one) => sum + one.transferSize, 0)"""
_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
# Milliseconds from the click on the first marker to the marked quote.
_CLICK = """() => new Promise((resolve) => {
  const began = performance.now();
  const seen = new MutationObserver(() => {
    if (!document.querySelector(".quote-box")) return;
    seen.disconnect();
    requestAnimationFrame(() => resolve(performance.now() - began));
  });
  seen.observe(document.body, { childList: true, subtree: true });
  document.querySelector(".answer .marker").click();
})"""
# The boxes that mark a quote in the console's own view of a PDF.
_MARKS = """async ([url, page, quote]) => {
  const { opened, PdfView } = await import("/pdf-view.js");
  const root = document.createElement("div");
  root.className = "pages";
  root.style.cssText = "position: fixed; inset: 0; width: 900px; overflow: auto;";
  document.body.append(root);
  const pdf = await opened(url, url);
  let view;
  const boxes = await new Promise((resolve) => {
    const onFailed = (number) => number === page && resolve(0);
    view = new PdfView(root, pdf, { page, quote, onQuote: resolve, onFailed, label: String });
    view.start();
  });
  view.close();
  root.remove();
  return boxes;
}"""


@dataclass(frozen=True)
class Quote:
    """A quote of a page of a file."""

    path: Path
    page: int
    text: str


def main() -> int:
    """Measure, and write `build/reports/console.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=500, metavar="QUOTES", help="quotes to look for")
    options = parser.parse_args()
    files = [path for folder in FOLDERS for path in sorted((EVALUATION / folder / "pdf").glob("*.pdf"))]
    if not files:
        print(f"no evaluation material in {EVALUATION}: DOCWELL_EVAL names its folder", file=sys.stderr)
        return 2
    report = Report("console")
    quotes = list(quotes_of(files, options.n))
    host = ModelHost(f"{QUOTE[:-1]} [1].")
    with (
        chromium() as browser,
        local_stack(MODEL, host.url, ingest_workers=1, reconcile_every_s=0) as stack,
        Doors(stack, timeout_s=60) as doors,
    ):
        address = f"{stack.gateway}/#key={stack.api_key}"
        version = doors.put("house/long.pdf", _long_pdf())
        _measure_loads(report, browser, address)
        doors.indexed("house/long.pdf", version, INDEXED_S)
        _measure_clicks(report, browser, address)
        with _opened(browser, address) as page:
            lost = [one for one in quotes if not is_marked(page, one)]
        _measure_large_cases(report, browser, address, stack, doors)
    host.close()
    share = 100 * (1 - len(lost) / len(quotes))
    report.add(f"quotes marked on their page, of {len(quotes)}", share, "%", ">= 95")
    for one in lost:
        print(f"not marked: {one.path.parent.parent.name}/{one.path.name} page {one.page}", file=sys.stderr)
    return report.finish()


def _measure_large_cases(report: Report, browser: Browser, address: str, stack: Stack, doors: Doors) -> None:
    body = large.long_pdf(large.LONG_PAGES, large.LONG_PAGE, QUOTE)
    doors.indexed("log/long.pdf", doors.put("log/long.pdf", body), INDEXED_S)
    with _opened(browser, address) as page:
        opened = large.open_page(page, "log/long.pdf", large.LONG_PAGE, QUOTE)
    title = f"page {large.LONG_PAGE:,} of a PDF of {large.LONG_PAGES:,} pages"
    report.add(f"{title} to its marked quote", opened.ms, "ms", "<= 2000")
    report.add(f"{title}: share of the file that is read", 100 * opened.bytes / len(body), "%", "<= 10")
    with large.many_documents(stack, "house/long.pdf", large.DOCUMENTS) as keys, _opened(browser, address) as page:
        page.evaluate("location.hash = '#/documents'")
        page.locator("tbody tr").first.wait_for()
        found = [large.search_ms(page, key.split("/")[1], key) for key in keys[:: len(keys) // LOADS]]
    report.add_spread(f"search in a list of {large.DOCUMENTS} documents", Spread.of(found), "ms", "<= 200")
    with _opened(browser, address) as page:
        grown = large.growth_bytes(page, QUESTION, large.QUESTIONS)
    report.add(f"growth of the heap over {large.QUESTIONS} questions", grown / 1000, "KB", "<= 1000")


def quotes_of(files: Sequence[Path], count: int) -> Iterator[Quote]:
    """Yield up to `count` quotes, a few of each file in random order. Files that docwell refuses have none."""
    chooser, left = random.Random(SEED), count
    for path in chooser.sample(files, len(files)):
        sentences = _sentences(path, chooser)
        for one in chooser.sample(sentences, min(_QUOTES_EACH, len(sentences), left)):
            left -= 1
            yield one
        if not left:
            return


def _sentences(path: Path, chooser: random.Random) -> list[Quote]:
    """Return the longer sentences of a few pages of a file, as citations quote them."""
    reader, found = default_reader(), list[Quote]()
    with suppress(Refused):
        first = chooser.randrange(reader.inspect(path).page_count) + 1
        with closing(reader.pages(path, first, first + _PAGES_EACH - 1)) as pages:
            for page in pages:
                chunk = Chunk(page.text, page.number, 0, len(page.text), 1)
                passage = Passage("id", path.name, "g", "v", chunk, 1.0)
                for start, end in segments(page.text):
                    if sum(map(str.isalnum, page.text[start:end])) >= SHORTEST:
                        found.append(Quote(path, page.number, cite(1, passage, start, end).display_quote))
    return found


def is_marked(page: Page, quote: Quote) -> bool:
    """Return whether the console, open on the page, marks a quote."""
    url = f"{_DRAWN}{quote_plus(str(quote.path))}"
    page.route(f"**{_DRAWN}*", lambda route: route.fulfill(path=quote.path, content_type="application/pdf"))
    boxes: int = page.evaluate(_MARKS, [url, quote.page, quote.text])
    page.unroute(f"**{_DRAWN}*")
    return boxes > 0


def _measure_loads(report: Report, browser: Browser, address: str) -> None:
    paints, size = [], 0
    for _ in range(LOADS):
        with _opened(browser, address) as page:
            paints.append(float(page.evaluate(_PAINT)))
            size = page.evaluate(_SIZE)
    report.add("size of the first view over the wire", size / 1000, "KB")
    report.add_spread("first contentful paint, empty cache", Spread.of(paints), "ms")


def _measure_clicks(report: Report, browser: Browser, address: str) -> None:
    took = []
    for _ in range(CLICKS):
        with _opened(browser, address) as page:
            page.fill("#question", QUESTION)
            page.keyboard.press("Enter")
            page.locator(".answer .marker").first.wait_for()
            took.append(float(page.evaluate(_CLICK)))
    report.add_spread(
        f"click on [1] to its marked quote, PDF of {PAGES} pages, empty cache", Spread.of(took), "ms"
    )


@contextmanager
def _opened(browser: Browser, address: str) -> Iterator[Page]:
    """Open the console with an empty cache during the block."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(address)
    page.locator("#question").wait_for()
    yield page
    context.close()


def _long_pdf() -> bytes:
    pages = [
        f"Page {number} of the log. The pump {number} runs for {number} hours." for number in range(1, PAGES + 1)
    ]
    pages[ANSWER_PAGE - 1] = QUOTE
    return pdf(pages)


if __name__ == "__main__":
    sys.exit(main())
