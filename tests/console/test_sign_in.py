"""The console as AWS serves it: sign-in with PKCE at a user pool, uploads to the bucket, the template's policy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, expect

from docwell.adapters.dynamodb.principals import Grant, PrincipalAdmin
from docwell.identity import SUBJECT
from tests.console.conftest import QUESTION, Console, ask, write_pdf
from tests.console.deployed import Deployed, deployed_console
from tests.console.user_pool import PERSON, UserPool
from tests.integration.waiting import until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def deployed(running: Console, pool: UserPool) -> Iterator[Deployed]:
    grant = Grant(f"{SUBJECT}{PERSON}", None)
    PrincipalAdmin(running.stack.client("dynamodb"), running.stack.principals_table).add(grant)
    with deployed_console(running.stack, pool) as deployed:
        yield deployed


@pytest.fixture(autouse=True)
def _as_new(pool: UserPool) -> None:
    pool.reset()


def calls(page: Page) -> list[Request]:
    """Return the list of the page's calls of the API; later calls are added to it."""
    sent = list[Request]()
    page.on("request", lambda request: sent.append(request) if "/v1/" in request.url else None)
    return sent


def sign_in(console: Console, deployed: Deployed, view: str = "ask") -> Page:
    """Return a page on which a user has signed in."""
    page = console.open(f"/{view}", address=deployed.url)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("link", name="Continue").click()
    return page


def stored(page: Page) -> dict[str, str]:
    values: dict[str, str] = page.evaluate("({ ...sessionStorage })")
    return values


def test_a_person_signs_in_asks_and_signs_out(console: Console, deployed: Deployed, pool: UserPool) -> None:
    page = sign_in(console, deployed, "documents")
    page.locator("#documents-title").wait_for()  # the view that was open before
    assert page.url == f"{deployed.url}/#/documents"
    sent = calls(page)
    page.get_by_role("link", name="Ask", exact=True).click()
    ask(page, QUESTION)
    expect(page.locator(".citations")).to_contain_text("boiler")
    (token,) = pool.tokens
    assert {request.headers.get("authorization") for request in sent} == {f"Bearer {token}"}
    assert not [request for request in sent if "x-api-key" in request.headers]
    assert set(stored(page)) == {"docwell.tokens", "docwell.open", "docwell.owner"}
    assert len(page.evaluate("Object.keys(localStorage)")) == 1  # the conversation
    assert page.context.cookies() == []
    refresh = json.loads(stored(page)["docwell.tokens"])["refresh"]
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in", exact=True).wait_for()
    until(lambda: pool.revoked == {refresh})  # the page does not wait for it
    assert (stored(page), pool.left) == ({}, 1)
    assert page.evaluate("Object.keys(localStorage)") == []


def test_a_person_without_a_grant_may_sign_in_as_another(
    console: Console, deployed: Deployed, pool: UserPool
) -> None:
    page = console.open("/ask", address=deployed.url)
    page.route("**/v1/**", lambda route: route.fulfill(status=401, json={"detail": "unknown caller"}))
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("link", name="Continue").click()
    expect(page.locator(".failure")).to_contain_text("unknown caller")
    page.get_by_role("button", name="Sign in as another person").click()
    page.get_by_role("button", name="Sign in", exact=True).wait_for()
    assert (stored(page), pool.left) == ({}, 1)


@pytest.mark.parametrize(
    "answer", ["code=abc&state=guessed", "code=abc", "error=x&error_description=Call%20us&state="]
)
def test_an_answer_to_a_sign_in_of_another_tab_is_refused(
    console: Console, deployed: Deployed, pool: UserPool, answer: str
) -> None:
    page = console.open("/ask", address=deployed.url)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("link", name="Continue").wait_for()
    page.goto(f"{deployed.url}/?{answer}")
    expect(page.locator(".failure")).to_have_text("This sign-in was not started in this tab. Sign in again.")
    assert (pool.grants, stored(page)) == ([], {})
    assert page.evaluate("location.search") == ""


def test_the_pools_refusal_is_shown_in_words(console: Console, deployed: Deployed, pool: UserPool) -> None:
    pool.refuses = True
    page = sign_in(console, deployed)
    expect(page.locator(".failure")).to_have_text("The sign-in failed: Ask the owner of the pool")
    assert pool.grants == []


def test_with_a_key_a_file_is_uploaded_to_the_bucket_and_read_from_it_by_ranges(
    console: Console, deployed: Deployed, tmp_path: Path
) -> None:
    page = console.open(f"key={console.stack.api_key}&view=/documents", address=deployed.url)
    page.get_by_role("button", name="Use the key of the link").click()  # people of a pool sign in
    ranges = list[str]()

    def note(request: Request) -> None:
        if deployed.bucket in request.url:
            ranges.append(request.headers.get("range", ""))

    page.on("request", note)
    page.fill(".drop input[list]", "garden")
    page.set_input_files("#files", [write_pdf(tmp_path, "tulips.pdf", "Tulips are planted in October.")])
    row = page.locator('tr[data-document="garden/tulips.pdf"]')
    expect(row).to_have_attribute("data-status", "INDEXED")
    row.get_by_role("button", name="Ask", exact=True).click()
    console.host.say("Tulips are planted in October [1].")
    ask(page, "When are tulips planted?")
    page.locator(".answer .marker").first.click()
    page.locator(".source[data-state=marked]").wait_for()
    assert len(ranges) >= 2


def test_only_a_page_of_the_console_reads_the_buckets_answers(console: Console, deployed: Deployed) -> None:
    read = "address => fetch(address).then((one) => one.status, () => 'refused')"
    context = console.browser.new_context(bypass_csp=True)
    refused = []
    for origin in (deployed.url, console.stack.gateway):
        page = context.new_page()
        page.goto(origin)
        refused.append(page.evaluate(read, f"{deployed.bucket}/house/boiler.pdf") == "refused")
    assert refused == [False, True]
    context.close()
