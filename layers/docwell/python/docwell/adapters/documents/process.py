"""A child process that reads one PDF, as its parent sees it: asked a line, answers a line, and may die.

Nothing that the child says is trusted: an answer is one JSON object in one line of bounded length, or the child
counts as crashed. How a death is read (`_cause_of_death`) is a best guess: an allocation that fails ends PDFium
with SIGABRT. What runs in it is `pdf_child.py`.
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
from typing import Any

from docwell.models import Reason

CHILD = Path(__file__).with_name("child.py")
# Where `import docwell` finds the package, in whatever way this process found it.
PACKAGE_ROOT = Path(__file__).parents[3]
# JSON spells one character with at most 12 bytes (an escaped surrogate pair); headings and keys are the rest.
BYTES_PER_CHARACTER = 12
LINE_OVERHEAD = 131_072
# Over this share of its memory limit, a child that died of a signal is taken to have died of it.
NEAR_LIMIT = 0.7


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """What one child may take: bytes besides the file's own, seconds of processor time, characters of a page."""

    memory_bytes: int
    cpu_s: float
    max_page_characters: int
    program: Path = CHILD


class Lost(Exception):  # noqa: N818 - a signal between two adapters
    """A child is of no more use: `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class Child:
    """One child process: asked a line, answers a line."""

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
        # Lambda's Python finds its shared library by this one.
        kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
        # Of numpy's own threads none is needed, and the limits forbid them.
        kept["OPENBLAS_NUM_THREADS"] = "1"
        # A child's peak memory starts at that of the process it was forked from (setmax_mm_hiwater_rss).
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
        self._buffer = bytearray()

    def ask(self, request: str, deadline: float) -> dict[str, Any]:
        """The child's answer, of the kind that was asked for or `failed`. Raises `Lost`."""
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        # A dead child's last words may still stand in the pipe.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{request}\n".encode())
        answer = _parse(self._line(deadline))
        if answer.get("kind") == "refused" and answer.get("reason") in tuple(Reason):
            raise Lost(Reason(answer["reason"]))
        if not _well_formed(answer, request.split(maxsplit=1)[0]):
            raise Lost(Reason.READER_CRASHED)
        return answer

    def close(self) -> None:
        """End the child and all that it started, and reap it. Twice is once."""
        if self._process.returncode is None:
            self._reap(kill=True)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _line(self, deadline: float) -> bytes:
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        descriptor = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise Lost(Reason.TOO_SLOW)
            piece = os.read(descriptor, 1 << 16)
            if not piece:
                raise Lost(self._cause_of_death())
            self._buffer += piece
            if len(self._buffer) > self._longest:
                raise Lost(Reason.READER_CRASHED)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _reap(self, *, kill: bool) -> int:
        """Wait for the end. Gives the peak memory in bytes, 0 where it is not known to be the child's."""
        if kill:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        try:
            _, status, usage = os.wait4(self._process.pid, 0)
        except ChildProcessError:  # this process ignores SIGCHLD: the kernel has reaped already
            self._process.returncode = -signal.SIGKILL
            return 0
        self._process.returncode = os.waitstatus_to_exitcode(status)
        peak = _peak_bytes(usage)
        return peak if peak > self._parent_peak else 0

    def _has_ended(self, within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        with contextlib.suppress(ChildProcessError):
            # WNOWAIT leaves the status for wait4, which alone tells the peak memory.
            while os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.002)
        return True

    def _cause_of_death(self) -> Reason:
        """Why the output ended. The child may have closed it and live on: then it is killed as crashed."""
        if not self._has_ended(within_s=1.0):
            return Reason.READER_CRASHED
        peak = self._reap(kill=False)
        code = self._process.returncode
        if code == -signal.SIGXCPU:
            return Reason.TOO_SLOW
        # SIGKILL is the kernel's out-of-memory killer: this process kills only what it then asks no more.
        if code in {-signal.SIGABRT, -signal.SIGKILL} or (code and peak > NEAR_LIMIT * self._memory_bytes):
            return Reason.TOO_MUCH_MEMORY
        return Reason.READER_CRASHED


def _peak_bytes(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _parse(line: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        raise Lost(Reason.READER_CRASHED) from None
    if not isinstance(answer, dict):
        raise Lost(Reason.READER_CRASHED)
    return answer


def _well_formed(answer: dict[str, Any], asked: str) -> bool:
    """Whether an answer has what its kind has, in the right types."""
    pages, kind = answer.get("pages"), answer.get("kind")
    if type(pages) is not int or pages < 0:
        return False
    if kind == asked == "info":
        return all(isinstance(answer.get(name, 0), str | None) for name in ("title", "author", "created"))
    if kind == asked == "page":
        shapes = {"text": str, "label": str | None, "suspect": bool}
        typed = all(isinstance(answer.get(name, 0), shape) for name, shape in shapes.items())
        return typed and _are_headings(answer.get("headings", [])) and _is_share(answer.get("confidence"))
    return kind == "failed" and asked == "page"


def _is_share(found: object) -> bool:
    """Whether this is nothing, or a number from 0 to 1."""
    return found is None or (isinstance(found, int | float) and 0 <= found <= 1)


def _are_headings(found: object) -> bool:
    """Whether these are pairs of a text and a finite number."""
    return isinstance(found, list) and all(
        isinstance(pair, list)
        and len(pair) == 2  # noqa: PLR2004 - a pair
        and isinstance(pair[0], str)
        and isinstance(pair[1], int | float)
        and math.isfinite(pair[1])
        for pair in found
    )
