"""Start a child process: forked by the fork server where that serves its reader, else as a fresh interpreter.

Forking takes 3 ms of processor time; a fresh interpreter with PDFium takes 100 ms. Either child reads one document
under the same limits and filter. Forking needs Linux, where this process can adopt the children of the server.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, cast

from docwell.adapters.documents.fork_server import PID_BYTES

FORK_SERVER = Path(__file__).with_name("fork_server.py")
# The folder from which the child imports docwell.
PACKAGE_ROOT = Path(__file__).parents[3]
PDFIUM = "pdfium"
# The longest wait for the fork server, which starts within 10 s on a machine with much other work.
START_S = 30.0
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class Started:
    """A running child, its requests and answers, and the server that forked it.

    `first_peak` is the memory in bytes that the kernel counts as its peak from the start.
    """

    pid: int
    requests: IO[bytes]
    answers: IO[bytes]
    server: ForkServer | None = None
    first_peak: int = 0


def start(program: Path, settings: dict[str, Any]) -> Started:
    """Start the program in its own process group, with the settings as its argument."""
    settings = {**settings, "sys_path": _import_path()}
    forked = fork_server(program).fork(settings) if settings["reader"] == PDFIUM else None
    return forked or _fresh(program, settings)


@cache
def fork_server(program: Path) -> ForkServer:
    """Return the fork server of a program. It is not started before its first fork."""
    return ForkServer(program)


def peak_bytes(usage: resource.struct_rusage) -> int:
    """Return the largest resident memory."""
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class ForkServer:
    """A process that has imported PDFium and forks a child for each document. Safe for threads.

    It is replaced after any child that failed, so that no two attempts of an attack meet the same memory layout.
    """

    def __init__(self, program: Path) -> None:
        self._program = program
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Start the process, without waiting for its imports. A second call does nothing."""
        with self._lock:
            self._start()

    def fork(self, settings: dict[str, Any]) -> Started | None:
        """Return a forked child; None where the system lets this process have none."""
        with self._lock, contextlib.ExitStack() as opened:
            control = self._start()
            if control is None:
                return None
            # Without an answer, the server is in an unknown state.
            opened.callback(self._close)
            ends = [
                opened.enter_context(os.fdopen(end, mode, 0))
                for _ in range(2)
                for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True)
            ]
            child_reads, requests, answers, child_writes = ends
            try:
                files = [child_reads.fileno(), child_writes.fileno()]
                socket.send_fds(control, [json.dumps(settings).encode()], files)
            except OSError:  # it has died
                return None
            child_reads.close()
            child_writes.close()
            if (pid := _pid_of(answers)) is None:
                return None
            opened.pop_all()
            return Started(pid, requests, answers, self)

    def close(self) -> None:
        """End the process. The next fork starts another; children go on."""
        with self._lock:
            self._close()

    def _start(self) -> socket.socket | None:
        if self._control is None and _adopts_orphans():
            with contextlib.suppress(OSError):  # too many files or processes, or no such sockets
                control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                control.settimeout(START_S)  # a message waits for room
                with theirs:
                    arguments = [str(theirs.fileno()), str(self._program), json.dumps(_import_path())]
                    self._server = _popen([str(FORK_SERVER), *arguments], subprocess.DEVNULL, (theirs.fileno(),))
                self._control = control
        return self._control

    def _close(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._server is not None:
            # Its process group has the forks that it has not announced. This process adopts them.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
            with contextlib.suppress(ChildProcessError):
                while True:
                    os.waitpid(-self._server.pid, 0)
            self._server = None


def _pid_of(answers: IO[bytes]) -> int | None:
    """Return the process id that a forked child writes; None where there is no child in time."""
    poll = select.poll()
    poll.register(answers, select.POLLIN)
    if not poll.poll(START_S * 1000):
        return None
    return int(answers.read(PID_BYTES) or 0) or None


def _fresh(program: Path, settings: dict[str, Any]) -> Started:
    # The kernel starts a program's peak memory at that of the process that started it (setmax_mm_hiwater_rss).
    first_peak = peak_bytes(resource.getrusage(resource.RUSAGE_SELF))
    process = _popen([str(program), json.dumps(settings)], subprocess.PIPE, ())
    # `Child` waits for the process, because it needs the processor time and the memory.
    process.returncode = 0
    return Started(
        process.pid, cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout), None, first_peak
    )


def _popen(arguments: list[str], streams: int, files: tuple[int, ...]) -> subprocess.Popen[bytes]:
    # The limits forbid threads; numpy must not start its own.
    environment = {"LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"}
    # Lambda's Python needs it to find its shared library.
    if folders := os.environ.get("LD_LIBRARY_PATH"):
        environment["LD_LIBRARY_PATH"] = folders
    return subprocess.Popen(
        [sys.executable, "-I", "-B", "-X", "utf8", *arguments],
        stdin=streams,
        stdout=streams,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd="/",
        start_new_session=True,
        bufsize=0,
        pass_fds=files,
    )


def _import_path() -> list[str]:
    return [*(entry for entry in sys.path if Path(entry).is_absolute()), str(PACKAGE_ROOT)]


@cache
def _adopts_orphans() -> bool:
    """Become the parent of children whose parent has ended. Return whether the kernel allows it."""
    if sys.platform != "linux":
        return False
    return int(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) == 0
