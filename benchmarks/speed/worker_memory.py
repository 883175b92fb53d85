"""The peak memory of the ingest workers of a local stack, and of the children that open PDFs for them."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil

from infra.local.stack import StackOptions

_HANDLER = StackOptions.ingest_handler
_PAUSE_S = 0.05
_LOOK_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Peak:
    """Bytes of resident memory: of one worker, of its children, and of both at the same moment."""

    worker: int = 0
    children: int = 0
    together: int = 0

    def or_more(self, worker: int, children: int) -> Peak:
        """With what is seen now. Pages that both map are counted twice, so `together` is rather too much."""
        together = max(self.together, worker + children)
        return Peak(max(self.worker, worker), max(self.children, children), together)


class WorkerMemory:
    """Looks in a thread of its own, for the time of the block; `peak` is of the largest worker."""

    def __init__(self) -> None:
        """Not begun."""
        self.peak = Peak()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        workers: list[psutil.Process] = []
        looked = 0.0
        while not self._stop.wait(_PAUSE_S):
            if time.monotonic() > looked + _LOOK_AGAIN_S:
                workers, looked = _workers(), time.monotonic()
            for worker in workers:
                with suppress(psutil.Error):
                    children = sum(map(_opened_pdf, worker.children(recursive=True)))
                    self.peak = self.peak.or_more(worker.memory_info().rss, children)


def _workers() -> list[psutil.Process]:
    found = []
    for process in psutil.Process(os.getpid()).children(recursive=True):
        with suppress(psutil.Error):
            # Not its launcher (`infra/local/child.py`), whose command line ends alike.
            if process.cmdline()[1:] == ["-m", "awslambdaric", _HANDLER]:
                found.append(process)
    return found


def _opened_pdf(process: psutil.Process) -> int:
    """Its memory; 0 for one that was forked just now, and still is a picture of the worker."""
    try:
        return 0 if _HANDLER in process.cmdline() else int(process.memory_info().rss)
    except psutil.Error:
        return 0
