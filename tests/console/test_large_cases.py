"""Many documents, a long PDF and broken connections."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, Response, Route, expect

from benchmarks.pdfs import text_content
from benchmarks.poison import build
from infra.local.names import LEDGER_TABLE
from infra.local.stack import Stack
from tests.console.conftest import BOILER, QUESTION, Console
from tests.console.test_access import violations

pytestmark = pytest.mark.e2e

DOCUMENTS = 500
PAGES, PAGE = 200, 150
LISTINGS = 5
QUOTE = "The mill has nine wheels of oak and one of iron."
# The collection of the documents that have a row and no object.
MANY = "many"
# As Word and LaTeX write them, in a tree: a flat list of pages has to be read to its end.
KIDS = 40
# Bytes of each page that no text shows, like its pictures. They do not compress.
PICTURE = 8_000
# DynamoDB's most for one call.
BATCH = 25


@contextmanager
def many_documents(stack: Stack, like: str, count: int) -> Iterator[list[str]]:
    """Give the ledger `count` rows as that of the document `like` during the block; yield their keys."""
    database = stack.client("dynamodb")
    name = {":document": {"S": like}}
    answer = database.query(
        TableName=LEDGER_TABLE, KeyConditionExpression="document = :document", ExpressionAttributeValues=name
    )
    row = answer["Items"][0]
    keys = [f"{MANY}/report {number:04}.pdf" for number in range(count)]
    rows = [row | {"document": {"S": key}, "collection": {"S": MANY}} for key in keys]

    def write(requests: list[dict[str, Any]]) -> None:
        for start in range(0, len(requests), BATCH):
            database.batch_write_item(RequestItems={LEDGER_TABLE: requests[start : start + BATCH]})

    write([{"PutRequest": {"Item": row}} for row in rows])
    try:
        yield keys
    finally:
        place = ("document", "pipeline")
        write([{"DeleteRequest": {"Key": {part: row[part] for part in place}}} for row in rows])


def long_pdf(pages: int, page: int, quote: str) -> bytes:
    """Return a PDF of many pages with pictures, in a tree; `quote` is the text of a page."""
    nodes = -(-pages // KIDS)
    first, font = 3 + nodes, 3 + nodes + 2 * pages
    sheets = range(first, font, 2)
    objects = [_node(range(3, first), pages, b"")]
    for start in range(0, pages, KIDS):
        kids = sheets[start : start + KIDS]
        objects.append(_node(kids, len(kids), b"/Parent 2 0 R"))
    for number in range(pages):
        sheet = (
            b"<</Type/Page/Parent %d 0 R/MediaBox[0 0 595 842]/Contents %d 0 R/Resources<</Font<</F1 %d 0 R>>>>>>"
        )
        objects.append(sheet % (3 + number // KIDS, first + 2 * number + 1, font))
        text = quote if number + 1 == page else f"This is page {number + 1} of the log."
        objects.append(build.stream(text_content(text) + b"\n%" + os.urandom(PICTURE // 2).hex().encode()))
    objects.append(b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>")
    return build.pdf(objects)


def _node(kids: range, count: int, parent: bytes) -> bytes:
    return b"<</Type/Pages%b/Count %d/Kids[%b]>>" % (parent, count, b" ".join(b"%d 0 R" % kid for kid in kids))


def bytes_to_open(page: Page, document: str, number: int, quote: str) -> int:
    """Open a page of a document in the console, by its address; return the bytes read of the file."""
    read: list[Response] = []
    page.on("response", lambda response: read.append(response) if "/-/s3/" in response.url else None)
    address = urlencode({"document": document, "page": number, "quote": quote})
    page.evaluate("address => { location.hash = address; }", f"#/source?{address}")
    page.locator(".source[data-state=marked]").wait_for()
    # pdf.js breaks off its first request, for the whole file, once it knows that the server takes ranges.
    parts = [response for response in read if response.status == HTTPStatus.PARTIAL_CONTENT] or read
    return sum(int(response.headers.get("content-length", 0)) for response in parts)


def cut_off(route: Route) -> None:
    """Answer a question's stream without its last event, as a connection that breaks."""
    response = route.fetch()
    route.fulfill(response=response, body=response.text().split("event: answer")[0])


def show_list(page: Page) -> None:
    """Show the documents. Where moto needs longer for so many rows than the function waits, try again."""
    for _ in range(LISTINGS):
        page.locator("main .failure, tbody tr").first.wait_for()
        if page.locator("tbody tr").count():
            return
        with page.expect_response("**/v1/documents?*"):
            page.get_by_role("button", name="Reload").click()
        page.wait_for_timeout(500)  # the page draws the answer


def test_a_list_of_500_documents_is_drawn_in_parts_and_searched_whole(console: Console) -> None:
    with many_documents(console.stack, BOILER, DOCUMENTS) as keys:
        page = console.open()
        page.get_by_role("link", name="Documents").click()
        show_list(page)
        expect(page.get_by_role("status").last).to_contain_text(" of 5")
        rows = page.locator("tbody tr")
        assert rows.count() == 100
        page.get_by_role("button", name="Show more").click()
        expect(rows).to_have_count(200)
        assert violations(page) == []
        page.fill("input[type=search]", "report 0499")
        expect(rows).to_have_count(1)
        expect(rows).to_have_attribute("data-document", keys[-1])
        page.fill("input[type=search]", "")
        page.select_option(".filters select", MANY)
        expect(page.get_by_role("status").last).to_contain_text(f"{DOCUMENTS} of ")


def test_a_late_page_of_a_long_pdf_opens_without_the_pages_before_it(console: Console) -> None:
    body = long_pdf(PAGES, PAGE, QUOTE)
    console.doors.indexed("log/long.pdf", console.doors.put("log/long.pdf", body), 120)
    page = console.open()
    page.locator("#question").wait_for()
    assert 0 < bytes_to_open(page, "log/long.pdf", PAGE, QUOTE) < len(body) / 2
    assert page.locator(".sheet canvas").count() < 10  # the other pages are not drawn


def test_a_stream_that_is_cut_off_is_named_and_the_question_can_be_asked_again(console: Console) -> None:
    page = console.open()
    page.locator("#question").wait_for()
    page.route("**/v1/query", cut_off)
    page.fill("#question", QUESTION)
    page.keyboard.press("Enter")
    expect(page.locator(".turn .failure")).to_contain_text("The answer was cut off. Ask again.")
    page.unroute("**/v1/query")
    page.fill("#question", QUESTION)
    page.keyboard.press("Enter")
    page.locator(".turn .answer").wait_for()
