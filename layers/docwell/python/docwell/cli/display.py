"""What people see: tables, answers, progress. Plain text in a pipe; documents can colour nothing."""

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
from rich.live import Live
from rich.table import Table
from rich.text import Text

from docwell.answers import AnswerStatus
from docwell.models import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from docwell.cli.remote import Json

# Wide enough that a table in a pipe is never folded: a key has at most 1,024 bytes.
_PIPE_WIDTH = 2000
_LIVE_ROWS = 12
_COLOURS = {
    Status.INDEXED: "green",
    Status.PENDING: "yellow",
    Status.EMPTY: "magenta",
    Status.REJECTED: "red",
    Status.FAILED: "red",
    Status.DELETED: "dim",
}


def console(*, stderr: bool = False) -> Console:
    """A console for standard output or standard error as they are now."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def clean(text: object) -> str:
    """The text without control characters: a PDF or a file name must not drive the terminal."""
    return "".join(
        character if character == "\n" or unicodedata.category(character) != "Cc" else " "
        for character in str(text)
    )


def show_json(value: object) -> None:
    """The one JSON document of a `--json` run, on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def _status(record: Json) -> Text:
    status = clean(record.get("status", Status.PENDING))
    return Text(status, style=_COLOURS.get(status, ""))  # type: ignore[call-overload] # a StrEnum is a str


def _pages(record: Json) -> Text:
    pages = record.get("pages")
    if pages is None:
        return Text("-")
    pending = record.get("status") == Status.PENDING
    return Text(f"{record.get('pages_done', 0)}/{pages}" if pending else str(pages))


def _why(record: Json) -> Text:
    parts = (record.get("reason"), record.get("detail"))
    return Text(clean(": ".join(str(part) for part in parts if part)))


def _when(value: object) -> str:
    """Seconds since the epoch as local time; a text as it stands."""
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return clean(value) if value else "-"


def document_table(records: Sequence[Json]) -> Table:
    """One row for each document."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("document", overflow="fold")
    table.add_column("status", no_wrap=True)
    table.add_column("pages", justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for record in records:
        table.add_row(Text(clean(record.get("document"))), _status(record), _pages(record), _why(record))
    return table


def live_table(records: Sequence[Json]) -> Group:
    """The table while it changes: as many rows as a small terminal has, documents at work first."""
    waiting = [record for record in records if record.get("status") == Status.PENDING]
    done = [record for record in records if record.get("status") != Status.PENDING]
    shown = (sorted(waiting, key=lambda record: record.get("pages") is None) + done[::-1])[:_LIVE_ROWS]
    return Group(document_table(shown), Text(f"{len(done)} of {len(records)} done", style="dim"))


def dead_letter_table(letters: Sequence[Json]) -> Table:
    """One row for each message that ingest has given up."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("document", "message", "sent", "receives", "status", "reason", "now"):
        table.add_column(name, overflow="fold", justify="right" if name == "receives" else "left")
    for letter in letters:
        table.add_row(
            Text(clean(letter["document"] or "(unknown)")),
            Text(clean(letter["kind"])),
            _when(letter["sent_at"]),
            str(letter["receives"]),
            _status(letter) if letter["status"] else Text("-"),
            _why(letter),
            "redriven" if letter["redriven"] else "waits",
        )
    return table


def show_reconcile(answer: Json) -> None:
    """What differed, by document and by kind, and what comes of it."""
    out = console()
    for kind, key in answer["found"]:
        out.print(Text(f"{kind}  {clean(key)}"), soft_wrap=True)
    for one in answer["pipelines"]:
        drift = ", ".join(f"{count} {kind}" for kind, count in one["drift"].items() if count) or "no drift"
        seen = f"{one['keys']:,} objects, {one['rows']:,} rows, {one['chunks']:,} chunks"
        out.print(Text(f"{clean(one['pipeline'])[:12]}: {drift} ({seen})", style="bold"), soft_wrap=True)
        if one["waiting"] is not None:
            note = f"{one['waiting']:,} messages wait for ingest: run this again when they are fewer"
            out.print(Text(note, style="yellow"), soft_wrap=True)
        elif not answer["complete"]:
            out.print(Text("not complete: run this again to go on", style="yellow"), soft_wrap=True)
    if answer["sent"]:
        out.print(f"{answer['sent']:,} documents are given to ingest; `docwell status --watch` follows it")


def show_reindex(answer: Json) -> None:
    """Where a re-index stands and what to do next."""
    out = console()
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in answer.items():
        if value not in (None, [], "") and name not in ("found", "sent", "make_first_in_settings"):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            table.add_row(Text(name.replace("_", " "), style="dim"), Text(clean(shown)))
    out.print(table)
    if answer.get("make_first_in_settings"):
        note = "now make this pipeline the first in the settings, and unset the next one (docs/operations.md)"
        out.print(Text(note, style="yellow"), soft_wrap=True)
    elif answer.get("switched") is False:
        note = "not switched: not every document is settled in the new index (docwell reindex --status)"
        out.print(Text(note, style="yellow"), soft_wrap=True)


def document_details(record: Json) -> Table:
    """Everything that is known of one document."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in record.items():
        if name == "status":
            table.add_row(name, _status(record))
        elif name == "updated_at":
            table.add_row("updated", _when(value))
        elif value is not None:
            table.add_row(Text(clean(name).replace("_", " ")), Text(clean(value)))
    return table


@contextmanager
def growing_answer() -> Iterator[Callable[[str], None]]:
    """Shows an answer while it is written, and takes it away at the end: the checked one may differ.

    Gives a function that takes each next piece.
    """
    out, pieces = console(), list[str]()
    with Live(console=out, transient=True) as live:

        def show(piece: str) -> None:
            pieces.append(clean(piece))
            lines = Text("".join(pieces)).wrap(out, out.width)
            # What is taller than the terminal cannot be taken away again.
            live.update(Text("\n").join(lines[-max(out.height - 2, 1) :]))

        yield show


def show_answer(answer: Json) -> None:
    """The answer, what of it to doubt, what it rests on, and a line on how it came about."""
    out = console()
    status = answer.get("status")
    if status == AnswerStatus.REFUSED:
        out.print(Text("No answer from the documents.", style="yellow"), soft_wrap=True)
    elif status == AnswerStatus.EXTRACTIVE:
        note = "The language model did not answer; these passages are the nearest:"
        out.print(Text(note, style="yellow"), soft_wrap=True)
    out.print(Text(clean(answer.get("answer", "")).strip()), soft_wrap=not out.is_terminal)
    for sentence in answer.get("sentences") or []:
        if not sentence.get("supported", True):
            out.print(Text(_doubt(sentence), style="yellow"), soft_wrap=True)
    citations = answer.get("citations") or []
    if citations:
        out.print()
    for position, citation in enumerate(citations, start=1):
        _show_citation(out, citation, position)
    out.print()
    out.print(Text(_how(answer), style="dim"), soft_wrap=True)


def _doubt(sentence: Json) -> str:
    missing = ", ".join(clean(part) for part in sentence.get("missing") or [])
    nowhere = f"; nowhere in them: {missing}" if missing else ""
    return f"Not borne out by the passages{nowhere}: “{' '.join(clean(sentence.get('text', '')).split())}”"


def _show_citation(out: Console, citation: Json, position: int) -> None:
    label, page = citation.get("page_label"), citation.get("page")
    printed = f" (printed {clean(label)})" if label not in (None, str(page)) else ""
    line = Text(f"[{citation.get('marker', position)}] ", style="bold")
    line.append(f"{clean(citation.get('document'))}, page {page}{printed}", style="bold")
    if isinstance(sure := citation.get("ocr_confidence"), int | float):
        # Down, so that only certainty is shown as such; 0.29 * 100 is a little under 29.
        percent = math.floor(round(sure * 100, 6))
        line.append(f" (scanned, recognised with {percent}% confidence)", style="dim")
    out.print(line, soft_wrap=True)
    quote = " ".join(clean(citation.get("quote") or "").split())
    if quote:
        body = Table(box=None, show_header=False, padding=(0, 0, 0, 4))
        body.add_column(overflow="fold")
        body.add_row(Text(f"“{quote}”"))
        out.print(body if out.is_terminal else Text(f"    “{quote}”"), soft_wrap=not out.is_terminal)


def _how(answer: Json) -> str:
    usage, timings = answer.get("usage") or {}, answer.get("timings_ms") or {}
    parts = [
        clean(answer.get("model") or "no model"),
        f"{usage.get('prompt_tokens', 0):,} + {usage.get('completion_tokens', 0):,} tokens",
        f"{timings.get('total', 0):,.0f} ms",
    ]
    if cost := answer.get("cost"):
        parts.append(f"{cost.get('amount', 0):.6f} {clean(cost.get('currency', ''))}")
    if dropped := answer.get("dropped_passages"):
        parts.append(f"{dropped} passages did not fit")
    if answer.get("cut_short"):
        parts.append("cut short")
    if request_id := answer.get("request_id"):
        parts.append(f"request {clean(request_id)}")
    return " · ".join(parts)
