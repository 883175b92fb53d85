"""The parent's side of a child process that reads a document: start it, send requests, read answers, reap it.

The parent trusts no answer of the child: an answer is a JSON object on one line of bounded length with the fields
of `Answer`, else the child counts as crashed. The child runs `child.py`. A fork server, which has imported the
libraries, forks it in 3 ms of processor time; a fresh interpreter takes 100 ms for PDFium, and a second for all
other formats. Both have the same limits and filter. Forking needs Linux, where this process can adopt the children
of the server.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, cast

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from docwell.adapters.documents.child import PID_BYTES, READERS
from docwell.adapters.documents.parts import PageText
from docwell.errors import Unavailable
from docwell.models import Reason

CHILD = Path(__file__).with_name("child.py")
# JSON takes at most 12 bytes for a character (an escaped surrogate pair); headings and keys take the rest.
BYTES_PER_CHARACTER = 12
LINE_OVERHEAD = 131_072
# A child that failed with a peak over this share of its memory limit counts as out of memory.
NEAR_LIMIT = 0.7
# The parent reads the child's processor time this often, in seconds.
CLOCK_EVERY_S = 0.25
# The folder from which the child imports docwell.
PACKAGE_ROOT = Path(__file__).parents[3]
# The longest wait for the fork server, which starts within 10 s on a machine with much other work.
START_S = 30.0
# The longest wait for the end of a child that has closed its output.
END_S = 1.0
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


class ChildError(Exception):
    """The child can no longer be used; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class Answer(BaseModel):
    """An answer of the child to `info`, or with a page, which is None where it cannot be read."""

    model_config = ConfigDict(allow_inf_nan=False)

    pages: NonNegativeInt = 0
    title: str | None = None
    author: str | None = None
    created: str | None = None
    media_type: str | None = None
    page: PageText | None = None
    refused: Reason | None = None


class Child:
    """A child process for one document, which answers one line at a time.

    The first request starts it, and the next one after a failure starts another. `memory_bytes` come on top
    of the file's. `cpu_s` is the processor time of the whole life of a process, which the kernel enforces.
    """

    def __init__(self, path: Path, reader: str, memory_bytes: int, cpu_s: float, max_page_characters: int) -> None:
        self._memory_bytes = memory_bytes
        self._longest = max_page_characters * BYTES_PER_CHARACTER + LINE_OVERHEAD
        self._settings = {
            "reader": reader,
            "path": str(path.absolute()),
            "memory_bytes": memory_bytes,
            "cpu_s": math.ceil(cpu_s) + 1,
            "max_page_characters": max_page_characters,
        }
        self._process: Started | None = None
        self._ended_s = 0.0

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    @property
    def cpu_s(self) -> float:
        """The processor time of all processes, in seconds. macOS reports it only for those that ended."""
        running_s = 0.0
        if self._process is not None:
            with contextlib.suppress(OSError):
                # MAKE_PROCESS_CPUCLOCK in linux/posix-timers_types.h: the time of all threads, in nanoseconds.
                running_s = time.clock_gettime(~self._process.pid << 3 | 2)
        return self._ended_s + running_s

    def ask(self, request: str, cpu_s: float, deadline: float) -> Answer:
        """Return the child's answer to a request (`child.py`).

        Raises:
            ChildError: the child died, gave an invalid answer or used over `cpu_s` of processor time for it.
            Unavailable: the monotonic clock reached `deadline` before: the child was stopped or starved.
        """
        if self._process is None:
            self._process = start(CHILD, self._settings)
        process = self._process
        try:
            return self._answer(process, request, cpu_s, deadline)
        except (ChildError, Unavailable):
            self.close()
            if process.server is not None:
                process.server.close()
            raise

    def close(self) -> None:
        """Kill and reap the process and its descendants. A second call does nothing."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._reap(self._process)

    def _answer(self, process: Started, request: str, cpu_s: float, deadline: float) -> Answer:
        # A dead child's last answer may still be in the pipe.
        with contextlib.suppress(BrokenPipeError):
            process.requests.write(f"{request}\n".encode())
        try:
            answer = Answer.model_validate_json(self._line(process, self.cpu_s + cpu_s, deadline))
        except ValidationError:
            raise ChildError(Reason.READER_CRASHED) from None
        if answer.refused:
            raise ChildError(answer.refused)
        return answer

    def _line(self, process: Started, cpu_s: float, deadline: float) -> bytearray:
        descriptor = process.answers.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        line = bytearray()
        while True:
            left = deadline - time.monotonic()
            if poll.poll(max(0.0, min(left, CLOCK_EVERY_S)) * 1000):
                piece = os.read(descriptor, 1 << 16)
                if not piece:
                    raise ChildError(self._cause_of_death(process))
                line += piece
                if line.endswith(b"\n"):
                    return line
                if len(line) > self._longest:
                    raise ChildError(Reason.READER_CRASHED)
            if self.cpu_s > cpu_s:
                raise ChildError(Reason.TOO_SLOW)
            if left <= 0:
                raise Unavailable("reader", "the reader gets too little processor time")

    def _reap(self, process: Started) -> tuple[int, int]:
        """Wait for the end. Return the exit code and the peak memory in bytes."""
        self._process = None
        process.requests.close()
        process.answers.close()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except ChildProcessError:  # this process ignores SIGCHLD, so the kernel has reaped the child
            return -signal.SIGKILL, 0
        self._ended_s += usage.ru_utime + usage.ru_stime
        return os.waitstatus_to_exitcode(status), usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    def _cause_of_death(self, process: Started) -> Reason:
        """Return a best guess why the output ended; a child that closed it and still runs counts as crashed."""
        deadline = time.monotonic() + END_S
        with contextlib.suppress(ChildProcessError):
            # WNOWAIT leaves the status to wait4, the only call that returns the peak memory.
            while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
                if time.monotonic() > deadline:
                    return Reason.READER_CRASHED
                time.sleep(0.002)
        code, peak = self._reap(process)
        if code == -signal.SIGXCPU:
            return Reason.TOO_SLOW
        # SIGABRT is a failed allocation in PDFium. SIGKILL is the kernel's out-of-memory killer: this process
        # never asks a child again after killing it.
        if code in {-signal.SIGABRT, -signal.SIGKILL} or (code and peak > NEAR_LIMIT * self._memory_bytes):
            return Reason.TOO_MUCH_MEMORY
        return Reason.READER_CRASHED


@dataclass(frozen=True, slots=True)
class Started:
    """A running child, its requests and answers, and the server that forked it."""

    pid: int
    requests: IO[bytes]
    answers: IO[bytes]
    server: ForkServer | None = None


def start(program: Path, settings: dict[str, Any]) -> Started:
    """Start the program in its own process group, with the settings as its argument."""
    if child := fork_server(program, READERS[settings["reader"]][0]).fork(settings):
        return child
    process = _popen(program, settings, subprocess.PIPE, ())
    # `Child` reaps the process itself, because it needs the processor time and the memory: tell Popen it ended.
    process.returncode = 0
    return Started(process.pid, cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout))


@cache
def fork_server(program: Path, module: str) -> ForkServer:
    """Return the fork server of a program and a module of readers, which starts with its first fork."""
    return ForkServer(program, module)


class ForkServer:
    """A process that has imported a module of readers and forks a child for each document. Safe for threads.

    It is replaced after any child that failed, so that no two attempts of an attack meet the same memory layout.
    """

    def __init__(self, program: Path, module: str) -> None:
        self._program, self._module = program, module
        self._lock = threading.RLock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> socket.socket | None:
        """Start the process, without waiting for its imports. A second call does nothing.

        Returns the socket to it, or None where the system allows no such process.
        """
        with self._lock:
            if self._control is None and _adopts_orphans():
                with contextlib.suppress(OSError):  # too many files or processes, or no such sockets
                    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                    control.settimeout(START_S)  # a message waits for room
                    with theirs:
                        settings = {"socket": theirs.fileno(), "module": self._module}
                        self._server = _popen(self._program, settings, subprocess.DEVNULL, (theirs.fileno(),))
                    self._control = control
            return self._control

    def fork(self, settings: dict[str, Any]) -> Started | None:
        """Return a forked child; None where the system refuses a new process."""
        with self._lock, contextlib.ExitStack() as opened:
            control = self.start()
            if control is None:
                return None
            # Without an answer, the server is in an unknown state.
            opened.callback(self.close)
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
            poll = select.poll()
            poll.register(answers, select.POLLIN)
            pid = int(answers.read(PID_BYTES) or 0) if poll.poll(START_S * 1000) else 0
            if not pid:  # no child writes it in time
                return None
            opened.pop_all()
            return Started(pid, requests, answers, self)

    def close(self) -> None:
        """End the process. The next fork starts another; children go on."""
        with self._lock:
            if self._control is None or self._server is None:
                return
            self._control.close()
            # Kill the process group, with forks that the server has not announced. This process adopts them.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
            with contextlib.suppress(ChildProcessError):
                while True:
                    os.waitpid(-self._server.pid, 0)
            self._control = self._server = None


def _popen(
    program: Path, settings: dict[str, Any], streams: int, files: tuple[int, ...]
) -> subprocess.Popen[bytes]:
    import_path = [*(entry for entry in sys.path if Path(entry).is_absolute()), str(PACKAGE_ROOT)]
    # The limits forbid threads; numpy must not start its own.
    environment = {"LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"}
    # Lambda's Python needs this variable to find its shared library.
    if folders := os.environ.get("LD_LIBRARY_PATH"):
        environment["LD_LIBRARY_PATH"] = folders
    return subprocess.Popen(
        [sys.executable, "-I", "-B", "-X", "utf8", program, json.dumps({**settings, "sys_path": import_path})],
        stdin=streams,
        stdout=streams,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd="/",
        start_new_session=True,
        bufsize=0,
        pass_fds=files,
    )


@cache
def _adopts_orphans() -> bool:
    """Become the parent of children whose parent has ended. Return whether the kernel allows it."""
    return sys.platform == "linux" and int(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) == 0
