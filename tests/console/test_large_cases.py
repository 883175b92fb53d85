"""Many documents, a long PDF and broken connections."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, Response, Route, expect

from tests.console.conftest import QUESTION, Console, long_pdf
from tests.console.test_access import violations

pytestmark = pytest.mark.e2e

DOCUMENTS = 500
PAGES, PAGE = 200, 150
QUOTE = "The mill has nine wheels of oak and one of iron."
MANY = "many"


def bytes_to_open(page: Page, document: str, number: int, quote: str) -> int:
    """Open a page of a document in the console, by its address; return the bytes read of the file."""
    read: list[Response] = []
    page.on("response", lambda response: read.append(response) if "/-/s3/" in response.url else None)
    address = urlencode({"document": document, "page": number, "quote": quote})
    page.evaluate("address => { location.hash = address; }", f"#/source?{address}")
    page.locator(".source[data-state=marked]").wait_for()
    # pdf.js aborts its first request, for the whole file, once it knows that the server supports ranges.
    parts = [response for response in read if response.status == HTTPStatus.PARTIAL_CONTENT] or read
    return sum(int(response.headers.get("content-length", 0)) for response in parts)


def cut_off(route: Route) -> None:
    """Answer a question's stream without its last event, as a broken connection does."""
    response = route.fetch()
    route.fulfill(response=response, body=response.text().split("event: answer")[0])


def test_a_list_of_500_documents_is_drawn_in_parts_and_searched_whole(console: Console) -> None:
    keys = [f"{MANY}/report {number:04}.pdf" for number in range(DOCUMENTS)]
    listed = [{"document": key, "collection": MANY, "status": "INDEXED"} for key in keys]
    page = console.open("ask")
    page.route("**/v1/documents?*", lambda route: route.fulfill(json={"documents": listed}))
    page.fill("#key", console.stack.api_key)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Documents").click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(100)
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
    body = long_pdf(PAGES, 8_000, {PAGE: QUOTE})
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
