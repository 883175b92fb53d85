"""A child process that cannot outlive this one, with its output as lines."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from infra.local.names import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LAUNCHER = Path(__file__).with_name("child.py")
# What is kept of a process's output to explain its death.
KEPT_LINES = 20


class Child:
    """One command under `infra/local/child.py`. Output and errors come as one stream of lines."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_line: Callable[[str], None],
        on_exit: Callable[[int], None],
    ) -> None:
        """Start it. `on_line` and `on_exit` (with the exit status) are called from a thread of their own."""
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._on_line = on_line
        self._on_exit = on_exit
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(LAUNCHER), "--", *command],
            stdin=subprocess.PIPE,  # its end is how the launcher learns that we are gone
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=ROOT,
            # Not in our group: whoever kills our group must not kill the launcher before it has cleaned up.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The launcher's process id: the command is its child."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the command is still there."""
        return self._process.poll() is None

    @property
    def last_line(self) -> str:
        """The last line of output that says something, or an empty string."""
        return self.last_lines[-1] if self.last_lines else ""

    def stop(self, grace_s: float) -> None:
        """Ask it to end, and kill it with all that it started after `grace_s` seconds."""
        self._process.terminate()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self._reader.join(1)

    def kill(self) -> None:
        """Kill the command and everything that it started."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is not None:
            for raw in stream:
                # awslambdaric parts the lines of a traceback with carriage returns.
                for line in raw.decode("utf-8", "replace").splitlines():
                    if line.strip():
                        self.last_lines.append(line.rstrip())
                        self._on_line(line.rstrip())
            stream.close()
        status = self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._on_exit(status)
