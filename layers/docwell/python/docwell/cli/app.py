"""The `docwell` program. Results go to standard output; progress, warnings and errors to standard error."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from docwell.cli import ask, display, documents, erase, evaluate, load, operations, principals
from docwell.cli.command import FailingGroup, JsonFlag, group
from docwell.cli.settings import ExitCode, Failure
from docwell.errors import NotFound

# \b keeps Typer from joining the lines that follow it.
HELP = """Drop documents into a bucket, ask questions, get answers that cite the page.

Each connection setting comes from the first of these that has it:

\b
  1. flags, such as --endpoint and --bucket, after the command
  2. the environment: DOCWELL_ENDPOINT, DOCWELL_BUCKET, DOCWELL_API_KEY, AWS_*
  3. docwell.toml in this folder, else ~/.config/docwell/config.toml
     (--profile NAME selects one of the file's profiles)
  4. without any endpoint so far, the local stack (make up) whose data folder
     DOCWELL_DATA names, else the one of this folder or of one above it

\b
Exit status:
  0  done
  1  error: the server refused, or cannot be reached
  2  wrong usage or settings
  3  put: a document ended REJECTED, FAILED or EMPTY; load: objects were left out
  4  ask: the documents do not answer the question
  5  eval: fewer answers are right than --at-least, or more are worse than better
"""

PromptOrFile = Annotated[
    str, typer.Argument(metavar="NAME|FILE", help="Name of a prompt, or a path with a slash or .md in it.")
]

app = group(FailingGroup)
prompts = group()


@app.callback(help=HELP)
def main() -> None:
    """Prepare input and output, so that no character of another encoding ends the program."""
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
app.add_typer(prompts, name="prompts", help="Show and compare the prompts of the installed docwell.")


@app.command()
def version() -> None:
    """Print the installed version of docwell."""
    from importlib.metadata import version as installed_version

    display.echo(f"docwell {installed_version('docwell')}")


@prompts.command("list")
def list_prompts(*, as_json: JsonFlag = False) -> None:
    """List the prompts with their version, which answers and logs name, and their tokens."""
    from docwell.query.prompting import load_prompt, prompt_names

    loaded = [load_prompt(name) for name in prompt_names()]
    if as_json:
        fields = ("name", "version", "purpose", "tokens", "since", "languages")
        display.show_json({"prompts": [{name: getattr(prompt, name) for name in fields} for prompt in loaded]})
        return
    rows = ((prompt.name, prompt.version, prompt.purpose, prompt.tokens, prompt.since) for prompt in loaded)
    display.show_table(("prompt", "version", "purpose", "tokens", "since"), rows, right=("tokens",))


@prompts.command("show")
def show_prompt(name: PromptOrFile) -> None:
    """Print the file of a prompt."""
    display.echo(_read_prompt(name).decode(errors="backslashreplace"), nl=False)


@prompts.command("diff")
def diff_prompts(old: PromptOrFile, new: PromptOrFile) -> None:
    """Compare two prompts line by line. Equal prompts give no output."""
    from difflib import unified_diff

    from docwell.query.prompting import version_of

    files = [(source, _read_prompt(source)) for source in (old, new)]
    from_, to = (f"{display.clean(source)} {version_of(data)}" for source, data in files)
    before, after = (data.decode(errors="backslashreplace").splitlines(keepends=True) for _, data in files)
    for line in unified_diff(before, after, from_, to):
        display.echo(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n", nl=False)


def _read_prompt(source: str) -> bytes:
    from docwell.query.prompting import read_prompt

    try:
        if "/" in source or source.endswith(".md"):
            return Path(source).read_bytes()
        return read_prompt(source)
    except NotFound as error:
        raise Failure(error.detail, ExitCode.USAGE) from None
    except OSError as error:
        raise Failure(f"cannot read {source!r}: {error.strerror}", ExitCode.USAGE) from None
