"""What every command shares: its connection flags, and how its `Failure` becomes a line and an exit status.

Each file of commands registers itself in `docwell.cli` in one line, a group of them made by `group`.
"""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from docwell.cli import display
from docwell.cli.failure import Failure
from docwell.cli.settings import find_settings

if TYPE_CHECKING:
    from collections.abc import Callable

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")]
DryRunFlag = Annotated[bool, typer.Option("--dry-run", help="Only look; change nothing.")]
TimeoutOption = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for an answer of the API.")]


def group() -> typer.Typer:
    """An application or a group of commands. Plain help and errors: the same in a terminal, a pipe, a CI log."""
    return typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the connection flags and hand it the settings; `Failure` becomes a line and a code."""
    flags = inspect.signature(find_settings, eval_str=True).parameters
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    @wraps(command)
    def run(**arguments: Any) -> None:  # noqa: ANN401 - whatever the command takes
        connection = {name: arguments.pop(name) for name in flags}
        try:
            command(find_settings(**connection), **arguments)
        except Failure as failure:
            typer.echo(f"docwell: {display.clean(failure)}", err=True)
            raise typer.Exit(failure.code) from None

    parameters = [*own, *flags.values()]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # what inspect reads
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
