"""The `docwell` program. Results go to standard output; progress, warnings and errors to standard error."""

from __future__ import annotations

import sys
from io import TextIOWrapper

from docwell.cli import ask, documents, erase, evaluate, load, models, operations, principals
from docwell.cli.command import FailingGroup, group

# \b keeps Typer from joining the lines that follow it.
HELP = """Drop documents into a bucket, ask questions, get answers that cite the page.

Each connection setting comes from the first of these that has it:

\b
  1. flags, such as --endpoint and --bucket, after the command
  2. the environment: DOCWELL_ENDPOINT, DOCWELL_BUCKET, DOCWELL_API_KEY, AWS_*
  3. docwell.toml in this folder, else ~/.config/docwell/config.toml
  4. without any endpoint so far, the local stack (make up) whose data folder
     DOCWELL_DATA names, else the one of this folder or of one above it

\b
Exit status:
  0  done
  1  error: the server refused, or cannot be reached
  2  wrong usage or settings
  3  put: a document ended REJECTED, FAILED or EMPTY; load: objects were left out
  4  ask: the documents do not answer the question
  5  eval, models check: fewer answers are right than --at-least; eval: more are
     worse than better
"""

app = group(FailingGroup)


@app.callback(help=HELP)
def main() -> None:
    """Set up input and output so that no character of another encoding ends the program."""
    for stream, errors in (
        (sys.stdin, "replace"),
        (sys.stdout, "backslashreplace"),
        (sys.stderr, "backslashreplace"),
    ):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=errors)


for part in (documents, load, ask, evaluate, operations, erase):
    app.add_typer(part.app)
app.add_typer(principals.app, name="principals")
app.add_typer(models.app, name="models", help="Show the models of a host, and try them.")
