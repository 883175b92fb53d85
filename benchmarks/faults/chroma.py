"""A Chroma server that can be killed, started again on the same data, and robbed of its volume."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from infra.local.names import HOST
from infra.local.process import Child
from infra.local.stack import answers, base_environment, free_port

_READY_S = 60.0


class ChromaServer:
    """`chroma run` on one folder and one port."""

    def __init__(self, folder: Path) -> None:
        """Not started."""
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self._folder = folder
        self._child: Child | None = None

    def start(self) -> None:
        """Start it and wait until it answers. Raises `RuntimeError`."""
        program = Path(sys.executable).with_name("chroma")
        deadline = time.monotonic() + _READY_S
        while True:
            self._child = Child(
                [str(program), "run", "--path", str(self._folder), "--host", HOST, "--port", str(self.port)],
                base_environment({"ANONYMIZED_TELEMETRY": "False"}),
                lambda _: None,
                lambda _: None,
            )
            # The port of a killed server may take a moment to be free: then this one ends, and another is tried.
            while self._child.running and time.monotonic() < deadline:
                if answers(f"{self.url}/api/v2/heartbeat"):
                    return
                time.sleep(0.05)
            if time.monotonic() > deadline:
                raise RuntimeError(f"Chroma did not start: {self._child.last_line}")

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._child is not None:
            self._child.kill()

    def lose_volume(self) -> None:
        """Kill it and remove all that it stored."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def temporary_root() -> Path:
    """Where a run's files lie: memory where there is some, so that a slow disk is not what is measured."""
    shared = Path("/dev/shm")  # noqa: S108 - a file system in memory, used for a folder of our own
    return shared if os.access(shared, os.W_OK) else Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108
