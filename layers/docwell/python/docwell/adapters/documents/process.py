"""The parent's side of a child process that reads one PDF: start it, ask it a line, read its line, reap it.

The parent trusts nothing that the child says: an answer is one JSON object on one line of bounded length, else the
child counts as crashed. The child runs `child.py`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from docwell.models import Reason

CHILD = Path(__file__).with_name("child.py")
# The folder from which the child imports docwell.
PACKAGE_ROOT = Path(__file__).parents[3]
# JSON takes at most 12 bytes for a character (an escaped surrogate pair); headings and keys take the rest.
BYTES_PER_CHARACTER = 12
LINE_OVERHEAD = 131_072
# A child that failed with a peak over this share of its memory limit counts as out of memory.
NEAR_LIMIT = 0.7


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """The limits of one child: bytes besides the file's, seconds of processor time, characters of a page."""

    memory_bytes: int
    cpu_s: float
    max_page_characters: int
    program: Path = CHILD


class ChildError(Exception):
    """The child can no longer be used; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class Child:
    """One child process, which answers one line at a time."""

    def __init__(self, path: Path, reader: str, limits: ChildLimits) -> None:
        self._memory_bytes = limits.memory_bytes
        self._longest = limits.max_page_characters * BYTES_PER_CHARACTER + LINE_OVERHEAD
        settings = {
            "reader": reader,
            "path": str(path.absolute()),
            "sys_path": [*(entry for entry in sys.path if Path(entry).is_absolute()), str(PACKAGE_ROOT)],
            "memory_bytes": limits.memory_bytes,
            "cpu_s": math.ceil(limits.cpu_s) + 1,
            "max_page_characters": limits.max_page_characters,
        }
        # Lambda's Python needs it to find its shared library.
        kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
        # The limits forbid threads; numpy must not start its own.
        kept["OPENBLAS_NUM_THREADS"] = "1"
        # The kernel starts a child's peak memory at its parent's (setmax_mm_hiwater_rss).
        self._parent_peak = _peak_bytes(resource.getrusage(resource.RUSAGE_SELF))
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-X", "utf8", str(limits.program), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"LANG": "C.UTF-8", **kept},
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._answers = cast("IO[bytes]", self._process.stdout)
        self._buffer = bytearray()

    def ask(self, request: str, deadline: float) -> dict[str, Any]:
        """Return the child's answer, of the kind asked for or `failed`. Raises `ChildError`."""
        # A dead child's last answer may still be in the pipe.
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(f"{request}\n".encode())
        answer = _parse(self._line(deadline))
        if answer.get("kind") == "refused" and answer.get("reason") in tuple(Reason):
            raise ChildError(Reason(answer["reason"]))
        if not _well_formed(answer, request.split(maxsplit=1)[0]):
            raise ChildError(Reason.READER_CRASHED)
        return answer

    def close(self) -> None:
        """Kill and reap the child and its descendants. A second call does nothing."""
        if self._process.returncode is None:
            self._reap(kill=True)
        self._requests.close()
        self._answers.close()

    def _line(self, deadline: float) -> bytes:
        descriptor = self._answers.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise ChildError(Reason.TOO_SLOW)
            piece = os.read(descriptor, 1 << 16)
            if not piece:
                raise ChildError(self._cause_of_death())
            self._buffer += piece
            if len(self._buffer) > self._longest:
                raise ChildError(Reason.READER_CRASHED)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _reap(self, *, kill: bool) -> int:
        """Wait for the end. Return the peak memory in bytes, 0 where it may be the parent's."""
        if kill:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        try:
            _, status, usage = os.wait4(self._process.pid, 0)
        except ChildProcessError:  # this process ignores SIGCHLD, so the kernel has reaped the child
            self._process.returncode = -signal.SIGKILL
            return 0
        self._process.returncode = os.waitstatus_to_exitcode(status)
        peak = _peak_bytes(usage)
        return peak if peak > self._parent_peak else 0

    def _has_ended(self, within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        with contextlib.suppress(ChildProcessError):
            # WNOWAIT leaves the status to wait4, the only call that returns the peak memory.
            while os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.002)
        return True

    def _cause_of_death(self) -> Reason:
        """Return a best guess why the output ended; a child that closed it and lives on counts as crashed."""
        if not self._has_ended(within_s=1.0):
            return Reason.READER_CRASHED
        peak = self._reap(kill=False)
        code = self._process.returncode
        if code == -signal.SIGXCPU:
            return Reason.TOO_SLOW
        # SIGABRT is a failed allocation in PDFium. SIGKILL is the kernel's out-of-memory killer: this process
        # never asks a child again after killing it.
        if code in {-signal.SIGABRT, -signal.SIGKILL} or (code and peak > NEAR_LIMIT * self._memory_bytes):
            return Reason.TOO_MUCH_MEMORY
        return Reason.READER_CRASHED


def _peak_bytes(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _parse(line: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        raise ChildError(Reason.READER_CRASHED) from None
    if not isinstance(answer, dict):
        raise ChildError(Reason.READER_CRASHED)
    return answer


def _well_formed(answer: dict[str, Any], asked: str) -> bool:
    """Return whether an answer has the fields of its kind, in the right types."""
    pages, kind = answer.get("pages"), answer.get("kind")
    if type(pages) is not int or pages < 0:
        return False
    if kind == asked == "info":
        return all(isinstance(answer.get(name, 0), str | None) for name in ("title", "author", "created"))
    if kind == asked == "page":
        shapes = {"text": str, "label": str | None, "suspect": bool}
        typed = all(isinstance(answer.get(name, 0), shape) for name, shape in shapes.items())
        headings = answer.get("headings", [])
        typed = typed and isinstance(headings, list) and all(map(_is_heading, headings))
        return typed and _is_share(answer.get("confidence"))
    return kind == "failed" and asked == "page"


def _is_share(found: object) -> bool:
    """Return whether this is None or a number from 0 to 1."""
    return found is None or (isinstance(found, int | float) and 0 <= found <= 1)


def _is_heading(found: object) -> bool:
    """Return whether this is a list of a text and a finite number."""
    match found:
        case [str(), int() | float() as size]:
            return math.isfinite(size)
    return False
