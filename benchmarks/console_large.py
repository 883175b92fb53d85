"""Large cases of the console: many documents, a long PDF, many questions, a stream that is cut off.

`make bench-console` runs them in full, the console's tests in a short form.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import CDPSession, Page, Response, Route

from benchmarks.pdfs import text_content
from benchmarks.poison import build
from infra.local.names import LEDGER_TABLE
from infra.local.stack import Stack

DOCUMENTS = 500
LONG_PAGES, LONG_PAGE = 2000, 1500
QUESTIONS = 200
# The questions of one conversation: the page keeps its turns until a new one begins.
TURNS = 10
# The collection of the documents that have a row and no object.
MANY = "many"
# As Word and LaTeX write them, in a tree: a flat list of pages has to be read to its end.
_KIDS = 40
# Bytes of each page that no text shows, like its pictures. They do not compress.
_PICTURE = 8_000
# DynamoDB's most for one call.
_BATCH = 25
# The cost of the first questions is that of code and caches.
_WARM = TURNS


@contextmanager
def many_documents(stack: Stack, like: str, count: int) -> Iterator[list[str]]:
    """Give the ledger `count` rows as that of the document `like` during the block; yield their keys."""
    database = stack.client("dynamodb")
    name = {":document": {"S": like}}
    found = database.query(
        TableName=LEDGER_TABLE, KeyConditionExpression="document = :document", ExpressionAttributeValues=name
    )
    row = found["Items"][0]
    keys = [f"{MANY}/report {number:04}.pdf" for number in range(count)]
    rows = [row | {"document": {"S": key}, "collection": {"S": MANY}} for key in keys]

    def write(requests: list[dict[str, Any]]) -> None:
        for start in range(0, len(requests), _BATCH):
            database.batch_write_item(RequestItems={LEDGER_TABLE: requests[start : start + _BATCH]})

    write([{"PutRequest": {"Item": one}} for one in rows])
    try:
        yield keys
    finally:
        place = ("document", "pipeline")
        write([{"DeleteRequest": {"Key": {part: one[part] for part in place}}} for one in rows])


def search_ms(page: Page, words: str, key: str) -> float:
    """Return the time from typing `words` into the list of documents to the row of `key` as the only one."""
    found: float = page.evaluate(
        """([words, key]) => new Promise((resolve) => {
          const field = document.querySelector("input[type=search]");
          const began = performance.now();
          const look = () => {
            const rows = document.querySelectorAll("tbody tr");
            const only = rows.length === 1 && rows[0].dataset.document === key;
            if (only) resolve(performance.now() - began);
            else requestAnimationFrame(look);
          };
          field.value = words;
          field.dispatchEvent(new Event("input", { bubbles: true }));
          look();
        })""",
        [words, key],
    )
    return found


def long_pdf(pages: int, page: int, quote: str) -> bytes:
    """Return a PDF of many pages with pictures, in a tree; `quote` is the text of a page."""
    nodes = -(-pages // _KIDS)
    first, font = 3 + nodes, 3 + nodes + 2 * pages
    sheets = range(first, font, 2)
    objects = [_node(range(3, first), pages, b"")]
    for start in range(0, pages, _KIDS):
        kids = sheets[start : start + _KIDS]
        objects.append(_node(kids, len(kids), b"/Parent 2 0 R"))
    for number in range(pages):
        sheet = (
            b"<</Type/Page/Parent %d 0 R/MediaBox[0 0 595 842]/Contents %d 0 R/Resources<</Font<</F1 %d 0 R>>>>>>"
        )
        objects.append(sheet % (3 + number // _KIDS, first + 2 * number + 1, font))
        text = quote if number + 1 == page else f"This is page {number + 1} of the log."
        objects.append(build.stream(text_content(text) + b"\n%" + os.urandom(_PICTURE // 2).hex().encode()))
    objects.append(b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>")
    return build.pdf(objects)


def _node(kids: range, count: int, parent: bytes) -> bytes:
    return b"<</Type/Pages%b/Count %d/Kids[%b]>>" % (parent, count, b" ".join(b"%d 0 R" % kid for kid in kids))


@dataclass(frozen=True)
class Opened:
    """The cost of a page of a PDF: milliseconds to its marked quote, and bytes read of the file."""

    ms: float
    bytes: int


def open_page(page: Page, document: str, number: int, quote: str) -> Opened:
    """Open a page of a document in the console, by its address."""
    read: list[Response] = []
    page.on("response", lambda response: read.append(response) if "/-/s3/" in response.url else None)
    began = time.perf_counter()
    address = urlencode({"document": document, "page": number, "quote": quote})
    page.evaluate("address => { location.hash = address; }", f"#/source?{address}")
    page.locator(".source[data-state=marked]").wait_for()
    took = 1000 * (time.perf_counter() - began)
    # pdf.js breaks off its first request, for the whole file, once it knows that the server takes ranges.
    parts = [one for one in read if one.status == HTTPStatus.PARTIAL_CONTENT] or read
    return Opened(took, sum(int(one.headers.get("content-length", 0)) for one in parts))


def _heap_bytes(session: CDPSession) -> float:
    """Return the bytes of the page's JavaScript objects after a garbage collection."""
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"])


def growth_bytes(page: Page, question: str, questions: int) -> float:
    """Return by how much the page's objects grew over questions in conversations, after the first few."""
    session = page.context.new_cdp_session(page)
    before = 0.0
    for number in range(_WARM + questions):
        if number == _WARM:
            before = _heap_bytes(session)
        page.fill("#question", question)
        page.keyboard.press("Enter")
        page.locator(".turn .answer").nth(number % TURNS).wait_for()
        page.locator(".ask form button.main").wait_for()
        if number % TURNS == TURNS - 1:
            page.locator(".ask form button.quiet").last.click()  # a new conversation
            page.locator(".turn").first.wait_for(state="detached")
    return _heap_bytes(session) - before


def cut_off(route: Route) -> None:
    """Answer a question's stream without its last event, as a connection that breaks."""
    response = route.fetch()
    route.fulfill(response=response, body=response.text().split("event: answer")[0])
