"""The processor time of a local stack's processes: docwell's own, Chroma's, and that of the parts that AWS has."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Self

import psutil

from benchmarks.speed.worker_memory import workers_of
from infra.local.stack import StackOptions


@dataclass(frozen=True, slots=True)
class ProcessorTime:
    """Seconds so far: of ingest's workers, of the processes that read documents, of Chroma, and of all others.

    The others are the local AWS server, the gateway, the poller and this process, which uploads and waits.
    """

    workers: float = 0.0
    readers: float = 0.0
    chroma: float = 0.0
    stand_ins: float = 0.0

    @classmethod
    def now(cls) -> Self:
        """Read the times of this process and all below it."""
        this = psutil.Process()
        workers = set(workers_of(this, StackOptions.ingest_handler))
        readers = {reader for worker in workers for reader in worker.children(recursive=True)}
        found = dict.fromkeys((field.name for field in fields(cls)), 0.0)
        for process in (this, *this.children(recursive=True)):
            with suppress(psutil.Error):
                times, name = process.cpu_times(), process.name()
                if process in workers:
                    kind = "workers"
                    found["readers"] += times.children_user + times.children_system
                else:
                    kind = "readers" if process in readers else "chroma" if name == "chroma" else "stand_ins"
                found[kind] += times.user + times.system
        return cls(**found)

    @property
    def own(self) -> float:
        """The part that the cloud has as well."""
        return self.workers + self.readers + self.chroma

    def since(self, before: Self, count: int) -> Self:
        """Return the time for each of `count` documents since another look."""
        return type(self)(*((getattr(self, one.name) - getattr(before, one.name)) / count for one in fields(self)))
