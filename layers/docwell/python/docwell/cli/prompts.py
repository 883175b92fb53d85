"""`docwell prompts list | show | diff`: the prompts of the installed docwell. These commands use no server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from docwell.cli import display
from docwell.cli.command import JsonFlag, group
from docwell.cli.failure import ExitCode, Failure
from docwell.errors import NotFound

app = group()

PromptOrFile = Annotated[
    str, typer.Argument(metavar="NAME|FILE", help="Name of a prompt, or a path with a slash or .md in it.")
]


@app.callback()
def prompts() -> None:
    """Show and compare the prompts."""


@app.command("list")
def list_(*, as_json: JsonFlag = False) -> None:
    """List the prompts with their version, which answers and logs name, and their tokens."""
    from docwell.query.prompting import load_prompt, prompt_names

    found = [load_prompt(name) for name in prompt_names()]
    if as_json:
        names = ("name", "version", "purpose", "tokens", "since", "languages")
        display.show_json({"prompts": [{name: getattr(one, name) for name in names} for one in found]})
        return
    rows = ((one.name, one.version, one.purpose, one.tokens, one.since) for one in found)
    columns = ("prompt", "version", "purpose", "tokens", "since")
    display.console().print(display.table(columns, rows, right=("tokens",)))


@app.command()
def show(name: PromptOrFile) -> None:
    """Print the file of a prompt."""
    display.echo(_read(name).decode(errors="backslashreplace"), nl=False)


@app.command()
def diff(old: PromptOrFile, new: PromptOrFile) -> None:
    """Compare two prompts line by line. Equal prompts give no output."""
    from difflib import unified_diff

    from docwell.query.prompting import version_of

    files = [(source, _read(source)) for source in (old, new)]
    from_, to = (f"{display.clean(source)} {version_of(data)}" for source, data in files)
    before, after = (data.decode(errors="backslashreplace").splitlines(keepends=True) for _, data in files)
    for line in unified_diff(before, after, from_, to):
        display.echo(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n", nl=False)


def _read(source: str) -> bytes:
    from docwell.query.prompting import read_prompt

    try:
        if "/" in source or source.endswith(".md"):
            return Path(source).read_bytes()
        return read_prompt(source)
    except NotFound as error:
        raise Failure(error.detail, ExitCode.USAGE) from None
    except OSError as error:
        raise Failure(f"cannot read {source!r}: {error.strerror}", ExitCode.USAGE) from None
