"""The processes of a function, and the peak memory of its workers with the children that open PDFs for them."""

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import psutil

from infra.local.stack import StackOptions

_PAUSE_S = 0.05
_LOOKS_FOR_EACH_LIST = 20


@dataclass(frozen=True, slots=True)
class Peak:
    """Bytes of memory: of one worker, of its children, and of both at the same moment.

    A worker's are all that is resident. Its children share most with each other, so theirs are proportional.
    """

    worker: int = 0
    children: int = 0
    together: int = 0

    def or_more(self, worker: int, children: int) -> Self:
        """Return the peak after another look."""
        together = max(self.together, worker + children)
        return type(self)(max(self.worker, worker), max(self.children, children), together)


class WorkerMemory:
    """Looks twenty times a second during the block; `peak` is of the largest worker."""

    def __init__(self, handler: str = StackOptions.ingest_handler) -> None:
        """Watch the processes that this process started for `handler`."""
        self.peak = Peak()
        self._handler = handler
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        looks, workers = 0, list[psutil.Process]()
        while not self._stop.wait(_PAUSE_S):
            if not workers or looks % _LOOKS_FOR_EACH_LIST == 0:
                workers = workers_of(psutil.Process(), self._handler)
            looks += 1
            for worker in workers:
                with suppress(psutil.Error):
                    children = sum(map(self._opened_pdf, worker.children(recursive=True)))
                    self.peak = self.peak.or_more(worker.memory_info().rss, children)

    def _opened_pdf(self, process: psutil.Process) -> int:
        """Return its memory, or 0 just after the fork, when it is still a copy of the worker."""
        try:
            return 0 if self._handler in process.cmdline() else int(process.memory_full_info().pss)
        except psutil.Error:
            return 0


def workers_of(parent: psutil.Process, handler: str) -> list[psutil.Process]:
    """Return the processes below `parent` that run `python -m RUNTIME HANDLER`; launchers have longer commands."""
    workers = []
    for process in parent.children(recursive=True):
        with suppress(psutil.Error):
            command = process.cmdline()
            if len(command) == 4 and command[1] == "-m" and command[3] == handler:
                workers.append(process)
    return workers
