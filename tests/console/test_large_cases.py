"""Many documents, a long PDF, many questions and broken connections: short forms of `make bench-console`."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from benchmarks import console_large as large
from tests.console.conftest import BOILER, QUESTION, SAYS, Console, ask
from tests.console.test_access import violations

pytestmark = pytest.mark.e2e

# Of the short forms.
PAGES, PAGE = 200, 150
QUESTIONS = 10
LISTINGS = 5
QUOTE = "The mill has nine wheels of oak and one of iron."
# A leak of the passages and elements of a turn would hold more than this.
GROWTH_BYTES = 20_000


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
    with large.many_documents(console.stack, BOILER, large.DOCUMENTS) as keys:
        page = console.open()
        page.get_by_role("link", name="Documents").click()
        show_list(page)
        expect(page.get_by_role("status").last).to_contain_text(" of 5")
        rows = page.locator("tbody tr")
        assert rows.count() == 100
        page.get_by_role("button", name="Show more").click()
        expect(rows).to_have_count(200)
        assert violations(page) == []
        assert large.search_ms(page, "report 0499", keys[-1]) < 1000
        page.fill("input[type=search]", "")
        page.select_option(".filters select", large.MANY)
        expect(page.get_by_role("status").last).to_contain_text(f"{large.DOCUMENTS} of ")


def test_a_late_page_of_a_long_pdf_opens_without_the_pages_before_it(console: Console) -> None:
    body = large.long_pdf(PAGES, PAGE, QUOTE)
    console.doors.indexed("log/long.pdf", console.doors.put("log/long.pdf", body), 120)
    page = console.open()
    page.locator("#question").wait_for()
    opened = large.open_page(page, "log/long.pdf", PAGE, QUOTE)
    assert 0 < opened.bytes < len(body) / 2
    assert page.locator(".sheet canvas").count() < 10  # the other pages are not drawn


def test_questions_leave_nothing_in_memory_when_a_new_conversation_begins(console: Console) -> None:
    console.host.say(SAYS, pace_s=0)
    page = console.open()
    page.locator("#question").wait_for()
    assert large.growth_bytes(page, QUESTION, QUESTIONS) < QUESTIONS * GROWTH_BYTES


def test_a_stream_that_is_cut_off_is_named_and_the_question_can_be_asked_again(console: Console) -> None:
    page = console.open()
    page.locator("#question").wait_for()
    page.route("**/v1/query", large.cut_off)
    page.fill("#question", QUESTION)
    page.keyboard.press("Enter")
    expect(page.locator(".turn .failure")).to_contain_text("The answer was cut off. Ask again.")
    page.unroute("**/v1/query")
    page.fill("#question", QUESTION)
    page.keyboard.press("Enter")
    page.locator(".turn .answer").wait_for()


def test_documents_are_followed_on_when_the_server_is_back(console: Console) -> None:
    page = console.open()
    ask(page)
    page.get_by_role("link", name="Documents").click()
    page.locator(f'tr[data-document="{BOILER}"]').wait_for()
    page.context.set_offline(offline=True)
    page.get_by_role("button", name="Reload").click()
    expect(page.locator("main .failure")).to_contain_text("The server does not answer.")
    expect(page.locator(f'tr[data-document="{BOILER}"]')).to_be_visible()
    page.context.set_offline(offline=False)
    page.get_by_role("button", name="Reload").click()
    expect(page.locator("main .failure")).to_have_count(0)
