"""`docwell eval`: measure retrieval and answers on your documents and questions, and compare two runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from docwell.cli import display
from docwell.cli.command import QUALITY, Commands, JsonFlag
from docwell.cli.remote import ANSWER_S, Api
from docwell.cli.settings import ExitCode, Failure, argument, option

app = Commands(QUALITY)

_HELP = """Measure retrieval and answers on your own documents and questions.

QUESTIONS.csv names its columns on the first line. `question` is required:

\b
  document, page   where the answer is: a whole key, and pages, as 3 or 3,7-9
  expected         words or a figure that the answer must say; | separates
                   wordings. Without it only the search is measured
  unanswerable     true: the documents do not say it, so a refusal is right
  collection       search only this collection
  language         en, de or fr: how the answer writes figures

rows.jsonl in the folder of --out has each answer. The same --out continues a run
that broke off, and asks failed questions again.
"""


@app.command("eval", help=_HELP)
def evaluate(
    ctx: typer.Context,
    questions: Annotated[Path | None, argument("QUESTIONS.csv", "The questions.", show_default=False)] = None,
    *,
    out: Annotated[Path | None, option("FOLDER", "Where the results go; the default is QUESTIONS-eval.")] = None,
    at_least: Annotated[float | None, option("PERCENT", "Exit status 5 below it.", min=0, max=100)] = None,
    compare: Annotated[tuple[Path, Path] | None, option("FOLDER FOLDER", "Compare two runs.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure or compare."""
    if (questions is None) == (compare is None):
        raise Failure("give QUESTIONS.csv, or --compare and two folders: docwell eval --help", ExitCode.USAGE)
    if questions is not None:
        folder = out or questions.parent / f"{questions.stem}-eval"
        _measure(Api(ctx.obj, ANSWER_S), questions, folder, at_least, as_json=as_json)
    elif compare is not None:
        if out is not None or at_least is not None:
            raise Failure("--compare takes no --out and no --at-least: give them to a run", ExitCode.USAGE)
        _compare(*compare, as_json=as_json)


def _measure(api: Api, source: Path, folder: Path, at_least: float | None, *, as_json: bool) -> None:
    """Ask the questions and show the figures. Raises `Failure` for failed questions and too few right answers."""
    from docwell.cli.evaluation import run as runs
    from docwell.cli.evaluation.verdicts import GOOD

    questions = runs.read_questions(source)
    runs.check_documents(api, questions)
    run = runs.open_run(folder, source, len(questions))
    if done := len(run.done):
        display.say(f"{done} of {len(questions)} are in {folder} already; another --out asks them again", err=True)
    with display.progress("asking", len(questions)) as step:
        runs.ask_all(api, questions, run, step)
    rows = list(run.rows.values())
    figures = runs.figures_of(rows)
    if as_json:
        display.show_json({**run.head, "figures": list(map(asdict, figures)), "rows": rows})
    else:
        display.show_table(("figure", "value"), [(figure.name, str(figure)) for figure in figures])
        display.say(run.path, "dim")
    if failed := sum(bool(row["error"]) for row in rows):
        raise Failure(f"{failed} questions failed; {run.path} says why. The same command asks them again")
    judged = [row["verdict"] in GOOD for row in rows if "verdict" in row]
    if at_least is not None and (share := 100 * sum(judged) / max(len(judged), 1)) < at_least:
        raise Failure(f"{share:.1f} % are right or rightly refused, under {at_least:g} %", ExitCode.WORSE)


def _compare(first: Path, second: Path, *, as_json: bool) -> None:
    from docwell.cli.evaluation.run import compare, read_run

    comparison = compare(read_run(first), read_run(second))
    if as_json:
        display.show_json(comparison)
    else:
        names = ("better", "worse", "same", "unpaired")
        counts = [*(comparison[name] for name in names), f"{100 * comparison['by_chance']:.0f} %"]
        display.show_table((*names, "by chance"), [counts])
        if comparison["changed"]:
            display.show_table(("changed", str(first), str(second)), comparison["changed"])
    if comparison["worse"] > comparison["better"]:
        raise Failure("more questions are worse than better", ExitCode.WORSE)
