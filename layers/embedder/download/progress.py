"""Report the progress of a download: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

_LINE_EVERY_S = 5.0

# The argument is the total of bytes so far, not the increment.
Report = Callable[[int], None]


class Reporter:
    """Prints notes and progress of one fetch to a console, stderr by default."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)

    def note(self, text: str) -> None:
        """Print one line."""
        # No markup: an error may contain brackets. Soft wrap: a line stays one line in a log.
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def transfer(self, title: str, total: int) -> Iterator[Report]:
        """Report progress towards `total` bytes."""
        if not self._console.is_terminal:
            yield self._lines(title, total)
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task(title, total=total)
            yield lambda done: progress.update(task, completed=done)

    def _lines(self, title: str, total: int) -> Report:
        self.note(f"{title} ({decimal(total)})")
        last = time.monotonic()

        def report(done: int) -> None:
            nonlocal last
            if time.monotonic() - last >= _LINE_EVERY_S:
                last = time.monotonic()
                self.note(f"{title}: {decimal(done)} of {decimal(total)}")

        return report
