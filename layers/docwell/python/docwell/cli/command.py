"""The shared parts of all commands: groups, connection flags, failures and common options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from typing import Annotated, Any

import typer
from typer._click import Command, Context, HelpFormatter, Parameter
from typer._click.exceptions import UsageError
from typer.core import TyperArgument, TyperCommand, TyperGroup

from docwell.cli import display
from docwell.cli.settings import ExitCode, Failure, find_settings
from docwell.errors import DocwellError

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
DryRunFlag = Annotated[bool, typer.Option("--dry-run", help="Show what would happen; change nothing.")]
WaitFlag = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until each document has its final status.")]
YesFlag = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]

# The panels of commands in the help, in their order.
PANELS = ASK, DOCUMENTS, QUALITY, OPERATE = "Ask", "Documents", "Quality", "Operate"
# The commands of all panels line up.
_NAME_WIDTH = 10


def confirm(question: str, *, yes: bool) -> None:
    """Ask a question, unless `yes`. Raises `Failure` for any answer but yes, also without a terminal."""
    with suppress(typer.Abort):
        if yes or typer.confirm(display.one_line(question), err=True):
            return
    raise Failure("stopped: not confirmed; --yes does not ask")


class Group(TyperGroup):
    """Turns the failure of any command into one line and an exit code. Its help lists the commands by panel."""

    def invoke(self, ctx: Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except DocwellError as error:
            display.show_failure(error)
            raise typer.Exit(error.code if isinstance(error, Failure) else ExitCode.ERROR) from None
        except UsageError as error:
            from docwell.config import plain  # Pydantic delays a start

            error.message = plain(error.message)
            raise

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """Return the command that the arguments name. The failure for an unknown name lists the commands."""
        try:
            return super().resolve_command(ctx, args)
        except UsageError as error:
            error.message += f" The commands: {', '.join(self.list_commands(ctx))}."
            raise

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the commands with the first sentence of their help."""
        panels: dict[str, list[tuple[str, str]]] = {panel: [] for panel in PANELS}
        for name in self.list_commands(ctx):
            command: Any = self.commands[name]
            panel = panels.setdefault(command.rich_help_panel or "Commands", [])
            sentence = (command.help or "").partition("\n")[0].partition(". ")[0].rstrip(".")
            panel.append((name.ljust(_NAME_WIDTH), f"{sentence}."))
        _write_panels(formatter, panels)


def _write_panels(formatter: HelpFormatter, panels: Mapping[str, list[tuple[str, str]]]) -> None:
    for title, records in panels.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


class ConnectedCommand(TyperCommand):
    """A command that also takes the connection flags; it finds its `Settings` in `ctx.obj`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - passed on to Typer
        super().__init__(*arguments, **options)
        self.params = [*self.params, *options_of(find_settings)]
        self.no_args_is_help = any(item.required for item in self.params)

    def collect_usage_pieces(self, ctx: Context) -> list[str]:
        """Return the names of the arguments, in brackets where one may be left out."""
        arguments = [item for item in self.get_params(ctx) if isinstance(item, TyperArgument)]
        return ["[OPTIONS]", *(f"{item.metavar}" if item.required else f"[{item.metavar}]" for item in arguments)]

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the arguments, the options, and last the connection flags."""
        panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": [], "Connection": []}
        connection = {option.name for option in options_of(find_settings)}
        for item in self.get_params(ctx):
            if isinstance(item, TyperArgument):
                panels["Arguments"].append((str(item.metavar), item.help or ""))
            elif record := item.get_help_record(ctx):
                panels["Connection" if item.name in connection else "Options"].append(record)
        _write_panels(formatter, panels)

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse the arguments. Raises `Failure` (usage) for a text that is no value of its parameter."""
        left = super().parse_args(ctx, args)
        _check_texts(self.params, ctx.params)
        return left

    def invoke(self, ctx: Context) -> object:
        """Resolve the settings, then run the command without the connection flags."""
        flags = take_options(ctx, find_settings)
        if not ctx.params.get("compare"):  # `docwell eval --compare` needs no connection
            ctx.obj = find_settings(**flags)
            if chosen := ctx.obj.chosen_stack:
                display.say(f"docwell: of several local stacks, {chosen} (DOCWELL_DATA)", "dim", err=True)
        return super().invoke(ctx)


def _check_texts(parameters: Iterable[Parameter], values: Mapping[str, Any]) -> None:
    """Raise a `Failure` (usage) for a text that is not UTF-8, or an option in the place of an option's value."""
    names = {name for item in parameters if not isinstance(item, TyperArgument) for name in item.opts}
    for item in parameters:
        value = values.get(str(item.name))
        texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
        for text in texts:
            if text != text.encode(errors="replace").decode():
                name = str(item.name).strip("_").replace("_", "-")
                raise Failure(f"{name} is not UTF-8: set the terminal to UTF-8", ExitCode.USAGE)
            if text in names and not isinstance(item, TyperArgument):
                raise Failure(f"{item.opts[0]} needs a value before {text}", ExitCode.USAGE)


class Commands(typer.Typer):
    """A group of connected commands, which stand in one panel of the help.

    The help is plain text, the same in a terminal, a pipe and a CI log.
    """

    def __init__(self, panel: str | None = None, *, completion: bool = False) -> None:
        super().__init__(
            cls=Group,
            no_args_is_help=True,
            add_completion=completion,
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        self._panel = panel

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:  # noqa: ANN401 - as Typer
        """Return the decorator of a command."""
        return super().command(name, **{"cls": ConnectedCommand, "rich_help_panel": self._panel, **options})


@cache
def options_of(function: Callable[..., object]) -> list[Parameter]:
    """Return the options in a function's signature, as Typer reads them, for several commands to share."""
    reader = typer.Typer(add_completion=False)
    reader.command()(function)
    return typer.main.get_command(reader).params


def take_options(ctx: Context, function: Callable[..., object]) -> dict[str, Any]:
    """Remove the options of a function from a command's parameters and return their values."""
    return {str(option.name): ctx.params.pop(str(option.name)) for option in options_of(function)}
