"""The parts' output for the user: warnings, errors and notices, or everything with --verbose."""

from __future__ import annotations

import json
import re
import sys
import threading
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from docwell.models import Status
from docwell.text.visible import strip_invisible
from infra.local.keys import append_private, private_folder
from infra.local.names import ERROR, NOTICE, WARNING

# A part with a larger log starts a new file at its next start, and keeps one old file.
MAX_LOG_BYTES = 10 * 1024 * 1024

_TROUBLE = re.compile(r"\b(error|warn(ing)?|exception|panic(ked)?|fatal)\b", re.IGNORECASE)


def worth_showing(line: str) -> tuple[str, str] | None:
    """Return (text, style) for a line to show in quiet mode, else None."""
    for mark, style in ((NOTICE, ""), (WARNING, "yellow"), (ERROR, "red")):
        if line.startswith(mark):
            return line.removeprefix(mark), style
    if line.startswith("{"):
        return _from_json(line)
    if _TROUBLE.search(line):
        return line, "yellow"
    return None


def _from_json(line: str) -> tuple[str, str] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    level = str(record.get("level", ""))
    if "_aws" in record:
        return None
    if level not in {"WARNING", "ERROR", "CRITICAL"}:
        return _news(record)
    exception = record.get("exception_name")
    text = f"{record.get('message', '')}{f' ({exception})' if exception else ''}"
    return text, "yellow" if level == "WARNING" else "red"


def _news(record: dict[str, Any]) -> tuple[str, str] | None:
    """Return a question, an upload, or the news of a document, from ingest's line about its message."""
    if str(record.get("message")).startswith("POST "):
        return record["message"], ""
    pages, reason, outcome = (record.get(name) for name in ("pages", "reason", "outcome"))
    if record.get("message") != "done" or not (pages or reason or outcome == Status.DELETED):
        return None
    range_ = record.get("range")
    words = [
        " ".join(str(record.get("document")).split()),
        *([] if range_ is None else [f"range {range_}"]),
        str(outcome),
        *([f"({reason})"] if reason else []),
        *(f"{record[name]} {name}" for name in ("pages", "chunks") if record.get(name)),
    ]
    return "  ".join(words), ""


def _one_line(text: str) -> str:
    """Return the text without characters that control a terminal. A key or a JSON value may hold line breaks."""
    return strip_invisible(text).replace("\n", " ")


def terminal() -> Console:
    """Return a console on standard output that replaces missing characters: Latin-1 has no ellipsis."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return Console(highlight=False, soft_wrap=True)


class StackConsole:
    """Prefix and filter the parts' lines, and write all of them to one file for each part."""

    def __init__(self, logs: Path, *, verbose: bool = False, silent: bool = False) -> None:
        """With `silent`, write files only."""
        private_folder(logs.parent)
        self.logs = private_folder(logs)
        self._verbose = verbose
        self._silent = silent
        self._lock = threading.Lock()
        self._console = terminal()

    def log_path(self, part: str) -> Path:
        """Return the path of a part's log."""
        return self.logs / f"{part}.log"

    def begin(self, part: str) -> None:
        """Prepare the log of a part before its first start."""
        path = self.log_path(part)
        if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))

    def line(self, part: str, line: str) -> None:
        """Log one line of a part's output, and show it if it matters. Ignore a full disk and a closed terminal."""
        line = _one_line(line)
        # Keep reading: a part stops when its lines are not read. rich exits when the reader of a pipe has gone.
        with suppress(OSError), self._lock, append_private(self.log_path(part)) as file:
            file.write(line + "\n")
        shown = (line, "") if self._verbose else worth_showing(line)
        if shown and not self._silent:
            text, style = shown
            prefix = Text(f"{part:<8} ", style="cyan")
            with suppress(OSError, SystemExit):
                self._console.print(prefix + Text(_one_line(text), style=style))

    def say(self, message: str, style: str = "") -> None:
        """Print a line of the stack itself."""
        if not self._silent:
            self._console.print(f"[{style}]{escape(message)}[/{style}]" if style else escape(message))
