"""The shared parts of all commands: groups, connection flags, failures and common options."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

import typer
from typer._click import Context, Parameter
from typer.core import TyperCommand, TyperGroup

from docwell.cli import display
from docwell.cli.settings import ExitCode, Failure, find_settings
from docwell.errors import DocwellError

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
DryRunFlag = Annotated[bool, typer.Option("--dry-run", help="Show what would happen; change nothing.")]
YesFlag = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
TimeoutOption = Annotated[
    float, typer.Option(min=0.1, metavar="SECONDS", help="Longest wait for an answer of the API, in seconds.")
]


class FailingGroup(TyperGroup):
    """The group at the root: turns the failure of any command into one line and an exit code."""

    def invoke(self, ctx: Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except DocwellError as error:
            display.show_failure(error)
            raise typer.Exit(error.code if isinstance(error, Failure) else ExitCode.ERROR) from None


class ConnectedCommand(TyperCommand):
    """A command that also takes the connection flags; it finds its `Settings` in `ctx.obj`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - passed on to Typer
        super().__init__(*arguments, **options)
        self.params = [*self.params, *options_of(find_settings)]

    def invoke(self, ctx: Context) -> object:
        """Resolve the settings, then run the command without the connection flags."""
        flags = take_options(ctx, find_settings)
        _refuse_other_encodings(ctx.params)
        # `docwell eval --compare` needs no connection.
        if not ctx.params.get("compare"):
            ctx.obj = find_settings(**flags)
        return super().invoke(ctx)


def _refuse_other_encodings(parameters: dict[str, Any]) -> None:
    """Raise a `Failure` (usage) for a text that is not UTF-8. A file name may have any bytes."""
    for name, value in parameters.items():
        for text in value if isinstance(value, list) else [value]:
            try:
                if isinstance(text, str):
                    text.encode()
            except UnicodeEncodeError:
                message = f"{name.strip('_').replace('_', '-')} is not UTF-8: set the terminal to UTF-8"
                raise Failure(message, ExitCode.USAGE) from None


def group(cls: type[TyperGroup] | None = None) -> typer.Typer:
    """Return an empty command group with plain-text help, which is the same in a terminal, a pipe and a CI log."""
    return typer.Typer(
        cls=cls,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


@cache
def options_of(function: Callable[..., object]) -> list[Parameter]:
    """Return the options in a function's signature, as Typer reads them, for several commands to share."""
    reader = group()
    reader.command()(function)
    return typer.main.get_command(reader).params


def take_options(ctx: Context, function: Callable[..., object]) -> dict[str, Any]:
    """Remove the options of a function from a command's parameters and return their values."""
    values = {str(option.name): ctx.params.pop(str(option.name)) for option in options_of(function)}
    _refuse_other_encodings(values)
    return values
