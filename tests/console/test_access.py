"""Access to the console by keyboard and on a narrow screen, its callers, and its content security policy."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from benchmarks.model_host import Misdeed
from docwell.adapters.dynamodb.principals import Grant
from tests.console.conftest import BOILER, PAGES, QUESTION, Console, ask

pytestmark = pytest.mark.e2e

THREE_PAGES = " ".join(sentence + " [1]." for page in PAGES for sentence in page.rstrip(".").split(". "))


def with_every_part(console: Console, **options: Any) -> Page:
    """Return a page with an answer that has each kind of part, and its source."""
    console.host.say("The boiler in the cellar is inspected every March [1]. Eleven llamas sing in Paris [1].")
    page = console.open(**options)
    ask(page)
    page.locator(".answer .marker").first.click()
    page.locator(".source[data-state=marked]").wait_for()
    return page


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus."""
    page.locator(selector).first.wait_for()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"the keyboard does not reach {selector}")


def violations(page: Page) -> list[str]:
    barriers = Axe().run(page).response["violations"]
    return [f"{barrier['id']}: {node['html'][:200]}" for barrier in barriers for node in barrier["nodes"]]


def test_everything_can_be_done_with_the_keyboard(console: Console) -> None:
    page = console.open()
    page.locator("#question").wait_for()
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    page.locator(".answer").wait_for()
    tab_to(page, ".marker")
    page.keyboard.press("Enter")
    page.locator(".source[data-state=marked]").wait_for()
    expect(page.locator("#source-title")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".source")).to_have_count(0)
    expect(page.locator(".marker").first).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#question")).to_be_focused()
    tab_to(page, 'nav a[href="#/documents"]')
    page.keyboard.press("Enter")
    expect(page.locator("#documents-title")).to_be_focused()
    tab_to(page, ".folder")
    page.keyboard.press("Enter")
    page.locator("tr[data-document]").first.wait_for()
    tab_to(page, "tbody .danger")
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("tbody .danger").first).to_be_focused()


def test_arrows_lead_through_the_sources(console: Console) -> None:
    console.host.say(THREE_PAGES)
    page = console.open()
    ask(page)
    cards = page.locator(".citations button")
    cards.first.focus()
    for key, place in (("ArrowRight", 1), ("ArrowDown", 2), ("ArrowLeft", 1), ("Home", 0), ("End", 2)):
        page.keyboard.press(key)
        expect(cards.nth(place)).to_be_focused()
    page.keyboard.press("Enter")
    for key, number in (("ArrowLeft", 2), ("ArrowLeft", 1), ("ArrowLeft", 1), ("ArrowRight", 2)):
        page.locator(".source[data-state=marked]").wait_for()
        page.keyboard.press(key)
        expect(page.locator(".steps")).to_contain_text(f"{number} / 3")
    page.keyboard.press("Escape")
    expect(cards.nth(2)).to_be_focused()


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_moves_while_an_answer_and_its_sources_come(console: Console, width: int) -> None:
    console.host.say(THREE_PAGES)
    page = console.open(viewport={"width": width, "height": 800})
    page.locator(".examples").wait_for()
    page.fill("#question", "Who inspects the boiler?")
    page.wait_for_load_state("networkidle")  # the start page may shift until its list is there
    page.evaluate("shifts.length = 0")
    page.keyboard.press("Enter")
    page.locator(".citations").wait_for()
    page.wait_for_timeout(300)
    assert page.evaluate("shifts") == []
    page.locator(".question").evaluate("line => { line.style.marginTop = '9em' }")
    page.evaluate("checks.until(() => shifts.length)")  # the page counts them


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_a_wait_has_no_barrier_and_moves_only_where_the_reader_likes_it(console: Console, motion: Any) -> None:
    console.host.behave(Misdeed.STALL)
    page = console.open(reduced_motion=motion)
    page.locator(".examples").wait_for()
    assert violations(page) == []
    page.fill("#question", QUESTION)
    page.keyboard.press("Enter")
    page.locator(".turn .seconds").wait_for()
    assert bool(page.evaluate("document.getAnimations().length")) == (motion == "no-preference")
    assert violations(page) == []


def test_back_on_a_narrow_screen_closes_the_source_and_keeps_the_conversation(console: Console) -> None:
    page = console.open(viewport={"width": 400, "height": 800})
    ask(page)
    for leave in (page.go_back, lambda: page.get_by_role("button", name="Close the source").click()):
        page.locator(".answer .marker").first.click()
        page.locator(".source[data-state=marked]").wait_for()
        leave()
        expect(page.locator(".source")).to_have_count(0)
        expect(page.locator(".answer .marker").first).to_be_focused()
        assert page.url.endswith("#/ask")


def test_the_policy_blocks_inline_code_and_other_addresses(console: Console) -> None:
    page = console.open()
    page.locator("#question").wait_for()
    page.evaluate("window.expected = true")  # the fixture then accepts the errors
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.body.append(script);
          fetch("http://127.0.0.1:9/").catch(() => {});
          setTimeout("window.ran = true");
        }"""
    )
    page.evaluate("checks.until(() => blocked.length >= 3)")
    assert page.evaluate("window.ran") is None
    assert set(page.evaluate("window.blocked")) == {
        "script-src-elem inline",
        "script-src eval",
        "connect-src http://127.0.0.1:9/",
    }


@pytest.mark.parametrize("view", ["#/receipt/unknown", "#/source?document=house%2Fboiler.pdf", "#/documents"])
def test_a_key_that_ends_leads_to_the_form_for_another_in_each_view(console: Console, view: str) -> None:
    row = {"document": BOILER, "collection": "house", "status": "PENDING", "version": "v2"}
    page = console.open("ask")
    page.route("**/v1/documents?*", lambda route: route.fulfill(json={"documents": [row]}))
    page.fill("#key", console.stack.api_key)
    page.keyboard.press("Enter")
    page.locator("#question").wait_for()
    for path in ("receipts/*", "documents/*", "usage"):
        page.route(f"**/v1/{path}", lambda route: route.fulfill(status=401, json={"detail": "The key has ended."}))
    page.evaluate("view => { location.hash = view; }", view)
    page.locator("#key").wait_for()
    expect(page.get_by_role("alert")).to_have_text("The key has ended.")


def test_a_conversation_outlives_a_reload_and_no_other_caller_sees_it(console: Console) -> None:
    page = console.open()
    ask(page)
    page.reload()
    expect(page.locator(".turn .answer")).to_contain_text("every March")
    console.host.behave(Misdeed.STALL)  # the question runs until Escape stops it, and so the draft is there
    for key, count in ((console.key_of("other", lambda id_: Grant(id_, None)), 0), (console.stack.api_key, 1)):
        page.route("**/v1/usage", lambda route: route.fulfill(status=401, json={}), times=1)  # the key is deleted
        fields = ("#question", QUESTION, "Enter"), ("#question", "A draft", "Escape"), ("#key", key, "Enter")
        for selector, words, pressed in fields:
            page.fill(selector, words)
            page.keyboard.press(pressed)
        page.locator(".start").wait_for()
        expect(page.locator("#question")).to_have_value("")
        expect(page.locator(".turn, .talks li")).to_have_count(count)
