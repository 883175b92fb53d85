"""`docwell open`, against a fake API and without a browser."""

from __future__ import annotations

import webbrowser
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from docwell.cli.remote import Api
from docwell.cli.settings import Settings
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_api import FakeApi, serving

RECEIPT = "0b62f3f2-6a0c-4f4e-9c65-6f2a4d3c8f10"
KEY = "handbooks/a & b é.pdf"


class Browser:
    """Opens nothing. `there` says whether there is a browser; without one, Python's module raises or says no."""

    def __init__(self) -> None:
        self.there: bool | Exception = True
        self.opened: list[str] = []

    def open(self, address: str) -> bool:
        if isinstance(self.there, Exception):
            raise self.there
        self.opened += [address] if self.there else []
        return self.there


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch, api: FakeApi) -> Browser:
    found = Browser()
    monkeypatch.setattr(webbrowser, "open", found.open)
    api.others = {"/": "<!doctype html>", f"/v1/receipts/{RECEIPT}": {"request_id": RECEIPT}}
    api.documents[KEY] = [{"document": KEY, "status": "INDEXED"}]
    return found


@pytest.mark.parametrize(
    ("arguments", "view"),
    [
        ([], "/ask"),
        ([KEY], "/source?document=handbooks%2Fa+%26+b+%C3%A9.pdf&page=1"),
        ([KEY, "--page", "7"], "/source?document=handbooks%2Fa+%26+b+%C3%A9.pdf&page=7"),
        ([RECEIPT], f"/receipt/{RECEIPT}"),
    ],
)
def test_the_console_opens_at_its_view_with_the_key_in_the_fragment(
    run: Run, api: FakeApi, browser: Browser, arguments: list[str], view: str
) -> None:
    result = run("open", *arguments, "--api-key", "a&b", api=api)
    assert result.exit_code == 0, result.stderr
    (address,) = browser.opened
    parts = urlsplit(address)
    assert (f"{parts.scheme}://{parts.netloc}", parts.path, parts.query) == (api.endpoint, "/", "")
    assert parse_qs(parts.fragment) == {"key": ["a&b"], "view": [view]}
    assert "a&b" not in result.output  # a key stays off the screen


def test_without_a_key_the_address_is_that_of_the_view_and_the_console_asks_for_one(
    run: Run, api: FakeApi, browser: Browser
) -> None:
    run("open", RECEIPT, api=api)
    assert browser.opened == [f"{api.endpoint}/#/receipt/{RECEIPT}"]


@pytest.mark.parametrize("there", [False, webbrowser.Error("no browser")])
def test_without_a_browser_the_address_is_printed(
    run: Run, api: FakeApi, browser: Browser, there: bool | Exception
) -> None:
    browser.there = there
    result = run("open", "--api-key", "k", api=api)
    assert (result.exit_code, result.stdout) == (0, f"{api.endpoint}/#key=k&view=%2Fask\n")


def test_with_print_the_address_is_printed_and_nothing_opens(run: Run, api: FakeApi, browser: Browser) -> None:
    result = run("open", "--print", api=api)
    assert (result.stdout, browser.opened) == (f"{api.endpoint}/#/ask\n", [])


@pytest.mark.parametrize("what", ["none.pdf", RECEIPT.replace("0", "1")])
def test_what_does_not_exist_is_an_error_that_says_what_to_do(
    run: Run, api: FakeApi, browser: Browser, what: str
) -> None:
    result = run("open", what, api=api)
    assert result.exit_code == 1
    assert what in result.stderr
    assert "`docwell status` lists the documents" in result.stderr
    assert browser.opened == []


def test_on_aws_the_console_has_an_address_that_is_not_the_apis(
    run: Run, api: FakeApi, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = FakeApi()
    console.others = {"/": api.others.pop("/")}
    with serving(console):
        monkeypatch.setenv("DOCWELL_CONSOLE", f"{console.endpoint}/")
        result = run("open", KEY, "--api-key", "k", api=api)
    assert result.exit_code == 0, result.stderr
    (address,) = browser.opened
    assert address.startswith(f"{console.endpoint}/#key=k&view=%2Fsource")
    assert [path for _, path, _, _ in console.requests] == ["/"]


def test_the_key_of_a_local_stack_is_not_for_the_console_of_another() -> None:
    given = Settings(endpoint="http://127.0.0.1:1", console="https://console", local=True)
    assert Api(given, 1).console == "http://127.0.0.1:1"
    assert Api(replace(given, local=False), 1).console == "https://console"


def test_an_api_without_a_console_is_an_error_that_says_what_to_do(
    run: Run, api: FakeApi, browser: Browser
) -> None:
    del api.others["/"]
    result = run("open", api=api)
    assert result.exit_code == 1
    assert "ConsoleUrl" in result.stderr
    assert "make up" in result.stderr
    assert browser.opened == []
