"""The console in a real Chromium, on one local stack with a scripted model host."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from benchmarks.chromium import chromium
from benchmarks.doors import Doors, local_stack
from benchmarks.model_host import MODEL, Misdeed, ModelHost
from benchmarks.pdfs import pdf, text_content
from benchmarks.poison import kinds
from docwell.adapters.dynamodb.principals import DynamoApiKeys, Grant, PrincipalAdmin
from docwell.identity import ApiKey, digest_of
from infra.local.stack import Stack
from tests.console.user_pool import UserPool, user_pool

BOILER = "house/boiler.pdf"
PAGES = [
    "Bicycles are kept in the yard behind the kitchen. The gate is locked at ten in the evening.",
    "The boiler in the cellar is inspected every March by two engineers of the city. A sticker shows the date.",
    "Waste paper is collected on the first Monday of each month. The blue bin is in the yard.",
]
QUESTION = "When is the boiler in the cellar inspected?"
SAYS = "The boiler in the cellar is inspected every March [1]."
WAIT_MS = 45_000
# The seconds before the first word and each further word, so that tests can see the steps of an answer.
FIRST_S, PACE_S = 0.2, 0.01
_INDEXED_S = 120.0
# The pages of a node of a page tree.
_KIDS = 40


@dataclass
class Console:
    """The stack, its model host, and pages of the console. `problems` are errors of the pages opened so far."""

    stack: Stack
    doors: Doors
    host: ModelHost
    browser: Browser
    contexts: list[BrowserContext] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def open(self, fragment: str | None = None, address: str | None = None, **options: Any) -> Page:
        """Return a new page with the local key; `options` are the browser context's.

        A deployed console has another `address` than the stack's gateway.
        """
        context = self.browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        self.contexts.append(context)
        context.add_init_script(path=Path(__file__).with_name("page.js"))
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.goto(
            f"{address or self.stack.gateway}/#{f'key={self.stack.api_key}' if fragment is None else fragment}"
        )
        return page

    def key_of(self, name: str, grant: Callable[[str], Grant]) -> str:
        """Return the value of a new API key with a grant."""
        keys: Any = self.stack.client("apigateway")
        key = keys.create_api_key(name=name, enabled=True, generateDistinctId=True)
        principal, value = f"key:{key['id']}", str(key["value"])
        database, table = self.stack.client("dynamodb"), self.stack.principals_table
        PrincipalAdmin(database, table).add(grant(principal))
        DynamoApiKeys(database, table).put(ApiKey(digest_of(value), principal, key["id"]))
        return value

    def close_pages(self) -> None:
        for context in self.contexts:
            context.close()
        self.contexts.clear()


@pytest.fixture(scope="session")
def pool() -> Iterator[UserPool]:
    with user_pool() as pool:
        yield pool


@pytest.fixture(scope="session")
def running(pool: UserPool) -> Iterator[Console]:
    host = ModelHost(SAYS, first_s=FIRST_S, pace_s=PACE_S)
    with (
        chromium() as browser,
        local_stack(MODEL, host.url, ingest_workers=1, reconcile_every_s=0, environment=pool.settings) as stack,
        Doors(stack, timeout_s=60) as doors,
    ):
        doors.indexed(BOILER, doors.put(BOILER, pdf(PAGES)), _INDEXED_S)
        expect.set_options(timeout=WAIT_MS)
        yield Console(stack, doors, host, browser)
    host.close()


@pytest.fixture
def console(running: Console) -> Iterator[Console]:
    """The console for one test, which fails if a page had an error or broke its policy."""
    running.host.say(SAYS)
    running.host.behave(Misdeed.NONE)
    running.problems.clear()
    yield running
    blocked = [
        address
        for context in running.contexts
        for page in context.pages
        for address in page.evaluate("window.expected ? [] : window.blocked")
    ]
    running.close_pages()
    assert running.problems == []
    assert blocked == []


def ask(page: Page, question: str = QUESTION) -> None:
    """Ask, and wait for the answer."""
    page.locator(".main.send").wait_for()  # while a question runs, the page sends no other
    turns = page.locator(".turn").count()
    page.fill("#question", question)
    page.keyboard.press("Enter")
    page.locator(".turn .answer").nth(turns).wait_for()


def write_pdf(folder: Path, name: str, *pages: str) -> Path:
    """Write a PDF with these pages and return its path."""
    path = folder / name
    path.write_bytes(pdf(list(pages)))
    return path


def long_pdf(pages: int, picture: int, texts: Mapping[int, str]) -> bytes:
    """Return a PDF whose pages have `picture` hidden bytes each; `texts` has the text of some pages."""
    # Write a page tree, as Word and LaTeX do: a flat list of pages must be read to its end.
    nodes = -(-pages // _KIDS)
    first, font = 3 + nodes, 3 + nodes + 2 * pages
    tree = b"<</Type/Pages%b/Count %d/Kids[%b]>>"
    objects = [tree % (b"", pages, b" ".join(b"%d 0 R" % node for node in range(3, first)))]
    for start in range(0, pages, _KIDS):
        sheets = range(first, font, 2)[start : start + _KIDS]
        kids = b" ".join(b"%d 0 R" % sheet for sheet in sheets)
        objects.append(tree % (b"/Parent 2 0 R", len(sheets), kids))
    sheet = b"<</Type/Page/Parent %d 0 R/MediaBox[0 0 595 842]/Contents %d 0 R/Resources<</Font<</F1 %d 0 R>>>>>>"
    for number in range(pages):
        objects.append(sheet % (3 + number // _KIDS, first + 2 * number + 1, font))
        text = texts.get(number + 1, f"This is page {number + 1} of the log.")
        # Random bytes do not compress.
        objects.append(kinds.stream(text_content(text) + b"\n%" + os.urandom(picture // 2).hex().encode()))
    objects.append(b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>")
    return kinds.pdf(objects)
