"""Questions in the console: the stream, the answer, its sources, what is not supported, what goes wrong."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from playwright.sync_api import Page, Request, Response, Route, expect

from benchmarks.model_host import Misdeed
from benchmarks.pdfs import pdf
from tests.console.conftest import QUESTION, Console, ask, long_pdf

pytestmark = pytest.mark.e2e


def marked_words(page: Page) -> tuple[str, set[int]]:
    """Return the words under the marks, and their pages."""
    words = page.evaluate("checks.words()")
    return " ".join(word for _, word, marked in words if marked), {on for on, _, marked in words if marked}


def test_a_click_on_a_marker_marks_the_quote_on_its_page(console: Console) -> None:
    page = console.open()
    page.locator("#question").wait_for()
    assert page.url.endswith("/#/ask")  # the key has left the address
    page.fill("#question", QUESTION)
    page.keyboard.press("Enter")
    expect(page.locator(".passages li").first).to_contain_text("boiler.pdf")
    page.locator(".turn .answer").wait_for()
    assert "every March" in page.inner_text(".answer .text")
    assert "tokens" in page.inner_text(".cost")
    page.locator(".answer .marker").first.click()
    page.locator(".source[data-state=marked]").wait_for()
    words, pages = marked_words(page)
    assert words == "The boiler in the cellar is inspected every March by two engineers of the city"
    assert pages == {2}
    expect(page.locator("#source-title")).to_contain_text("page 2 of 3")
    expect(page.locator(".quote-box").first).to_be_in_viewport()


def test_a_link_of_another_program_opens_its_quote_and_a_forged_one_is_told(console: Console) -> None:
    body = {"model": "docwell/house", "messages": [{"role": "user", "content": QUESTION}]}
    headers = {"authorization": f"Bearer {console.stack.api_key}"}
    answer = httpx.post(
        f"{console.stack.gateway}/v1/chat/completions", json=body, headers=headers, timeout=60, trust_env=False
    )
    link = answer.json()["choices"][0]["message"]["annotations"][0]["url_citation"]["url"]
    address, _, view = link.partition("/#")
    assert address == console.stack.gateway
    page = console.open(f"key={console.stack.api_key}&view={quote(view, safe='')}")
    page.locator(".source[data-state=marked]").wait_for()
    assert marked_words(page)[1] == {2}
    forged = f"/source?document=house%2Fboiler.pdf&page=2&place=forged&quote={quote('It is never inspected.')}"
    page.evaluate("view => { location.hash = view; }", forged)
    expect(page.locator(".source .foreign")).to_contain_text("This text is not in the document")
    assert not {"never", "forged"}.intersection(page.inner_text(".source").split())


def test_a_source_says_that_its_document_was_replaced_after_the_answer(console: Console) -> None:
    key = "lake/depth.pdf"
    console.doors.indexed(key, console.doors.put(key, pdf(["The lake is forty metres deep."])), 60)
    console.host.say("The lake is forty metres deep [1].")
    page = console.open()
    ask(page, "How deep is the lake?")
    console.doors.indexed(key, console.doors.put(key, pdf(["The lake is thirty metres deep."])), 60)
    page.locator(".answer .marker").first.click()
    expect(page.locator(".source")).to_contain_text("The document was replaced after this answer.")
    expect(page.locator(".source blockquote")).to_contain_text("forty")
    expect(page.locator(".source")).to_contain_text("The place of this quote on the page was not found.")


def test_a_sentence_without_support_is_marked_and_the_others_are_not(console: Console) -> None:
    console.host.say("The boiler in the cellar is inspected every March [1]. Eleven llamas sing in Paris [1].")
    page = console.open()
    ask(page)
    assert page.locator(".answer mark").all_inner_texts() == ["Eleven llamas sing in Paris."]
    page.locator(".doubt summary").click()
    expect(page.locator(".doubt li")).to_contain_text("The sources do not contain: ")


def test_a_refusal_names_the_searched_collections(console: Console) -> None:
    console.host.say("NOT FOUND")
    page = console.open()
    ask(page, "Which opera did Rossini write in 1816?")
    expect(page.locator(".looked")).to_contain_text("Searched all collections.")
    assert page.locator(".answer mark").count() == 0


def test_a_withdrawn_answer_says_so_and_gives_the_nearest_text_in_the_readers_language(console: Console) -> None:
    console.host.say("Zora Quill of Lisbon paid 91 euros [1].")
    page = console.open(locale="de-DE")
    ask(page)
    answer = page.locator(".answer[data-status=refused]")
    expect(answer).to_contain_text("Der Text des Modells ist zurückgezogen")
    expect(answer).to_contain_text(
        "Der nächstliegende Text sagt: The boiler in the cellar is inspected every March"
    )
    assert page.locator(".looked").count() == 0
    page.locator(".answer .marker").first.click()
    page.locator(".source[data-state=marked]").wait_for()


def test_a_follow_up_sends_the_conversation_and_a_new_one_forgets_it(console: Console) -> None:
    page = console.open()
    sent: list[Any] = []

    def keep(request: Request) -> None:
        if request.url.endswith("/v1/query"):
            sent.append(request.post_data_json)

    page.on("request", keep)
    ask(page)
    ask(page, "And by whom is it inspected?")
    page.get_by_role("button", name="New conversation").click()
    ask(page)
    assert [[turn["question"] for turn in body["history"]] for body in sent] == [[], [QUESTION], []]


def test_a_stopped_question_ends_at_once_and_the_next_one_is_answered(console: Console) -> None:
    console.host.behave(Misdeed.STALL)
    page = console.open()
    page.fill("#question", QUESTION)
    page.keyboard.press("Enter")
    page.locator(".turn .text").wait_for()
    expect(page.locator(".passages .likely")).to_be_visible()  # while the answer is written too
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".turn")).to_contain_text("Stopped.")
    console.host.behave(Misdeed.NONE)
    expect(page.locator("#question")).to_have_value(QUESTION)
    page.keyboard.press("Enter")
    page.locator(".turn .answer").wait_for()


def test_a_missing_server_is_named_and_the_question_can_be_asked_again(console: Console) -> None:
    page = console.open()
    page.locator("#question").wait_for()
    page.wait_for_load_state("networkidle")  # the list of documents clears the message
    page.context.set_offline(offline=True)
    page.fill("#question", QUESTION)
    page.keyboard.press("Enter")
    for failure in (".turn .failure", "main > .failure"):
        expect(page.locator(failure)).to_contain_text("The server does not answer.")
    page.context.set_offline(offline=False)
    expect(page.locator("#question")).to_have_value(QUESTION)
    page.keyboard.press("Enter")
    page.locator(".turn .answer").wait_for()
    expect(page.locator("main > .failure")).to_have_count(0)


def test_markup_in_a_document_is_text_in_every_view(console: Console) -> None:
    hostile = "<img src=x onerror=document.title='hit'>"
    key = f"house/{hostile}.pdf"
    console.doors.indexed(key, console.doors.put(key, pdf([f"The pump {hostile} is red."])), 60)
    console.host.say(f"The pump {hostile} is red [1].")
    page = console.open()
    ask(page, "Which colour is the pump?")
    expect(page.locator(".turn")).to_contain_text("<img")
    page.locator(".citation").first.click()
    page.locator(".source:not([data-state=loading])").wait_for()
    page.evaluate("location.hash = '#/documents/house'")
    expect(page.locator("tbody")).to_contain_text(hostile)
    assert page.locator("img").count() == 0
    assert page.title() == "docwell"
    console.stack.client("s3").delete_object(Bucket=console.stack.bucket, Key=key)


def test_a_page_that_is_not_drawn_shows_its_text_with_the_quote(console: Console) -> None:
    page = console.open()
    ask(page)
    page.route("**/pdf.min.mjs", lambda route: route.abort())
    page.locator(".answer .marker").first.click()
    page.locator(".source[data-state=failed]").wait_for()
    expect(page.locator(".source")).to_contain_text("The page cannot be drawn")
    text = page.get_by_role("group", name="Text of the page")
    expect(text.locator("mark")).to_contain_text("The boiler in the cellar is inspected every March")
    expect(text).to_contain_text("A sticker shows the date.")


def test_a_receipt_shows_the_answer_and_takes_a_verdict(console: Console) -> None:
    page = console.open()
    ask(page)
    page.get_by_role("button", name="Good").click()
    expect(page.locator(".tools")).to_contain_text("Saved with the receipt.")
    page.get_by_role("link", name="Receipt").click()
    # The view of questions has the same button, and stays until the receipt's view is drawn.
    good = page.locator("section.page").get_by_role("button", name="Good")
    expect(good).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Comment").fill("<b>It is</b> in March")
    page.keyboard.press("Enter")
    expect(page.locator(".tools")).to_contain_text("Saved with the receipt.")
    page.reload()
    expect(page.get_by_label("Comment")).to_have_value("<b>It is</b> in March")
    assert page.inner_text(".question") == QUESTION
    page.get_by_role("button", name="Ask again and compare").click()
    expect(page.locator("main")).to_contain_text("The new answer is the same.")


def test_a_pdf_whose_link_has_expired_is_read_on_with_a_new_link(console: Console) -> None:
    # A page is longer than a range, so that no page comes with another.
    body = long_pdf(6, 300_000, {})
    console.doors.indexed("mill/log.pdf", console.doors.put("mill/log.pdf", body), 60)
    page = console.open()
    page.locator("#question").wait_for()
    links: set[str] = set()
    expired: set[str] = set()

    def answer(route: Route) -> None:
        links.add(route.request.url)
        route.fulfill(status=403) if route.request.url in expired else route.continue_()

    page.route("**/-/s3/**", answer)
    page.evaluate("location.hash = '#/source?document=mill%2Flog.pdf&page=1'")
    expect(page.locator('.sheet[data-page="1"] .textLayer')).to_contain_text("page 1")
    expired |= links
    page.wait_for_timeout(1_100)  # a link is signed to the second, so a link of the same second would be equal
    page.evaluate("{ const now = Date.now; Date.now = () => now() + 600_000; }")
    page.evaluate("document.querySelector('.pages').scrollTop = 1e6")
    expect(page.locator('.sheet[data-page="6"] .textLayer')).to_contain_text("page 6")
    assert links > expired


def test_a_late_page_of_a_long_pdf_opens_without_the_pages_before_it(console: Console) -> None:
    text = "The mill has nine wheels of oak and one of iron."
    body = long_pdf(200, 8_000, {150: text})
    console.doors.indexed("log/long.pdf", console.doors.put("log/long.pdf", body), 120)
    page = console.open()
    page.locator("#question").wait_for()
    read: list[Response] = []
    page.on("response", lambda response: read.append(response) if "/-/s3/" in response.url else None)
    address = urlencode({"document": "log/long.pdf", "page": 150, "quote": text})
    page.evaluate("address => { location.hash = address; }", f"#/source?{address}")
    page.locator(".source[data-state=marked]").wait_for()
    # pdf.js aborts its first request, for the whole file, once it knows that the server supports ranges.
    parts = [response for response in read if response.status == 206] or read
    assert 0 < sum(int(response.headers.get("content-length", 0)) for response in parts) < len(body) / 2
    assert page.locator(".sheet canvas").count() < 10  # the other pages are not drawn
