"""How a download shows itself: a bar on a terminal, a line now and then elsewhere."""

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

# Takes the bytes that are there so far, not those that were added.
Report = Callable[[int], None]


class Reporter:
    """Notes and progress of one fetch, on one console (stderr by default)."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)

    def note(self, text: str) -> None:
        """One line."""
        # No markup: an error may hold brackets. Soft wrap: a log keeps one line as one line.
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def transfer(self, title: str, total: int) -> Iterator[Report]:
        """Progress over `total` bytes."""
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
