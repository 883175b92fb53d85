"""A child process that ends with this one, its output as lines, and the end of this one when a thread fails."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import traceback
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.names import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LAUNCHER = Path(__file__).with_name("child.py")
# The last lines of output, to explain why a process ended.
KEPT_LINES = 20


class Child:
    """One command under `runtime/child.py`. Output and errors are one stream of lines."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_line: Callable[[str], None],
        on_exit: Callable[[int], None],
    ) -> None:
        """Start the command. A reader thread calls `on_line`, and `on_exit` with the exit status."""
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._on_line = on_line
        self._on_exit = on_exit
        self._process = subprocess.Popen(
            [sys.executable, "-IS", str(LAUNCHER), "--", *command],
            stdin=subprocess.PIPE,  # closes when this process ends; then the launcher kills the command
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # The encoding that `_read` decodes, in any locale.
            env={**environment, "PYTHONIOENCODING": "utf-8:backslashreplace"},
            cwd=ROOT,
            umask=0o077,  # documents and logs are private to the user
            # Use another session: killing this process group must leave the launcher to clean up.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The launcher's process id. The command is its child."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the command is running."""
        return self._process.poll() is None

    @property
    def last_line(self) -> str:
        """The last line of output that is not blank, or an empty string."""
        return self.last_lines[-1] if self.last_lines else ""

    def wait_output(self) -> None:
        """Wait, for a second at most, until the output of an ended command is read."""
        self._reader.join(1)

    def stop(self, grace_s: float) -> None:
        """Send SIGTERM, and kill the whole process tree after `grace_s` seconds."""
        self._process.terminate()
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self.wait_output()

    def kill(self) -> None:
        """Kill the command and all its descendants."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is not None:
            for raw in stream:
                # The lines of a traceback are separated by carriage returns.
                for line in raw.decode("utf-8", "replace").splitlines():
                    if line.strip():
                        self.last_lines.append(line.rstrip())
                        self._on_line(line.rstrip())
            stream.close()
        status = self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._on_exit(status)


def end_with_any_thread(failed: threading.ExceptHookArgs) -> None:
    """End the process when a thread fails, because it would look healthy. For `threading.excepthook`."""
    traceback.print_exception(failed.exc_type, failed.exc_value, failed.exc_traceback)
    os._exit(1)
