"""The runs of `docwell eval`: reads the questions, asks and judges each, counts figures, compares two runs.

The CSV file is checked as a whole before the first question.
The file `rows.jsonl` has the run on its first line, then one row for each attempt. The last row of a question
counts, so an interrupted run continues, and failed questions are repeated.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from docwell.cli.evaluation.verdicts import GOOD, Verdict, judge_answer, read_answer, tokens
from docwell.cli.remote import QUERY_PATH, Api, Json
from docwell.cli.settings import ExitCode, Failure
from docwell.models import Status

ROWS = "rows.jsonl"
SEARCHED = 5
# One question can meet a full queue; several in a row mean that the server is down or a quota is used up.
_FAILURES_IN_A_ROW = 3
COLUMNS = ("question", "document", "page", "expected", "unanswerable", "collection", "language")
# The languages whose number notation an answer may use.
LANGUAGES = ("en", "de", "fr")
# Spreadsheets write truth values in the language of their user.
_TRUE = frozenset({"true", "yes", "1", "x", "wahr", "ja", "vrai", "oui"})
_FALSE = frozenset({"", "false", "no", "0", "falsch", "nein", "faux", "non"})
# Spreadsheets separate cells by semicolons where the comma is the decimal mark.
_SEPARATORS = ",;\t"
_PAGES = re.compile(r"[1-9]\d{0,6}(?:-[1-9]\d{0,6})?")


@dataclass(frozen=True, slots=True)
class EvalQuestion:
    """One row of the file: its `cells`, and the number of its last line (1-based).

    `pages` are runs of pages (1-based, both ends count) of `document`. `expected` are the accepted wordings of the
    fact; without any, an answerable question measures retrieval alone.
    """

    line: int
    cells: Json
    pages: tuple[tuple[int, int], ...]
    expected: tuple[str, ...]

    @property
    def judged(self) -> bool:
        """Return whether to judge the answer, and not only the search."""
        return self.cells["unanswerable"] or bool(self.expected)

    def holds(self, document: object, page: object) -> bool:
        """Return whether a place is on a page of the truth."""
        on_page = isinstance(page, int) and any(first <= page <= last for first, last in self.pages)
        return on_page and document == self.cells["document"]


def read_questions(path: Path) -> list[EvalQuestion]:
    """Read the file. Raises a `Failure` (usage) that names line and column of the first wrong cell."""
    try:
        questions = [_checked_question(line, cells) for line, cells in _rows(path.read_bytes())]
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}", ExitCode.USAGE) from None
    except ValueError as error:
        raise Failure(f"{path}: {error}. Nothing was asked", ExitCode.USAGE) from None
    if not questions:
        hint = "its first line names the columns, and each further line is a question"
        raise Failure(f"{path} has no questions: {hint}", ExitCode.USAGE)
    return questions


def _rows(data: bytes) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield each row that is not blank with the number of its last line. Raises `ValueError`."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line}: not UTF-8: save the file as “CSV UTF-8”") from None
    head = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, restval="", strict=True)
    # Ignore empty names: spreadsheets write empty columns on the right.
    names = [name.strip().casefold() for name in reader.fieldnames or ()]
    reader.fieldnames = names
    wrong = [name for name in names if name and (name not in COLUMNS or names.count(name) > 1)]
    if wrong or "question" not in names:
        reason = f"unknown or repeated: {', '.join(wrong)}" if wrong else "no column “question”"
        raise ValueError(f"line 1: {reason}; the columns: {', '.join(COLUMNS)}")
    try:
        for row in reader:
            cells = {name: cell.strip() for name, cell in row.items() if name}
            if any(map(str.strip, [row.get("", ""), *row.get(None, ())])):
                message = f"over {len(cells)} cells: put quotation marks around a cell with “{separator}” in it"
                raise ValueError(f"line {reader.line_num}: {message}")
            if any(cells.values()):
                yield reader.line_num, {name: cells.get(name, "") for name in COLUMNS}
    except csv.Error as error:
        raise ValueError(f"line {reader.reader.line_num}: {error}: check its quotation marks") from None


def _checked_question(line: int, cells: Mapping[str, str]) -> EvalQuestion:
    """Check one row. Raises `ValueError`."""
    document, page, truth = cells["document"], cells["page"], cells["unanswerable"].casefold()
    wordings = tuple(text.strip() for text in cells["expected"].split("|") if text.strip())
    language = cells["language"].casefold() or "en"
    runs = [run.partition("-") for run in page.replace(" ", "").split(",") if _PAGES.fullmatch(run)]
    pages = tuple((int(first), int(last or first)) for first, _, last in runs)
    problems = {
        "question: it is blank": not cells["question"],
        f"unanswerable: true or false, not {truth!r}": truth not in _TRUE | _FALSE,
        f"language: one of {', '.join(LANGUAGES)}, not {language!r}": language not in LANGUAGES,
        "page: a page needs a document": page and not document,
        f"page: pages such as 3 or 3,7-9, counted from 1, not {page!r}": page
        and (len(runs) <= page.count(",") or any(last < first for first, last in pages)),
        f"expected: {cells['expected']!r} has no word and no figure": not all(map(tokens, wordings)),
        "unanswerable: such a question has no expected fact and no document": truth in _TRUE
        and (wordings or document),
        "expected: nothing to measure: give expected, document or unanswerable": truth in _FALSE
        and not (wordings or document),
    }
    for problem, is_wrong in problems.items():
        if is_wrong:
            raise ValueError(f"line {line}, column {problem}")
    return EvalQuestion(line, {**cells, "unanswerable": truth in _TRUE, "language": language}, pages, wordings)


@dataclass(slots=True)
class Run:
    """A stored run: `head` names questions and start, `rows` has the last row of each question, by its line."""

    path: Path
    head: Json
    rows: dict[int, Json] = field(default_factory=dict)

    @property
    def done(self) -> set[int]:
        """The lines of the questions that did not fail."""
        return {line for line, row in self.rows.items() if not row["error"]}

    def add(self, row: Json) -> None:
        """Store a row. Raises `Failure` where the disk is full."""
        self.rows[row["line"]] = row
        _append(self.path, row)


def open_run(folder: Path, source: Path, count: int) -> Run:
    """Continue the run of a file of `count` questions in a folder, or begin it.

    Raises `Failure` where the folder has the run of another file, or cannot be written.
    """
    path, checksum = folder / ROWS, sha256(source.read_bytes()).hexdigest()
    if not path.exists():
        now = datetime.now(UTC).isoformat(timespec="seconds")
        _append(path, {"questions": source.name, "sha256": checksum, "count": count, "started": now})
    run = read_run(folder)
    if run.head["sha256"] != checksum:
        raise Failure(f"{folder} has another run, or {source} has changed: give another --out", ExitCode.USAGE)
    return run


def read_run(folder: Path) -> Run:
    """Read a run, without truncated lines. Raises `Failure` (usage) where there is no run."""
    path, documents = folder / ROWS, list[Json]()
    try:
        lines = path.read_text("ascii").splitlines()
    except (OSError, ValueError) as error:
        raise Failure(f"no run of docwell eval in {folder}: {error}", ExitCode.USAGE) from None
    for line in lines:
        with suppress(ValueError):
            documents.append(json.loads(line))
    if not documents or "sha256" not in documents[0]:
        raise Failure(f"{path} is not of docwell eval", ExitCode.USAGE)
    return Run(path, documents[0], {row["line"]: row for row in documents[1:]})


def _append(path: Path, row: Json) -> None:
    """Append a row on a new line, because the last one may be truncated. Raises `Failure`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="ascii") as file:
            file.writelines(("\n", json.dumps(row)))
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}", ExitCode.USAGE) from None


def check_documents(api: Api, questions: Sequence[EvalQuestion]) -> None:
    """Raise a `Failure` (usage) for a document that is not indexed: each of its questions would be a miss."""
    lines = {question.cells["document"]: question.line for question in reversed(questions)}
    for key, line in reversed(lines.items()):
        unknown = "unknown: give its whole key, as `docwell ls` shows it"
        if key and (status := (api.document(key) or {}).get("status", unknown)) != Status.INDEXED:
            raise Failure(f"line {line}, column document: {key} is {status}. Nothing was asked", ExitCode.USAGE)


def ask_all(api: Api, questions: Sequence[EvalQuestion], run: Run, step: Callable[[int], None]) -> None:
    """Ask the questions that the run has not done. Raises `Failure` after some failures in a row."""
    failed, done = 0, run.done
    for question in questions:
        if question.line not in done:
            row = _measure(api, question)
            run.add(row)
            failed = failed + 1 if row["error"] else 0
            if failed == _FAILURES_IN_A_ROW:
                message = f"stopped after {failed} failures in a row: {row['error']}. Run it again to continue"
                raise Failure(message)
        step(1)


def _measure(api: Api, question: EvalQuestion) -> Json:
    """Search and ask, and return the row. `error` is null, or the reason why the question failed."""
    row: Json = {"line": question.line, **question.cells, "error": None}
    scope = {name: row[name] for name in ("question", "collection") if row[name]}
    try:
        if row["document"]:
            row |= _ranks(question, _complete(api.post("/v1/search", {**scope, "top_k": SEARCHED}))["passages"])
        if question.judged:
            began = time.monotonic()
            # Forbid the fallback: extractive answers say nothing about the model.
            answer = _complete(api.post(QUERY_PATH, {**scope, "fallback": "none"}))
            row |= {"seconds": round(time.monotonic() - began, 3)} | _judged(question, answer)
    except Failure as error:
        row |= {"verdict": Verdict.FAILED, "error": error.detail}
    except (KeyError, TypeError) as error:
        row |= {"verdict": Verdict.FAILED, "error": f"not an answer of docwell: {error!r}"}
    return row


def _complete(body: Json) -> Json:
    """Return an answer from the whole index. Raises `Failure` for a partial answer, which proves nothing."""
    if body.get("partial"):
        raise Failure("a Chroma server did not answer: some documents were not searched")
    return body


def _ranks(question: EvalQuestion, passages: Sequence[Json]) -> Json:
    """Return the ranks (1-based, null for none) of the first passages on the right page and document."""
    places = [(passage["document"], passage["page"]) for passage in passages]
    in_document = [rank for rank, (key, _) in enumerate(places, 1) if key == question.cells["document"]]
    on_page = [rank for rank, place in enumerate(places, 1) if question.holds(*place)]
    return {"document_rank": next(iter(in_document), None), "page_rank": next(iter(on_page), None)}


def _judged(question: EvalQuestion, body: Json) -> Json:
    answer = read_answer(body)
    usage, cost = body["usage"], body.get("cost") or {}
    answerable, language = not question.cells["unanswerable"], question.cells["language"]
    return {
        "verdict": judge_answer(answer, question.expected, answerable=answerable, language=language),
        "status": answer.status,
        "answer": body["answer"],
        "citations": [[page.key, page.number] for page in sorted(answer.citations)],
        "cites_page": any(question.holds(page.key, page.number) for page in answer.citations),
        "prompt_tokens": usage["prompt_tokens"],
        "completion_tokens": usage["completion_tokens"],
        "cost": cost.get("amount"),
        "currency": cost.get("currency"),
        **{name: body[name] for name in ("model", "prompt_version", "request_id")},
    }


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. With `of`, `value` counts cases among these."""

    name: str
    value: float
    of: int | None = None

    def __str__(self) -> str:
        if self.of is None:
            return f"{self.value:,.6g}"
        return f"{self.value:,.0f} of {self.of:,} ({100 * self.value / self.of:.0f} %)"


def figures_of(rows: Collection[Json]) -> list[Figure]:
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
    failed = Figure("questions that failed", sum(bool(row["error"]) for row in rows), of=len(rows))
    return [*figures, failed, *(_expense(judged) if judged else [])]


def compare(first: Run, second: Run) -> Json:
    """Count the questions that are better, worse or the same in the second run, and list the changes.

    `by_chance` is how often chance gives such a difference or a larger one: the two-sided sign test, 0 to 1.
    `unpaired` counts the questions that only one run has, or that failed in one.
    """
    runs = [{tuple(map(row.get, COLUMNS)): row for row in run.rows.values()} for run in (first, second)]
    before, after = ({key: row for key, row in rows.items() if not row["error"]} for rows in runs)
    pairs = [(row, after[key]) for key, row in before.items() if key in after]
    steps = Counter(_good(now) - _good(then) for then, now in pairs)
    better, worse = steps[1], steps[-1]
    tail = sum(math.comb(better + worse, count) for count in range(min(better, worse) + 1))
    outcomes = ((then["question"], _outcome(then), _outcome(now)) for then, now in pairs)
    return {
        "better": better,
        "worse": worse,
        "same": steps[0],
        "by_chance": min(1.0, 2 * tail / (1 << (better + worse))),
        "unpaired": len({*runs[0], *runs[1]}) - len(pairs),
        "changed": [outcome for outcome in outcomes if outcome[1] != outcome[2]],
    }


def _outcome(row: Json) -> str:
    """Return the verdict of a row, or the rank of its page or document."""
    if "verdict" in row:
        return str(row["verdict"])
    name = "page" if row["page"] else "document"
    rank = row[f"{name}_rank"]
    return f"{name} found at {rank}" if rank else f"{name} not found"


def _good(row: Json) -> bool:
    if "verdict" in row:
        return row["verdict"] in GOOD
    return row["page_rank" if row["page"] else "document_rank"] is not None


def _retrieval(rows: Collection[Json], name: str) -> Iterator[Figure]:
    ranks = [row[f"{name}_rank"] for row in rows if "document_rank" in row and row[name]]
    if ranks:
        for depth in (1, 3, SEARCHED):
            hits = sum(rank is not None and rank <= depth for rank in ranks)
            yield Figure(f"hit@{depth}: {name}", hits, of=len(ranks))


def _expense(judged: Sequence[Json]) -> list[Figure]:
    """Return tokens, seconds and cost of the answers."""
    seconds = [row["seconds"] for row in judged]
    costs: Counter[str] = Counter()
    for row in judged:
        costs[row["currency"] or ""] += row["cost"] or 0
    return [
        Figure("prompt tokens", sum(row["prompt_tokens"] for row in judged)),
        Figure("completion tokens", sum(row["completion_tokens"] for row in judged)),
        Figure("seconds for an answer, median", round(statistics.median(seconds), 2)),
        Figure("seconds for an answer, longest", round(max(seconds), 2)),
        *(Figure(f"cost, {currency}", round(amount, 6)) for currency, amount in costs.items() if amount),
    ]
