"""Tables, answers and progress for people. Control characters from documents never reach the terminal."""

from __future__ import annotations

import json
import math
import sys
import unicodedata
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from docwell.answers import AnswerStatus
from docwell.models import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from docwell.cli.remote import Json

# Wide enough for any row: a key has at most 1,024 bytes.
_PIPE_WIDTH = 2000
_LIVE_ROWS = 12
_COLOURS: dict[str, str] = {
    Status.INDEXED: "green",
    Status.PENDING: "yellow",
    Status.EMPTY: "magenta",
    Status.REJECTED: "red",
    Status.FAILED: "red",
    Status.DELETED: "dim",
}


def console(*, stderr: bool = False) -> Console:
    """Return a console for the current standard output or standard error."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def clean(text: object) -> str:
    """Return the text without control characters, which could drive the terminal."""
    return "".join(
        character if character == "\n" or unicodedata.category(character) != "Cc" else " "
        for character in str(text)
    )


def one_line(text: object) -> str:
    """Return the clean text on one line."""
    return " ".join(clean(text).split())


def say(text: object, style: str = "") -> None:
    """Print one line, however long, in one style."""
    console().print(Text(clean(text), style=style), soft_wrap=True)


def show_json(value: object) -> None:
    """Print the one JSON document of a `--json` run."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def status_of(record: Json) -> Text:
    """Return the status of a record in its colour."""
    status = clean(record.get("status", Status.PENDING))
    return Text(status, style=_COLOURS.get(status, ""))


def reason_of(record: Json) -> Text:
    """Return why a record has its status: `reason: detail`."""
    parts = (record.get("reason"), record.get("detail"))
    return Text(clean(": ".join(str(part) for part in parts if part)))


def local_time(value: object) -> str:
    """Return seconds since the epoch as local time, and any other value as text."""
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return clean(value) if value else "-"


def table(*names: str, right: Sequence[str] = ()) -> Table:
    """Return an empty table; the columns of `right` follow and hold numbers."""
    empty = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in (*names, *right):
        empty.add_column(name, overflow="fold", justify="right" if name in right else "left")
    return empty


def document_table(records: Sequence[Json]) -> Table:
    """Return a table with one row for each document."""
    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    rows.add_column("document", overflow="fold")
    rows.add_column("status", no_wrap=True)
    rows.add_column("pages", justify="right", no_wrap=True)
    rows.add_column("reason", overflow="fold")
    for record in records:
        rows.add_row(Text(clean(record.get("document"))), status_of(record), _pages(record), reason_of(record))
    return rows


def document_details(record: Json) -> Table:
    """Return a table with one row for each known field of one document."""
    rows = Table(box=None, show_header=False, pad_edge=False)
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    for name, value in record.items():
        if name == "status":
            rows.add_row(name, status_of(record))
        elif name == "updated_at":
            rows.add_row("updated", local_time(value))
        elif value not in (None, [], {}):
            rows.add_row(Text(clean(name).replace("_", " ")), Text(clean(value)))
    return rows


@contextmanager
def upload_progress(total: int) -> Iterator[Callable[[str, int], None]]:
    """Show a bar over `total` bytes on a terminal; yields a function that takes a key and its new bytes."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    errors = console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=errors, disable=not errors.is_terminal, transient=True) as bar:
        task = bar.add_task("uploading", total=total)
        yield lambda key, count: bar.update(task, description=clean(key), advance=count)


@contextmanager
def live_documents() -> Iterator[Callable[[Sequence[Json]], None]]:
    """Keep a table of documents on a terminal; yields a function that takes their current records."""
    errors = console(stderr=True)
    if not errors.is_terminal:
        yield lambda _: None
        return
    from rich.live import Live

    with Live(console=errors, transient=True) as live:
        yield lambda records: live.update(_live_table(records))


@contextmanager
def growing_answer() -> Iterator[Callable[[str], None]]:
    """Show an answer while it is written; yields a function that takes the next piece.

    The text disappears at the end, because the checked answer may differ.
    """
    from rich.live import Live

    out, pieces = console(), list[str]()
    with Live(console=out, transient=True) as live:

        def show(piece: str) -> None:
            pieces.append(clean(piece))
            lines = Text("".join(pieces)).wrap(out, out.width)
            # Rich cannot erase more lines than the terminal has.
            live.update(Text("\n").join(lines[-max(out.height - 2, 1) :]))

        yield show


def show_answer(answer: Json) -> None:
    """Print the answer, its unsupported sentences, its citations, and a line with model, tokens and time."""
    out = console()
    status = answer.get("status")
    if status == AnswerStatus.EXTRACTIVE:
        say("The language model is not available. These are the best sentences:", "yellow")
    style = "yellow" if status == AnswerStatus.REFUSED else ""
    out.print(Text(clean(answer.get("answer", "")).strip(), style=style), soft_wrap=not out.is_terminal)
    for sentence in answer.get("sentences") or []:
        if not sentence.get("supported", True):
            say(_unsupported(sentence), "yellow")
    citations = answer.get("citations") or []
    if citations:
        out.print()
    for position, citation in enumerate(citations, start=1):
        _show_citation(out, citation, position)
    out.print()
    say(_footer(answer), "dim")


def _pages(record: Json) -> Text:
    pages = record.get("pages")
    if pages is None:
        return Text("-")
    pending = record.get("status") == Status.PENDING
    return Text(f"{record.get('pages_done', 0)}/{pages}" if pending else str(pages))


def _live_table(records: Sequence[Json]) -> Group:
    """Fit a small terminal: pending documents first, those with a known number of pages before the others."""
    waiting = [record for record in records if record.get("status") == Status.PENDING]
    done = [record for record in records if record.get("status") != Status.PENDING]
    shown = (sorted(waiting, key=lambda record: record.get("pages") is None) + done[::-1])[:_LIVE_ROWS]
    return Group(document_table(shown), Text(f"{len(done)} of {len(records)} done", style="dim"))


def _unsupported(sentence: Json) -> str:
    missing = ", ".join(clean(part) for part in sentence.get("missing") or [])
    nowhere = f" (not in them: {missing})" if missing else ""
    return f"Not supported by the passages{nowhere}: “{one_line(sentence.get('text', ''))}”"


def _show_citation(out: Console, citation: Json, position: int) -> None:
    label, page = citation.get("page_label"), citation.get("page")
    printed = f" (printed {clean(label)})" if label not in (None, str(page)) else ""
    line = Text(f"[{citation.get('marker', position)}] ", style="bold")
    line.append(f"{clean(citation.get('document'))}, page {page}{printed}", style="bold")
    if isinstance(sure := citation.get("ocr_confidence"), int | float):
        # Round down, so that only certainty reads 100%. round() first: 0.29 * 100 is a little under 29.
        percent = math.floor(round(sure * 100, 6))
        line.append(f" (scanned, recognised with {percent}% confidence)", style="dim")
    out.print(line, soft_wrap=True)
    if quote := one_line(citation.get("quote") or ""):
        body = Table(box=None, show_header=False, padding=(0, 0, 0, 4))
        body.add_column(overflow="fold")
        body.add_row(Text(f"“{quote}”"))
        out.print(body if out.is_terminal else Text(f"    “{quote}”"), soft_wrap=not out.is_terminal)


def _footer(answer: Json) -> str:
    usage, timings = answer.get("usage") or {}, answer.get("timings_ms") or {}
    parts = [
        answer.get("model") or "no model",
        f"{usage.get('prompt_tokens', 0):,} + {usage.get('completion_tokens', 0):,} tokens",
        f"{timings.get('total', 0):,.0f} ms",
    ]
    if cost := answer.get("cost"):
        parts.append(f"{cost.get('amount', 0):.6f} {cost.get('currency', '')}")
    if dropped := answer.get("dropped_passages"):
        parts.append(f"{dropped} passages did not fit")
    if answer.get("cut_short"):
        parts.append("cut short")
    if request_id := answer.get("request_id"):
        parts.append(f"request {request_id}")
    return " · ".join(parts)
