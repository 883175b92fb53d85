"""What every benchmark of speed is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

# Each is a module here with `measure(report, options)`, and `make bench-NAME`.
NAMES = ("size", "encode", "coldstart", "stream", "query", "memory", "ingest", "scale", "cost")

# No time is measured in these, so they need no quiet machine.
UNTIMED = ("size", "memory", "cost")

# Reads the reports of others.
WORKED_OUT = ("cost",)

# The row by which a report of the short form is known.
SHORT = "short form"


class TooFewPdfsError(Exception):
    """The PDFs have too little text to measure with; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Options:
    """`short` is the form that CI runs: fewer and smaller, no peers, and no goal but those of counts.

    `pdfs` are folders of PDFs in place of those of the evaluation set.
    """

    short: bool = False
    peers: bool = True
    pdfs: tuple[Path, ...] = ()
    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))

    def goal(self, text: str) -> str | None:
        """The goal of a timing: none in the short form, which measures too little to judge."""
        return None if self.short else text

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Tick]:
        """A bar; call what it gives after each of `total` steps."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            yield Tick(bar, bar.add_task(what, total=total))


@dataclass(frozen=True, slots=True)
class Tick:
    """One step more."""

    _bar: Progress
    _task: object

    def __call__(self, what: str | None = None) -> None:
        """A step is done; `what` is the next one's name."""
        self._bar.update(self._task, advance=1)  # type: ignore[arg-type] # rich's own id of the bar
        if what is not None:
            self._bar.update(self._task, description=what)  # type: ignore[arg-type] # as above
