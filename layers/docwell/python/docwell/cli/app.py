"""The `docwell` program. Results go to standard output; progress, warnings and errors to standard error."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from docwell.cli import ask, display, doctor, documents, erase, evaluate, load, models, operations, principals
from docwell.cli.command import OPERATE, Commands
from docwell.version import VERSION

# \b keeps Typer from joining the lines that follow it.
HELP = """Drop documents into a bucket, ask questions, get answers that cite the page.

Each connection setting comes from the first of these that has it:

\b
  1. flags, such as --endpoint and --bucket, after the command
  2. the environment: DOCWELL_ENDPOINT, DOCWELL_BUCKET, DOCWELL_API_KEY, AWS_*
  3. docwell.toml in this folder, else ~/.config/docwell/config.toml
  4. without any endpoint so far, the local stack: that of DOCWELL_DATA, else
     one of this folder or a folder above it, else the newest of make up

\b
Exit status:
  0  done
  1  error: the server refused, or cannot be reached; doctor: a part is ill
  2  wrong usage or settings
  3  put: a document ended REJECTED, FAILED or EMPTY; load: objects left out
  4  ask: the documents do not answer the question
  5  eval, models check: fewer answers are right than --at-least; eval:
     more are worse than better
"""

app = Commands(completion=True)


def _show_version(requested: object) -> None:
    if requested:
        display.say(f"docwell {VERSION}")
        raise typer.Exit


@app.callback(help=HELP)
def main(
    *,
    version: Annotated[  # noqa: ARG001 - its callback prints it
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Set up input and output so that no character of another encoding ends the program."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace" if stream is sys.stdin else "backslashreplace")


for part in (ask, documents, evaluate, load, operations, doctor, erase):
    app.add_typer(part.app)
app.add_typer(principals.app, name="principals", rich_help_panel=OPERATE, help="Manage who may ask about what.")
app.add_typer(models.app, name="models", rich_help_panel=OPERATE, help="Show the models of a host, and try them.")
