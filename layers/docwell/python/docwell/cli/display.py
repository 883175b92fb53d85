"""Tables, answers and progress for people: the only module of the commands that writes to the terminal.

All text passes `clean`, so that no control or bidirectional character of a document reaches the terminal.
"""

from __future__ import annotations

import codecs
import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.filesize import decimal
from rich.padding import Padding
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from docwell.answers import AnswerStatus, Mode
from docwell.cli.remote import Json
from docwell.errors import DocwellError, ModelAsleep, ModelWaking
from docwell.models import Status, UnitKind
from docwell.text.visible import escape_json, strip_invisible

if TYPE_CHECKING:
    from rich.live import Live

# Wide enough for any row: a key has at most 1,024 bytes.
_PIPE_WIDTH = 2000
_COLOURS: dict[str, str] = {
    Status.INDEXED: "green",
    Status.PENDING: "yellow",
    Status.EMPTY: "magenta",
    Status.REJECTED: "red",
    Status.FAILED: "red",
    Status.DELETED: "dim",
}


class _CleanConsole(Console):
    """A console that cleans all text that it renders, also a command's `Text`."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments; only Rich's own control codes stay."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(clean(segment.text), segment.style)


def console(*, stderr: bool = False) -> Console:
    """Return a console for the current standard output or standard error."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return _CleanConsole(file=stream, width=width, highlight=False, markup=False, emoji=False)


def is_watched(out: Console) -> bool:
    """Return whether the output goes to a terminal. With FORCE_COLOR, Rich treats a pipe as a terminal."""
    return out.is_terminal and out.file.isatty()


def clean(text: object) -> str:
    """Return the text without characters that control the terminal or reorder its text."""
    return strip_invisible(str(text))


def one_line(text: object) -> str:
    """Return the clean text on one line."""
    return " ".join(clean(text).split())


def say(text: object, style: str = "", *, err: bool = False) -> None:
    """Print one line, however long, in one style, on standard error with `err`."""
    console(stderr=err).print(Text(str(text), style=style), soft_wrap=True)


def show_failure(error: DocwellError) -> None:
    """Print the error as one line on standard error."""
    say(f"docwell: {one_line(error.detail)}", err=True)


def show_json(value: object) -> None:
    """Print the only JSON document of a `--json` run."""
    # An output encoding other than UTF-8 needs escapes.
    is_utf8 = codecs.lookup(sys.stdout.encoding or "utf-8").name == "utf-8"
    sys.stdout.write(escape_json(json.dumps(value, ensure_ascii=not is_utf8, indent=2)) + "\n")


def show_table(
    names: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[str] = (), empty: str = ""
) -> None:
    """Print a table with these columns and rows, or `empty` without rows. The columns in `right` hold numbers."""
    if rows:
        console().print(_table(names, rows, right))
    else:
        say(empty, err=True)


def show_documents(records: Iterable[Json]) -> None:
    """Print a table with one row for each document, and below it the reasons, so that the table stays narrow."""
    listed = list(records)
    console().print(_document_table(listed))
    for record in listed:
        if reasons := [record[name] for name in ("reason", "detail") if record.get(name)]:
            style = "dim" if record.get("status") == Status.INDEXED else status_of(record).style
            say(one_line(": ".join([record["document"], *reasons])), str(style))


def show_fields(fields: Mapping[str, object], *, err: bool = False) -> None:
    """Print one row for each field that has a value, on standard error with `err`."""
    rows = Table(box=None, show_header=False, pad_edge=False)
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    for name, value in fields.items():
        if value not in (None, "", [], {}):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            if isinstance(value, dict):
                shown = "; ".join(f"{key}: {item}" for key, item in value.items())
            rows.add_row(_cell(name.replace("_", " ")), _cell(shown))
    console(stderr=err).print(rows)


def status_of(record: Json) -> Text:
    """Return a record's status in its colour."""
    status = clean(record.get("status", Status.PENDING))
    return Text(status, style=_COLOURS.get(status, ""))


def local_time(seconds: float) -> str:
    """Return seconds since the epoch as local time."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


@contextmanager
def progress(label: str, total: int | None, *, size: bool = False) -> Iterator[Callable[[int], None]]:
    """Show a bar over `total` steps (bytes with `size`) on a terminal; yields a function that adds to it."""
    from rich import progress as bars

    errors = console(stderr=True)
    steps = (bars.MofNCompleteColumn(), bars.TimeRemainingColumn())
    counts = (bars.DownloadColumn(), bars.TransferSpeedColumn()) if size else steps
    columns = (bars.TextColumn(label, markup=False), bars.BarColumn(), *counts)
    with bars.Progress(*columns, console=errors, disable=not is_watched(errors), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count: bar.advance(task, count)


@contextmanager
def live_documents() -> Iterator[Callable[[Sequence[Json]], None]]:
    """Keep a table of pending documents on a terminal; yields a function that takes the current records."""
    errors = console(stderr=True)
    if not is_watched(errors):
        yield lambda _: None
        return
    from rich.live import Live

    with Live(console=errors, transient=True) as live:
        # Rich would draw the rows below the screen too, some times a second.
        yield lambda records: live.update(_document_table(records[: errors.height]))


class GrowingAnswer:
    """An unchecked answer in a terminal: a spinner, the passages, then the text as the model writes it."""

    def __init__(self, out: Console, live: Live) -> None:
        self._out = out
        self._live = live
        self._text = ""
        self.wait("searching")

    def show_passages(self, passages: Sequence[Json]) -> None:
        """Show the passages permanently, and mark the sentence that most likely answers.

        Remove the text of a mode that refused: new passages follow it.
        """
        self._text = ""
        for passage in passages:
            place = f"found {one_line(passage.get('document'))}, {place_of(passage)}"
            self._out.print(Text(place, "dim"), soft_wrap=True)
            if likely := one_line(passage.get("likely") or ""):
                self._out.print(Padding(Text(f"“{likely}”", "bold"), (0, 0, 0, 6), expand=False))
        if passages:
            self._out.print()
            count = f"{len(passages)} passages" if passages[1:] else "1 passage"
            self.wait(f"reading {count}")

    def grow(self, token: str) -> None:
        """Show the next piece of the answer."""
        self._text += clean(token)
        lines = Text(self._text).wrap(self._out, self._out.width)
        # Rich cannot erase more lines than the terminal has.
        self._live.update(Text("\n").join(lines[-max(self._out.height - 2, 1) :]))

    def wait(self, activity: str) -> None:
        """Show what the answer waits for."""
        from rich.spinner import Spinner

        # One line: the spinner's two characters, then the text.
        text = Text(activity, "dim", no_wrap=True)
        text.truncate(max(self._out.width - 2, 1), overflow="ellipsis")
        self._live.update(Spinner("dots", text), refresh=True)


@contextmanager
def growing_answer() -> Iterator[GrowingAnswer]:
    """Show an answer until it is checked. Its text then disappears, because the checked answer may differ."""
    from rich.live import Live

    out = console()
    with Live(console=out, transient=True, refresh_per_second=10) as live:
        yield GrowingAnswer(out, live)


def show_answer(answer: Json, *, quotes: bool = True) -> None:
    """Print the answer, its unsupported sentences, its citations, and a line with model, tokens and time."""
    out = console()
    if answer.get("status") == AnswerStatus.EXTRACTIVE and (reason := answer.get("fallback_reason")):
        _, _, until = reason.partition(f"{ModelAsleep.problem}_until ")
        waking = "waking up, which takes minutes" if reason == ModelWaking.problem else "not available"
        state = f"stopped by schedule until {until}" if until else waking
        say(f"The language model is {state}. These are the best sentences:", "yellow")
    style = "yellow" if answer.get("status") == AnswerStatus.REFUSED else ""
    out.print(Text(clean(answer.get("answer", "")).strip(), style=style), soft_wrap=not is_watched(out))
    for sentence in answer.get("sentences") or []:
        if not sentence.get("supported", True):
            missing = ", ".join(map(clean, sentence.get("missing") or []))
            nowhere = f" (not in them: {missing})" if missing else ""
            verdict = "Contradicted" if sentence.get("contradicted") else "Not supported"
            say(f"{verdict} by the passages{nowhere}: “{one_line(sentence.get('text', ''))}”", "yellow")
    if citations := answer.get("citations") or []:
        out.print()
    show_citations(citations, quotes=quotes)
    out.print()
    say(_footer(answer), "dim")


def show_citations(citations: Sequence[Json], *, quotes: bool = True, scores: bool = False) -> None:
    """Print citations, or passages with their cosines. In a terminal with links, each opens its page."""
    out = console()
    for position, citation in enumerate(citations, start=1):
        label, page = citation.get("page_label"), citation.get("page")
        printed = f" (printed {clean(label)})" if label not in (None, str(page)) else ""
        line = Text(f"[{citation.get('marker', position)}] ", style="bold")
        line.append(
            f"{clean(citation.get('document'))}, {place_of(citation)}{printed}",
            Style(bold=True, link=link_of(citation)),
        )
        if isinstance(confidence := citation.get("ocr_confidence"), int | float):
            # Round down, so that only certainty shows as 100%. round() first: 0.29 * 100 is a little under 29.
            percent = math.floor(round(confidence * 100, 6))
            line.append(f" (scanned, recognised with {percent}% confidence)", style="dim")
        out.print(line, soft_wrap=True)
        # A passage of a search has its whole text; the quote is only the sentence nearest to the question.
        quote = one_line(citation.get("text") or citation.get("display_quote") or citation.get("quote") or "")
        if quote and quotes:
            out.print(Padding(Text(f"“{quote}”"), (0, 0, 0, 4), expand=False))
        if scores:
            warning = "; it gives its reader orders" if citation.get("suspicious") else ""
            say(f"    cosine {citation.get('score', 0):.2f}{warning}", "dim")


def link_of(citation: Json) -> str | None:
    """Return the address of a citation's page; None where it has no address that is safe to open."""
    link = citation.get("link")
    if not isinstance(link, str) or not link.startswith(("http://", "https://")):
        return None
    return link if link.isascii() and link.isprintable() and " " not in link else None


def place_of(citation: Json) -> str:
    """Return the place of a citation or passage in its document: "page 3", or the label of its unit."""
    unit = citation.get("unit") or {"kind": UnitKind.PAGE}
    return f"page {citation.get('page')}" if unit.get("kind") == UnitKind.PAGE else one_line(unit.get("label"))


def _footer(answer: Json) -> str:
    usage, timings = answer.get("usage") or {}, answer.get("timings_ms") or {}
    prompt, completion = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    # Lists and extractive overviews use no model.
    model = [answer.get("model") or "no model", f"{prompt:,} + {completion:,} tokens"]
    parts = [*(model if prompt or completion else ["no model"]), f"{timings.get('total', 0) / 1000:,.1f} s"]
    if (mode := answer.get("mode", Mode.PASSAGES)) != Mode.PASSAGES:
        parts.insert(0, clean(mode))
    # A model host on this machine costs nothing.
    if (cost := answer.get("cost")) and cost.get("amount"):
        parts.append(f"{cost['amount']:.6f} {cost.get('currency', '')}")
    if answer.get("cut_short"):
        parts.append("cut short")
    if dropped := answer.get("dropped_passages"):
        parts.append(f"no room for {dropped} of the passages (DOCWELL_PASSAGE_TOKENS, DOCWELL_NUM_CTX)")
    if answer.get("partial"):
        parts.append("partial: a Chroma server did not answer")
    if request_id := answer.get("request_id"):
        parts.append(f"request {request_id}")
    return " · ".join(parts)


def _table(names: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[str] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        table.add_column(
            name, overflow="fold", justify="right" if name in right else "left", no_wrap=name in right
        )
    for row in rows:
        table.add_row(*map(_cell, row))
    return table


def _cell(value: object) -> Text:
    return value if isinstance(value, Text) else Text(clean(value))


def _document_table(records: Iterable[Json]) -> Table:
    facts = ("pages", "size", "updated")
    rows = ([record.get("document"), status_of(record), *_facts(record)] for record in records)
    return _table(("document", "status", *facts), rows, right=facts)


def _facts(record: Json) -> tuple[str, str, str]:
    """Return the pages, size and change of a document: the time of today, or the day. "-" stands for unknown."""
    pages, size, at = (record.get(name) for name in ("pages", "size", "updated_at"))
    done = f"{record.get('pages_done', 0)}/" if record.get("status") == Status.PENDING else ""
    day, clock = local_time(at or 0).split()
    changed = clock[:5] if day == local_time(time.time()).split()[0] else day
    sizes = "-" if size is None else re.sub(" bytes?", " B", decimal(size))
    return "-" if pages is None else f"{done}{pages}", sizes, changed if at else "-"
