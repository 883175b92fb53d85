"""`docwell open`: the console in the browser, at a document or at the receipt of an answer."""

from __future__ import annotations

import webbrowser
from typing import Annotated
from urllib.parse import quote, urlencode
from uuid import UUID

import typer

from docwell.cli import display
from docwell.cli.command import ConnectedCommand, TimeoutOption, group
from docwell.cli.failure import Failure
from docwell.cli.remote import Api
from docwell.cli.settings import Settings

app = group()


@app.command(name="open", cls=ConnectedCommand)
def open_(
    ctx: typer.Context,
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="KEY|REQUEST_ID", help="A document, or the id at the end of the output of `docwell ask`."
        ),
    ] = None,
    *,
    page: Annotated[int, typer.Option(min=1, metavar="NUMBER", help="Page of the document, from 1.")] = 1,
    printing: Annotated[
        bool, typer.Option("--print", help="Print the address, which holds the API key, and open nothing.")
    ] = False,
    timeout: TimeoutOption = 30.0,
) -> None:
    """Open the console in the browser, at a document or at the receipt of an answer.

    Without a browser, it prints the address. The address holds the API key: do not pass it on.
    """
    settings: Settings = ctx.obj
    api = Api(settings, timeout)
    if not api.has_console():
        raise Failure(
            f"there is no console at {api.console}: set DOCWELL_CONSOLE, or console in docwell.toml,"
            " to the stack's output ConsoleUrl; `make up` starts one here"
        )
    address = _address(api.console, settings.api_key, _view(api, what, page))
    if not printing and _opens(address):
        display.echo(f"opened {what or 'the console'} in the browser", err=True)
    else:
        display.echo(address)


def _view(api: Api, what: str | None, page: int) -> str:
    """Return the console's path of a document or receipt. Raises `Failure` where the API has none."""
    if what is None:
        return "/ask"
    if api.document(what) is not None:
        return f"/source?{urlencode({'document': what, 'page': page})}"
    if _is_id(what) and api.has_receipt(what):
        return f"/receipt/{what}"
    kind = "receipt (it may have expired)" if _is_id(what) else "document"
    raise Failure(f"there is no {kind} {what!r}; `docwell status` lists the documents")


def _is_id(what: str) -> bool:
    try:
        return str(UUID(what)) == what
    except ValueError:
        return False


def _address(console: str, key: str | None, view: str) -> str:
    # A browser sends no fragment to a server.
    return f"{console}/#" + (f"key={quote(key, safe='')}&view={quote(view, safe='')}" if key else view)


def _opens(address: str) -> bool:
    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False
