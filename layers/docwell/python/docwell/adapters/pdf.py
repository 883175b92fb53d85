"""PDF to text by programs that may die: PDFium first, pypdf for what PDFium cannot read.

Each document is opened in a fresh child process (`pdf_child.py`) with limits on memory and processor time,
no credentials, nothing of this process but the file's path and, where the kernel allows (`pdf_sandbox.py`), no
way to reach anything else. Nothing that the child says is trusted: an
answer is one JSON object in one line of bounded length, or the child counts as crashed.

How a death is read (`_cause_of_death`) is a best guess: an allocation that fails ends PDFium with SIGABRT.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from docwell.attributes import day_of
from docwell.errors import Refused
from docwell.models import Heading, Page, PdfInfo, Reason
from docwell.text_quality import is_unreadable, tidy, unreadable_share

if TYPE_CHECKING:
    from collections.abc import Generator

CHILD = Path(__file__).with_name("pdf_child.py")
# Where `import docwell` finds the package, in whatever way this process found it.
PACKAGE_ROOT = Path(__file__).parents[2]
PDFIUM, PYPDF = "pdfium", "pypdf"
# Where readers look for the header; Adobe's implementation notes to PDF 1.7, appendix H.
HEADER_WITHIN = 1024
TRAILER_WITHIN = 2048
# What of `parse_timeout_s` each call may take, so that `inspect` and one `pages` stay within it together; the
# rest is for starting and ending up to four children.
INSPECT_SHARE, PAGES_SHARE = 0.3, 0.65
# The first reader's share of a call; pypdf needs seconds where PDFium needs tenths.
FIRST_SHARE = 2 / 3
# JSON spells one character with at most 12 bytes (an escaped surrogate pair); headings and keys are the rest.
BYTES_PER_CHARACTER = 12
LINE_OVERHEAD = 131_072
# Over this share of its memory limit, a child that died of a signal is taken to have died of it.
NEAR_LIMIT = 0.7
# Reasons that make a document dangerous rather than damaged.
POISON = frozenset({Reason.TOO_SLOW, Reason.TOO_MUCH_MEMORY, Reason.READER_CRASHED})

_DETAIL = {
    Reason.EMPTY_FILE: "The file has no content.",
    Reason.NOT_PDF: "The file's content is not a PDF.",
    Reason.ENCRYPTED: "The document needs a password.",
    Reason.CORRUPT: "The document is damaged: no reader can open it.",
    Reason.TOO_SLOW: "Reading the document takes too long.",
    Reason.TOO_MUCH_MEMORY: "Reading the document takes too much memory.",
    Reason.READER_CRASHED: "Reading the document crashes the reader.",
}


def _refused(reason: Reason) -> Refused:
    return Refused(reason, _DETAIL[reason])


class ChildPdfReader:
    """A `docwell.ports.PdfReader`. One `inspect` and one `pages` wait at most `parse_timeout_s` for children.

    Time that the caller spends between two pages is not counted. `child` is another program for tests.
    """

    def __init__(
        self,
        *,
        parse_timeout_s: float,
        parse_memory_bytes: int,
        max_document_pages: int,
        max_page_characters: int,
        child: Path = CHILD,
    ) -> None:
        self.parse_timeout_s = parse_timeout_s
        self.parse_memory_bytes = parse_memory_bytes
        self.max_document_pages = max_document_pages
        self.max_page_characters = max_page_characters
        self.child = child

    def inspect(self, path: Path) -> PdfInfo:
        """How many pages there are; title, author (tidied, None when empty) and the day it was made.

        Raises:
            Refused: empty_file, not_pdf, encrypted, corrupt, too_many_pages, or what a reader died of.
        """
        has_header = _check_content(path)
        with _Readers(self, path, INSPECT_SHARE) as readers:
            info = readers.ask(PDFIUM, "info") or readers.ask(PYPDF, "info")
            if info is None:
                raise _refused(readers.reason() if has_header else Reason.NOT_PDF)
        if info["pages"] > self.max_document_pages:
            detail = f"The document has {info['pages']} pages; {self.max_document_pages} are allowed."
            raise Refused(Reason.TOO_MANY_PAGES, detail)
        title, author = _one_line(info["title"]), _one_line(info["author"])
        return PdfInfo(info["pages"], title, author, day_of(info["created"]))

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        """Pages `first` to `last` (both included, 1-based) in order, their text tidied.

        A page that no reader can read, or whose text is unreadable, has no text and says so in `readable`.
        Closing the iterator ends the children.

        Raises:
            Refused: as `inspect`; too_much_text for one page over `max_page_characters`; corrupt when no
                page of a whole document can be read.
        """
        _check_content(path)
        failed = 0
        with _Readers(self, path, PAGES_SHARE) as readers:
            for number in range(first, last + 1):
                answer = readers.page(number)
                if answer is None:
                    if readers.reasons.keys() == {PDFIUM, PYPDF} or readers.poisoned:
                        raise _refused(readers.reason())
                    failed += 1
                    yield Page(number, "", readable=False)
                    continue
                readable = not is_unreadable(answer["text"])
                text = tidy(answer["text"]) if readable else ""
                yield Page(number, text, _one_line(answer["label"]), readable, _headings(answer))
        if first == 1 and last >= readers.count and failed == last:
            raise _refused(Reason.CORRUPT)


def _check_content(path: Path) -> bool:
    """Whether the content begins as a PDF's does. Raises `Refused` where no reader is worth a try."""
    size = path.stat().st_size
    if size == 0:
        raise _refused(Reason.EMPTY_FILE)
    with path.open("rb") as file:
        has_header = b"%PDF" in file.read(HEADER_WITHIN)
        file.seek(max(0, size - TRAILER_WITHIN))
        end = file.read()
    # pypdf opens some files that lost their beginning.
    if not has_header and b"startxref" not in end and b"%%EOF" not in end:
        raise _refused(Reason.NOT_PDF)
    return has_header


def _one_line(text: str | None) -> str | None:
    return " ".join(tidy(text).split()) or None if text else None


def _headings(answer: dict[str, Any]) -> tuple[Heading, ...]:
    """The headings of a page's answer, as they stand in its tidied text."""
    tidied = ((tidy(text).strip(), float(size)) for text, size in answer.get("headings", ()))
    return tuple(Heading(text, size) for text, size in tidied if text)


class _Readers:
    """Both readers of one document, started when first asked.

    `reasons` says why a reader is of no more use, `count` how many pages there are as far as one has said.
    """

    def __init__(self, limits: ChildPdfReader, path: Path, share: float) -> None:
        self._limits = limits
        self._path = path
        self._time_s = limits.parse_timeout_s * share
        self._children: dict[str, _Child] = {}
        self._spent = 0.0
        self.reasons: dict[str, Reason] = {}
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children.values():
            child.close()

    @property
    def poisoned(self) -> bool:
        """Whether the first reader was lost to what the document does to it."""
        return self.reasons.get(PDFIUM) in POISON

    def reason(self) -> Reason:
        """Why the document is refused: that of the first reader, unless one of them wants a password."""
        if Reason.ENCRYPTED in self.reasons.values():
            return Reason.ENCRYPTED
        return self.reasons.get(PDFIUM) or self.reasons.get(PYPDF) or Reason.CORRUPT

    def page(self, number: int) -> dict[str, Any] | None:
        """The better of both readers' answers for a page, or None; the second is asked only on need.

        Raises `Refused(too_much_text)`.
        """
        best = self.ask(PDFIUM, f"page {number}")
        if best is None or best["suspect"] or is_unreadable(best["text"]):
            other = self.ask(PYPDF, f"page {number}")
            if other is not None and (best is None or _reads_better(other["text"], best["text"])):
                best = other
        limit = self._limits.max_page_characters
        if best is not None and len(best["text"]) > limit:
            raise Refused(Reason.TOO_MUCH_TEXT, f"Page {number} has more than {limit} characters of text.")
        return best

    def ask(self, reader: str, request: str) -> dict[str, Any] | None:
        """One reader's answer, or None where it has none; the reason is kept when it is of no more use."""
        if reader in self.reasons:
            return None
        started = time.monotonic()
        share = FIRST_SHARE if reader == PDFIUM else 1.0
        deadline = started + self._time_s * share - self._spent
        try:
            child = self._children.get(reader)
            if child is None:
                child = self._children[reader] = _Child(self._limits, self._path, reader)
            answer = child.ask(request, deadline)
        except _Lost as lost:
            self.reasons[reader] = lost.reason
            if lost.reason is Reason.ENCRYPTED:
                # The password is asked for whoever reads: pypdf would open what only an empty owner's one unlocks.
                self.reasons[PYPDF] = lost.reason
            self._children.pop(reader).close()
            return None
        finally:
            self._spent += time.monotonic() - started
        self.count = max(self.count, answer["pages"])
        if answer["pages"] == 0:
            self.reasons[reader] = Reason.CORRUPT
        return answer if answer["pages"] and answer["kind"] != "failed" else None


def _reads_better(text: str, other: str) -> bool:
    return bool(text.strip()) and (not other.strip() or unreadable_share(text) < unreadable_share(other))


class _Lost(Exception):  # noqa: N818 - an internal signal
    """A child is of no more use."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class _Child:
    """One child process: asked a line, answers a line."""

    def __init__(self, limits: ChildPdfReader, path: Path, reader: str) -> None:
        self._memory_bytes = limits.parse_memory_bytes
        self._longest = limits.max_page_characters * BYTES_PER_CHARACTER + LINE_OVERHEAD
        settings = {
            "reader": reader,
            "path": str(path.absolute()),
            "sys_path": [*(entry for entry in sys.path if Path(entry).is_absolute()), str(PACKAGE_ROOT)],
            "memory_bytes": limits.parse_memory_bytes,
            "cpu_s": math.ceil(limits.parse_timeout_s) + 1,
            "max_page_characters": limits.max_page_characters,
        }
        # Lambda's Python finds its shared library by this one.
        kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
        # A child's peak memory starts at that of the process it was forked from (setmax_mm_hiwater_rss).
        self._parent_peak = _peak_bytes(resource.getrusage(resource.RUSAGE_SELF))
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-X", "utf8", str(limits.child), json.dumps(settings)],
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
        """The child's answer, of the kind that was asked for or `failed`. Raises `_Lost`."""
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        # A dead child's last words may still stand in the pipe.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{request}\n".encode())
        answer = _parse(self._line(deadline))
        if answer.get("kind") == "refused" and answer.get("reason") in tuple(Reason):
            raise _Lost(Reason(answer["reason"]))
        if not _well_formed(answer, request.split(maxsplit=1)[0]):
            raise _Lost(Reason.READER_CRASHED)
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
                raise _Lost(Reason.TOO_SLOW)
            piece = os.read(descriptor, 1 << 16)
            if not piece:
                raise _Lost(self._cause_of_death())
            self._buffer += piece
            if len(self._buffer) > self._longest:
                raise _Lost(Reason.READER_CRASHED)
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
        raise _Lost(Reason.READER_CRASHED) from None
    if not isinstance(answer, dict):
        raise _Lost(Reason.READER_CRASHED)
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
        return typed and _are_headings(answer.get("headings", []))
    return kind == "failed" and asked == "page"


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
