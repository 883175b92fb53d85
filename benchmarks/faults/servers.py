"""Servers that can be stopped, or killed and started again on the same data."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.local.names import HOST
from infra.local.ports import answers, free_port
from infra.local.stack import base_environment
from runtime.process import Child

_READY_S = 60.0


class Server:
    """A command that serves when `ready_url` answers 200, with `body` where there is one."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], ready_url: str, body: str | None = None
    ) -> None:
        self.lines: list[str] = []  # its output
        self._command, self._environment = command, environment
        self._ready_url, self._body = ready_url, body
        self._child: Child | None = None
        self._statuses: list[int] = []

    def start(self) -> None:
        """Start it and wait until it answers. Raises `RuntimeError`."""
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            self._child = Child(self._command, self._environment, self.lines.append, self._statuses.append)
            # The port of a killed server can stay in use for a moment: the command then exits, so start it again.
            while self._child.running and time.monotonic() < deadline:
                if answers(self._ready_url, body=self._body):
                    return
                time.sleep(0.05)
        raise RuntimeError(f"{self._command[0]} did not start: {self._child and self._child.last_line}")

    def stop(self) -> float:
        """Send SIGTERM; return the seconds until its end. Raises `RuntimeError` for another status than 0."""
        started = time.monotonic()
        if self._child is not None:
            self._child.stop(_READY_S)
        if self._statuses[-1:] != [0]:
            raise RuntimeError(f"a stopped server ended with {self._statuses[-1:]}: {self.lines[-8:]}")
        return time.monotonic() - started

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()


def chroma_server(folder: Path) -> tuple[Server, int]:
    """Return `chroma run` on a folder, and its port."""
    port, program = free_port(), Path(sys.executable).with_name("chroma")
    command = [str(program), "run", "--path", str(folder), "--host", HOST, "--port", str(port)]
    environment = base_environment({"ANONYMIZED_TELEMETRY": "False"})
    return Server(command, environment, f"http://{HOST}:{port}/api/v2/heartbeat"), port
