"""A progress bar on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

CONSOLE = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar that is shown; call it after each step."""

    _progress: Progress
    _task: TaskID

    def __call__(self, steps: float = 1) -> None:
        """Advance by some steps."""
        self._progress.advance(self._task, steps)

    def say(self, text: str) -> None:
        """Show what runs now."""
        self._progress.update(self._task, now=text)


@contextmanager
def bar(what: str, total: float) -> Iterator[Bar]:
    """Show a bar of `total` steps during the block."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[now]}"),
    )
    with Progress(*columns, console=CONSOLE, transient=True) as progress:
        yield Bar(progress, progress.add_task(what, total=total, now=""))
