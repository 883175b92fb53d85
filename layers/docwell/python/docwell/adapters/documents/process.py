"""The parent's side of a child process that reads one document: start it, ask it a line, read its line, reap it.

The parent trusts nothing that the child says: an answer is one JSON object on one line of bounded length, else the
child counts as crashed. The child runs `child.py`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import time
from pathlib import Path
from typing import Any

from docwell.adapters.documents.launching import peak_bytes, start
from docwell.citation_units import UnitKind
from docwell.errors import Unavailable
from docwell.models import Reason

CHILD = Path(__file__).with_name("child.py")
# The texts of an `info` answer.
INFO_TEXTS = ("title", "author", "created", "media_type")
# JSON takes at most 12 bytes for a character (an escaped surrogate pair); headings and keys take the rest.
BYTES_PER_CHARACTER = 12
LINE_OVERHEAD = 131_072
# A child that failed with a peak over this share of its memory limit counts as out of memory.
NEAR_LIMIT = 0.7
# The parent reads the child's processor time this often, in seconds.
CLOCK_EVERY_S = 0.25


class ChildError(Exception):
    """The child can no longer be used; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class Child:
    """One child process, which answers one line at a time.

    `memory_bytes` come on top of the file's. `cpu_s` is the processor time of its whole life, which the kernel
    enforces.
    """

    def __init__(self, path: Path, reader: str, memory_bytes: int, cpu_s: float, max_page_characters: int) -> None:
        self._memory_bytes = memory_bytes
        self._longest = max_page_characters * BYTES_PER_CHARACTER + LINE_OVERHEAD
        settings = {
            "reader": reader,
            "path": str(path.absolute()),
            "memory_bytes": memory_bytes,
            "cpu_s": math.ceil(cpu_s) + 1,
            "max_page_characters": max_page_characters,
        }
        started = start(CHILD, settings)
        self._pid, self._requests, self._answers = started.pid, started.requests, started.answers
        self._first_peak, self._server = started.first_peak, started.server
        self._exit_code: int | None = None
        # MAKE_PROCESS_CPUCLOCK in linux/posix-timers_types.h: the time of all threads, in nanoseconds.
        self._clock = ~self._pid << 3 | 2
        self._cpu_s = 0.0

    @property
    def cpu_s(self) -> float:
        """The processor time that the child has used, in seconds. macOS tells it only of a child that ended."""
        if self._exit_code is None:
            with contextlib.suppress(OSError):
                self._cpu_s = time.clock_gettime(self._clock)
        return self._cpu_s

    def ask(self, request: str, cpu_s: float, deadline: float) -> dict[str, Any]:
        """Return the child's answer, of the kind asked for or `failed`.

        Raises:
            ChildError: the child died, gave an invalid answer or used over `cpu_s` of processor time for it.
            Unavailable: the monotonic clock reached `deadline` before: the child was stopped or starved.
        """
        try:
            return self._asked(request, cpu_s, deadline)
        except (ChildError, Unavailable):
            if self._server is not None:
                self._server.close()
            raise

    def close(self) -> None:
        """Kill and reap the child and its descendants. A second call does nothing."""
        if self._exit_code is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)
            self._reap()
        self._requests.close()
        self._answers.close()

    def _asked(self, request: str, cpu_s: float, deadline: float) -> dict[str, Any]:
        # A dead child's last answer may still be in the pipe.
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(f"{request}\n".encode())
        try:
            answer = json.loads(self._line(self.cpu_s + cpu_s, deadline))
        except (ValueError, RecursionError):
            raise ChildError(Reason.READER_CRASHED) from None
        match answer:
            case {"kind": "refused", "reason": str(reason)} if reason in tuple(Reason):
                raise ChildError(Reason(reason))
            case dict() if _is_well_formed(answer, asked=request.partition(" ")[0]):
                return answer
        raise ChildError(Reason.READER_CRASHED)

    def _line(self, cpu_s: float, deadline: float) -> bytearray:
        descriptor = self._answers.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        line = bytearray()
        while True:
            left = deadline - time.monotonic()
            if poll.poll(max(0.0, min(left, CLOCK_EVERY_S)) * 1000):
                piece = os.read(descriptor, 1 << 16)
                if not piece:
                    raise ChildError(self._cause_of_death())
                line += piece
                if line.endswith(b"\n"):
                    return line
                if len(line) > self._longest:
                    raise ChildError(Reason.READER_CRASHED)
            if self.cpu_s > cpu_s:
                raise ChildError(Reason.TOO_SLOW)
            if left <= 0:
                raise Unavailable("reader", "the reader gets too little processor time")

    def _reap(self) -> int:
        """Wait for the end. Return the peak memory in bytes, 0 where it may be the parent's."""
        try:
            _, status, usage = os.wait4(self._pid, 0)
        except ChildProcessError:  # this process ignores SIGCHLD, so the kernel has reaped the child
            self._exit_code = -signal.SIGKILL
            return 0
        self._exit_code = os.waitstatus_to_exitcode(status)
        self._cpu_s = usage.ru_utime + usage.ru_stime
        peak = peak_bytes(usage)
        return peak if peak > self._first_peak else 0

    def _has_ended(self, within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        with contextlib.suppress(ChildProcessError):
            # WNOWAIT leaves the status to wait4, the only call that returns the peak memory.
            while os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.002)
        return True

    def _cause_of_death(self) -> Reason:
        """Return a best guess why the output ended; a child that closed it and lives on counts as crashed."""
        if not self._has_ended(within_s=1.0):
            return Reason.READER_CRASHED
        peak = self._reap()
        code = self._exit_code
        if code == -signal.SIGXCPU:
            return Reason.TOO_SLOW
        # SIGABRT is a failed allocation in PDFium. SIGKILL is the kernel's out-of-memory killer: this process
        # never asks a child again after killing it.
        if code in {-signal.SIGABRT, -signal.SIGKILL} or (code and peak > NEAR_LIMIT * self._memory_bytes):
            return Reason.TOO_MUCH_MEMORY
        return Reason.READER_CRASHED


def _is_well_formed(answer: object, asked: str) -> bool:
    """Return whether an answer to a request has the fields of its kind, in the right types."""
    match asked, answer:
        case "info", {"kind": "info", "pages": int(pages), "files": int(files), **texts}:
            are_texts = all(isinstance(texts.get(name, 0), str | None) for name in INFO_TEXTS)
            return min(pages, files) >= 0 and are_texts
        case "count", {"kind": "count", "pages": int(pages)}:
            return pages >= 0
        case "page", {
            "kind": "page",
            "pages": int(pages),
            "text": str(),
            "label": str() | None,
            "suspect": bool(),
            "headings": [*headings],
            "confidence": None | int() | float() as confidence,
            "hidden": int(hidden),
            "units": [*units],
            "partial": bool(),
            "picture": bool(),
            "unreadable": bool(),
        }:
            return (
                min(pages, hidden) >= 0
                and all(map(_is_heading, headings))
                and all(map(_is_unit, units))
                and (confidence is None or 0 <= confidence <= 1)
            )
        case "page", {"kind": "failed", "pages": int(pages)}:
            return pages >= 0
    return False


def _is_unit(found: object) -> bool:
    match found:
        case [int(start), str(kind), str(), str()]:
            return start >= 0 and kind in tuple(UnitKind)
    return False


def _is_heading(found: object) -> bool:
    match found:
        case [str(), int() | float() as size]:
            return math.isfinite(size)
    return False
