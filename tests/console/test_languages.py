"""The console in other languages: chosen by the browser or by the user, from left or right, in both themes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from infra.report import ROOT
from tests.console.conftest import BOILER, QUESTION, Console, ask
from tests.console.test_access import violations, with_every_part

pytestmark = pytest.mark.e2e

STRINGS = ROOT / "console" / "strings"


def texts_of(language: str) -> set[str]:
    words: dict[str, Any] = json.loads((STRINGS / f"{language}.json").read_text())
    return {form for text in words.values() for form in (text.values() if isinstance(text, dict) else [text])}


def views(console: Console, page: Page) -> Iterator[str]:
    """Yield the name of each view while the page, which has an answer and its source, shows it."""
    yield "ask"
    receipt = page.locator(".tools a").get_attribute("href")
    for name, address, shown in (
        ("receipt", receipt, "#receipt-title"),
        ("documents", "#/documents/house/", f'tr[data-document="{BOILER}"]'),
        ("operations", "#/operations", ".cards"),
    ):
        page.evaluate("address => { location.hash = address; }", address)
        page.locator(shown).wait_for()
        yield name
    page.evaluate("location.hash = '#/documents/house'")
    page.locator("tbody .danger").first.click()
    page.get_by_role("dialog").wait_for()
    yield "deletion"
    page.keyboard.press("Escape")


@pytest.mark.parametrize(("locale", "direction", "theme"), [("de-DE", "ltr", "light"), ("ar-EG", "rtl", "dark")])
def test_every_view_is_in_the_language_of_the_browser_and_has_no_barrier(
    console: Console, locale: str, direction: str, theme: Any
) -> None:
    page = with_every_part(console, locale=locale, color_scheme=theme)
    language = locale[:2]
    foreign = texts_of("en") - texts_of(language)
    for name in views(console, page):
        shown = page.evaluate("[document.documentElement.lang, getComputedStyle(document.body).direction]")
        assert shown == [language, direction]
        assert foreign.intersection(page.evaluate("checks.texts()")) == set(), name
        assert violations(page) == [], name


@pytest.mark.parametrize(
    ("width", "locale"),
    [(320, "de-DE"), (320, "ar-EG"), (390, "es-ES"), (1024, "fr-FR"), (1440, "zh-CN"), (2560, "en-GB")],
)
def test_no_view_is_wider_than_the_screen_or_prints_a_text_over_another(
    console: Console, width: int, locale: str
) -> None:
    page = with_every_part(console, locale=locale, viewport={"width": width, "height": 640})
    for choice in page.locator("main .choice summary").all():
        choice.evaluate("summary => summary.click()")
    for name in views(console, page):
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.evaluate("[...checks.wide(), ...checks.overprinted()]") == [], name


def test_a_chosen_language_is_spoken_at_once_and_kept(console: Console) -> None:
    page = console.open(locale="fr-CA")
    ask(page)
    expect(page.locator("nav a").first).to_have_text("Questions")
    page.locator(".menu-button").click()
    page.locator("header select").select_option("es")
    expect(page.locator("nav a").first).to_have_text("Preguntar")
    assert page.inner_text(".turn .question") == QUESTION  # the conversation is still there
    page.reload()
    expect(page.locator("nav a").first).to_have_text("Preguntar")
    assert page.locator("html").get_attribute("lang") == "es"
