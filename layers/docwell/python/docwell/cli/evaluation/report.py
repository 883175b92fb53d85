"""The files of a run for people: `report.html`, without scripts, and `rows.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

from docwell.cli.evaluation.figures import figures_of
from docwell.cli.evaluation.run import Run
from docwell.cli.evaluation.verdicts import GOOD
from docwell.cli.failure import Failure
from docwell.cli.remote import Json
from docwell.text.visible import strip_invisible

REPORT, TABLE = "report.html", "rows.csv"
_COLUMNS = (
    "line", "question", "document", "page", "expected", "unanswerable", "collection", "language", "document_rank",
    "page_rank", "verdict", "status", "answer", "citations", "cites_page", "prompt_tokens", "completion_tokens",
    "cost", "currency", "seconds", "model", "prompt_version", "request_id", "error",
)  # fmt: skip
_MADE_FROM = ("model", "prompt_version")
# A spreadsheet runs a cell that begins so as a formula, and a document can make a model write one (OWASP).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# The page can load nothing, whatever an answer contains.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .2rem 1rem .2rem 0; text-align: left; vertical-align: top }
details { border-top: 1px solid #ccc; padding: .4rem 0 } p, td { white-space: pre-wrap; overflow-wrap: anywhere }
.good { color: #18794e } .bad { color: #b42318 }
"""


def write_report(folder: Path, run: Run) -> Path:
    """Write both files and return the path of the report. Raises `Failure` where they cannot be written."""
    path = folder / REPORT
    try:
        # Lone surrogates, which JSON can hold, have no encoding.
        path.write_text(html_of(run), encoding="utf-8", errors="backslashreplace")
        # Excel reads UTF-8 only behind a byte order mark.
        (folder / TABLE).write_text(csv_of(run.rows), "utf-8-sig", errors="backslashreplace", newline="")
    except OSError as error:
        raise Failure(f"cannot write to {folder}: {error.strerror}") from None
    return path


def csv_of(rows: Iterable[Json]) -> str:
    """Return the rows as CSV, in which no text is a formula."""
    out = io.StringIO(newline="")
    table = csv.writer(out)
    table.writerow(_COLUMNS)
    for row in rows:
        cited = "; ".join(f"{key}, page {page}" for key, page in row.get("citations", ()))
        values = row | ({"citations": cited} if "citations" in row else {})
        table.writerow([_cell(values.get(name)) for name in _COLUMNS])
    return out.getvalue()


def html_of(run: Run) -> str:
    """Return the report as one page. ElementTree escapes all text."""
    page = Element("html", lang="en")
    head, body = SubElement(page, "head"), SubElement(page, "body")
    SubElement(head, "meta", charset="utf-8")
    SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": _POLICY})
    _add(head, "title", f"docwell eval: {run.head['questions']}")
    _add(head, "style", _STYLE)
    _add(body, "h1", f"docwell eval: {run.head['questions']}")
    about = [("started", run.head["started"]), ("questions", f"{len(run.rows)} of {run.head['count']}")]
    about += [(label, ", ".join(values)) for label, values in made_from(run.rows)]
    _table(body, about)
    _table(body, [(one.name, str(one)) for one in figures_of(run.rows)])
    _add(body, "h2", "Questions")
    for row in sorted(run.rows, key=_is_good):
        _question(body, row)
    return "<!doctype html>\n" + tostring(page, encoding="unicode", method="html") + "\n"


def made_from(rows: Sequence[Json]) -> list[tuple[str, list[str]]]:
    """Return the models and the prompt versions of the answers; several mean that the server changed meanwhile."""
    found = ((name, list(dict.fromkeys(row[name] for row in rows if name in row))) for name in _MADE_FROM)
    return [(name.replace("_", " "), values) for name, values in found if values]


def outcome_of(row: Json) -> str:
    """Return the verdict of a row, or the rank of its page or document."""
    if "verdict" in row:
        return str(row["verdict"])
    what = "page" if row["page"] else "document"
    rank = row[f"{what}_rank"]
    return f"{what} found at {rank}" if rank else f"{what} not found"


def _is_good(row: Json) -> bool:
    if "verdict" in row:
        return row["verdict"] in GOOD
    return row["page_rank" if row["page"] else "document_rank"] is not None


def _question(body: Element, row: Json) -> None:
    details = SubElement(body, "details")
    summary = SubElement(details, "summary")
    _add(summary, "b", outcome_of(row), "good" if _is_good(row) else "bad")
    _add(summary, "span", f" {row['question']}")
    if "answer" in row:
        _add(details, "p", row["answer"])
    shown = (
        ("expected", "nothing: the documents do not say it" if row["unanswerable"] else row["expected"]),
        ("document", row["document"] + (f", page {row['page']}" if row["page"] else "")),
        ("rank of the document", row.get("document_rank", "")),
        ("rank of the page", row.get("page_rank", "") if row["page"] else ""),
        ("citations", "\n".join(f"{key}, page {page}" for key, page in row.get("citations", ()))),
        ("tokens", f"{row['prompt_tokens']} + {row['completion_tokens']}" if "prompt_tokens" in row else ""),
        ("seconds", row.get("seconds", "")),
        ("request id", row.get("request_id", "")),
        ("error", row["error"] or ""),
        ("line", row["line"]),
    )
    _table(details, [(name, "none" if value is None else str(value)) for name, value in shown if value != ""])


def _table(parent: Element, rows: Iterable[tuple[str, str]]) -> None:
    table = SubElement(parent, "table")
    for name, value in rows:
        line = SubElement(table, "tr")
        _add(line, "th", name)
        _add(line, "td", value)


def _add(parent: Element, tag: str, text: str, class_: str | None = None) -> None:
    SubElement(parent, tag, {"class": class_} if class_ else {}).text = strip_invisible(text)


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
