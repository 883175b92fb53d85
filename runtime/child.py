"""Run one command and kill it, with all that it started, when the parent of this process ends.

``python -IS child.py -- COMMAND…``, with a pipe as standard input whose other end only the parent holds. The pipe
closes when the parent ends, even by SIGKILL. The command has its own session, so Ctrl-C reaches the parent only.
It imports psutil only at the end, because a function's cold start waits for this script.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from functools import partial

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _die_with(launcher: int) -> None:
    """Let the system kill this process, the command before its start, when the launcher ends."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:  # the launcher was killed before that call
        os._exit(137)


def _kill_all() -> None:
    """Kill every descendant. This process adopts orphans, so repeat until none is left."""
    import site

    site.main()  # run it, because -S skipped it
    import psutil

    while family := psutil.Process().children(recursive=True):
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def _end_with_parent() -> None:
    os.read(0, 1)
    try:
        _kill_all()
    finally:  # even if psutil cannot load, the command ends with this process
        os._exit(137)


def main(command: list[str]) -> int:
    """Run the command. Return its exit status, 128 + N after signal N, or 137 when the parent ended."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=partial(_die_with, os.getpid()),  # noqa: PLW1509 - no second thread yet
        )
    except OSError as error:
        print(f"cannot run {command[0]}: {error}", file=sys.stderr)
        return 127
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    status = child.wait()
    _kill_all()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[sys.argv.index("--") + 1 :]))
