"""The results of `docwell eval`: figures, two runs in pairs, `report.html` without scripts, `rows.csv`."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from docwell.cli.evaluation.questions import COLUMNS
from docwell.cli.evaluation.run import SEARCHED, Run
from docwell.cli.evaluation.verdicts import GOOD, Verdict
from docwell.cli.remote import Json
from docwell.cli.settings import Failure
from docwell.text.visible import strip_invisible

REPORT, TABLE = "report.html", "rows.csv"
_RANKS = (1, 3, SEARCHED)
_CSV_COLUMNS = (
    "line", *COLUMNS, "document_rank", "page_rank", "verdict", "status", "answer", "citations", "cites_page",
    "prompt_tokens", "completion_tokens", "cost", "currency", "seconds", "model", "prompt_version", "request_id",
    "error",
)  # fmt: skip
_DETAILS = ("expected", "document", "page", "document_rank", "page_rank", "citations", "prompt_tokens",
    "completion_tokens", "seconds", "request_id", "error", "line",
)  # fmt: skip
# A spreadsheet runs a cell that begins so as a formula, and a document can make a model write one (OWASP).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# The page can load nothing, whatever an answer contains.
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>docwell eval</title><style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .2rem 1rem .2rem 0; text-align: left; vertical-align: top }
details { border-top: 1px solid #ccc; padding: .4rem 0 } p, td { white-space: pre-wrap; overflow-wrap: anywhere }
.good { color: #18794e } .bad { color: #b42318 }
</style></head><body>
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. With `of`, `value` counts cases among these."""

    name: str
    value: float
    unit: str = ""
    of: int | None = None

    def __str__(self) -> str:
        if self.of is None:
            return f"{self.value:,.6g} {self.unit}".strip()
        return f"{self.value:,.0f} of {self.of:,} ({100 * self.value / self.of:.0f} %)"


def figures_of(rows: Sequence[Json]) -> list[Figure]:
    """Return the figures that the rows have cases for."""
    figures = [*_retrieval(rows, "document"), *_retrieval(rows, "page")]
    judged = [row for row in rows if "status" in row]
    answerable = [row for row in judged if not row["unanswerable"]]
    unanswerable = [row for row in judged if row["unanswerable"]]
    for verdict, cases in (
        (Verdict.RIGHT, answerable),
        (Verdict.WRONG, judged),
        (Verdict.WRONG_MARKED, judged),
        (Verdict.WRONGLY_REFUSED, answerable),
        (Verdict.RIGHTLY_REFUSED, unanswerable),
    ):
        if cases:
            count = sum(row["verdict"] == verdict for row in cases)
            figures.append(Figure(f"answers: {verdict}", count, of=len(cases)))
    if cited := [row for row in answerable if row["page"] and row["verdict"] == Verdict.RIGHT]:
        count = sum(row["cites_page"] for row in cited)
        figures.append(Figure("right answers that cite the page", count, of=len(cited)))
    if rows:
        figures.append(Figure("questions that failed", sum(bool(row["error"]) for row in rows), of=len(rows)))
    return [*figures, *_expense(judged)]


def good_share(rows: Sequence[Json]) -> float:
    """Return the percentage of the judged questions, failed ones included, that are right or rightly refused."""
    judged = [row for row in rows if "verdict" in row]
    return 100 * sum(row["verdict"] in GOOD for row in judged) / len(judged) if judged else 0.0


@dataclass(frozen=True, slots=True)
class Paired:
    """The questions that got better, worse, or stayed the same, from the first run to the second."""

    name: str
    better: int
    worse: int
    same: int

    @property
    def chance(self) -> float:
        """Return how often chance gives such a difference or a larger one: the two-sided sign test, 0 to 1."""
        changed = self.better + self.worse
        tail = sum(math.comb(changed, hits) for hits in range(min(self.better, self.worse) + 1))
        return min(1.0, 2 * tail / (1 << changed))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs in pairs: counts of each measure, the rows whose verdict differs, and the expense of both.

    `unpaired` counts the questions of one run only, and those that failed.
    """

    counts: tuple[Paired, ...]
    changed: tuple[tuple[Json, Json], ...]
    unpaired: int
    expense: tuple[tuple[str, str, str], ...]

    @property
    def is_worse(self) -> bool:
        """Whether more answers are worse than better; of retrieval alone, more pages."""
        return bool(self.counts) and self.counts[0].worse > self.counts[0].better


def compare(first: Run, second: Run) -> Comparison:
    """Pair the questions of two runs. A question that failed in one of them counts as unpaired."""
    before, after = ({_key(row): row for row in run.rows if not row["error"]} for run in (first, second))
    pairs = [(row, after[key]) for key, row in before.items() if key in after]
    questions = {_key(row) for run in (first, second) for row in run.rows}
    judged = [pair for pair in pairs if "verdict" in pair[0]]
    searched = [pair for pair in pairs if "document_rank" in pair[0]]
    counts = [_paired("answers: right or rightly refused", ((_good(a), _good(b)) for a, b in judged))]
    for name in ("page", "document"):
        ranks = ((_nearness(a[f"{name}_rank"]), _nearness(b[f"{name}_rank"])) for a, b in searched if a[name])
        counts.append(_paired(f"rank of the {name}", ranks))
    changed = tuple((a, b) for a, b in judged if a["verdict"] != b["verdict"])
    then, now = ({item.name: str(item) for item in _expense([pair[side] for pair in judged])} for side in (0, 1))
    expense = tuple((name, then.get(name, "-"), now.get(name, "-")) for name in {**then, **now})
    counted = tuple(count for count in counts if count.better + count.worse + count.same)
    return Comparison(counted, changed, len(questions) - len(pairs), expense)


def made_from(rows: Sequence[Json]) -> list[tuple[str, list[str]]]:
    """Return the models and the prompt versions of the answers; several mean that the server changed meanwhile."""
    values = {
        name: list(dict.fromkeys(row[name] for row in rows if name in row)) for name in ("model", "prompt_version")
    }
    return [(name.replace("_", " "), names) for name, names in values.items() if names]


def outcome_of(row: Json) -> str:
    """Return the verdict of a row, or the rank of its page or document."""
    if "verdict" in row:
        return str(row["verdict"])
    name = "page" if row["page"] else "document"
    rank = row[f"{name}_rank"]
    return f"{name} found at {rank}" if rank else f"{name} not found"


def write_report(folder: Path, run: Run) -> None:
    """Write both files. Raises `Failure` where they cannot be written."""
    try:
        # Lone surrogates, which JSON can hold, have no encoding.
        (folder / REPORT).write_text(html_of(run), encoding="utf-8", errors="backslashreplace")
        # Excel reads UTF-8 only behind a byte order mark.
        (folder / TABLE).write_text(csv_of(run.rows), "utf-8-sig", errors="backslashreplace", newline="")
    except OSError as error:
        raise Failure(f"cannot write to {folder}: {error.strerror}") from None


def csv_of(rows: Iterable[Json]) -> str:
    """Return the rows as CSV, in which no text is a formula."""
    out = io.StringIO(newline="")
    table = csv.writer(out)
    table.writerow(_CSV_COLUMNS)
    for row in rows:
        cells = (_text(row, name, "; ") for name in _CSV_COLUMNS)
        table.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells])
    return out.getvalue()


def html_of(run: Run) -> str:
    """Return the report as one page."""
    about = [("started", run.head["started"]), ("questions", f"{len(run.rows)} of {run.head['count']}")]
    about += [(label, ", ".join(values)) for label, values in made_from(run.rows)]
    figures = [(figure.name, str(figure)) for figure in figures_of(run.rows)]
    parts = [
        _HEAD,
        _html("h1", f"docwell eval: {run.head['questions']}"),
        _html_table(about),
        _html_table(figures),
    ]
    for row in sorted(run.rows, key=_good):
        verdict = _html("b", outcome_of(row), "good" if _good(row) else "bad")
        parts.append(f"<details><summary>{verdict} {_html('span', row['question'])}</summary>")
        parts.append(_html("p", row.get("answer", "")))
        cells = [(name.replace("_", " "), _text(row, name, "\n")) for name in _DETAILS if name in row]
        parts.append(_html_table([(name, text) for name, text in cells if text]) + "</details>")
    return "\n".join([*parts, "</body></html>\n"])


def _html(tag: str, text: str, class_: str = "") -> str:
    attribute = f' class="{class_}"' if class_ else ""
    return f"<{tag}{attribute}>{escape(strip_invisible(text))}</{tag}>"


def _html_table(rows: Iterable[tuple[str, str]]) -> str:
    cells = (f"<tr>{_html('th', name)}{_html('td', text)}</tr>" for name, text in rows)
    return f"<table>{''.join(cells)}</table>"


def _text(row: Json, name: str, separator: str) -> str:
    """Return the value of a column as text, the citations one after the other."""
    value = row.get(name)
    if name == "citations":
        return separator.join(f"{key}, page {page}" for key, page in value or ())
    return "" if value is None else str(value)


def _good(row: Json) -> bool:
    if "verdict" in row:
        return row["verdict"] in GOOD
    return row["page_rank" if row["page"] else "document_rank"] is not None


def _retrieval(rows: Sequence[Json], name: str) -> Iterator[Figure]:
    ranks = [row[f"{name}_rank"] for row in rows if "document_rank" in row and row[name]]
    if ranks:
        for most in _RANKS:
            hits = sum(rank is not None and rank <= most for rank in ranks)
            yield Figure(f"hit@{most}: {name}", hits, of=len(ranks))


def _expense(judged: Sequence[Json]) -> list[Figure]:
    """Return tokens, seconds and cost of the answers, nothing without any."""
    if not judged:
        return []
    seconds = [row["seconds"] for row in judged]
    costs: Counter[str] = Counter()
    for row in judged:
        costs[row["currency"] or ""] += row["cost"] or 0
    return [
        Figure("prompt tokens", sum(row["prompt_tokens"] for row in judged)),
        Figure("completion tokens", sum(row["completion_tokens"] for row in judged)),
        Figure("seconds for an answer, median", round(statistics.median(seconds), 2), "s"),
        Figure("seconds for an answer, longest", round(max(seconds), 2), "s"),
        *(Figure(f"cost, {currency}", round(amount, 6)) for currency, amount in costs.items() if amount),
    ]


def _key(row: Json) -> tuple[object, ...]:
    return tuple(row[name] for name in COLUMNS)


def _nearness(rank: int | None) -> int:
    return -(SEARCHED + 1 if rank is None else rank)


def _paired(name: str, pairs: Iterable[tuple[int, int]]) -> Paired:
    steps = Counter((after > before) - (after < before) for before, after in pairs)
    return Paired(name, steps[1], steps[-1], steps[0])
