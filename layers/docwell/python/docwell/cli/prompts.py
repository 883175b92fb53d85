"""`docwell prompts list | show | diff`: the prompts of this version of docwell. Nothing is asked of a stack."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from docwell.cli import display
from docwell.cli.command import JsonFlag, group
from docwell.cli.failure import ExitCode
from docwell.errors import NotFound
from docwell.query.prompting import list_prompts, read_prompt, version_of

if TYPE_CHECKING:
    from typing import Never

app = group()

PromptOrFile = Annotated[str, typer.Argument(metavar="NAME|FILE", help="The name of a prompt, or a file of one.")]


@app.callback()
def main() -> None:
    """Show the prompts, each with the version that stands in answers, logs and metrics."""


@app.command("list")
def list_(*, as_json: JsonFlag = False) -> None:
    """List the prompts, and about how many tokens each costs."""
    prompts = list_prompts()
    if as_json:
        names = ("name", "version", "purpose", "tokens", "since", "languages")
        display.show_json({"prompts": [{name: getattr(one, name) for name in names} for one in prompts]})
        return
    table = Table("prompt", "version", "purpose", "tokens", "since", box=None, pad_edge=False)
    for one in prompts:
        table.add_row(one.name, one.version, one.purpose, str(one.tokens), one.since)
    display.console().print(table)


@app.command()
def show(name: PromptOrFile) -> None:
    """Print a prompt as its file has it."""
    typer.echo(_read(name).decode(errors="backslashreplace"), nl=False)


@app.command()
def diff(old: PromptOrFile, new: PromptOrFile) -> None:
    """Compare two prompts or files of prompts, line by line.

    No output means that they are equal.
    """
    files = [(source, _read(source)) for source in (old, new)]
    from_, to = (f"{display.clean(source)} {version_of(data)}" for source, data in files)
    before, after = (data.decode(errors="backslashreplace").splitlines(keepends=True) for _, data in files)
    for line in unified_diff(before, after, from_, to):
        typer.echo(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n", nl=False)


def _read(source: str) -> bytes:
    """The bytes of a prompt, or of a file where there is a slash or `.md` in the name."""
    try:
        if "/" in source or source.endswith(".md"):
            return Path(source).read_bytes()
        return read_prompt(source)
    except NotFound as error:
        _end(error.detail, ExitCode.USAGE)
    except OSError as error:
        _end(f"cannot read {source!r}: {error.strerror}")


def _end(message: str, code: ExitCode = ExitCode.ERROR) -> Never:
    typer.echo(f"docwell: {display.clean(message)}", err=True)
    raise typer.Exit(code)
