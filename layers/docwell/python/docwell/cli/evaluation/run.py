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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from docwell.cli.evaluation.verdicts import GOOD, Verdict, judge_facts, read_answer, tokens
from docwell.cli.remote import QUERY_PATH, Api, Json
from docwell.cli.settings import ExitCode, Failure
from docwell.models import Status

ROWS = "rows.jsonl"
SEARCHED = 5
# One question can meet a full queue; several in a row mean that the server is down or a quota is used up.
_FAILURES_IN_A_ROW = 3
_RANKS = (1, 3, SEARCHED)
COLUMNS = ("question", "document", "page", "expected", "unanswerable", "collection", "language")
# The languages whose number notation an answer may use.
LANGUAGES = ("en", "de", "fr")
# Spreadsheets write truth values in the language of their user.
_TRUE = frozenset({"true", "yes", "1", "x", "wahr", "ja", "vrai", "oui"})
_FALSE = frozenset({"", "false", "no", "0", "falsch", "nein", "faux", "non"})
# Spreadsheets separate cells by semicolons where the comma is the decimal mark.
_SEPARATORS = ",;\t"
_PAGES = re.compile(r"[1-9]\d{0,6}(?:-[1-9]\d{0,6})?")
_SHOWN_ERRORS = 5


@dataclass(frozen=True, slots=True)
class EvalQuestion:
    """One row of the file; `line` (1-based) is the number of its last line.

    `pages` are runs of pages (1-based, both ends count) of `document`. `expected` are the accepted wordings of the
    fact; without any, an answerable question measures retrieval alone.
    """

    line: int = field(compare=False)
    question: str
    document: str | None = None
    pages: tuple[tuple[int, int], ...] = ()
    expected: tuple[str, ...] = ()
    unanswerable: bool = False
    collection: str | None = None
    language: str = "en"

    @property
    def judged(self) -> bool:
        """Return whether to judge the answer, and not only the search."""
        return self.unanswerable or bool(self.expected)

    def holds(self, document: object, page: object) -> bool:
        """Return whether a place is on a page of the truth."""
        on_page = isinstance(page, int) and any(first <= page <= last for first, last in self.pages)
        return on_page and document == self.document

    def as_json(self) -> Json:
        """Return the row in the form of the report."""
        runs = (str(first) if first == last else f"{first}-{last}" for first, last in self.pages)
        return {
            "line": self.line,
            "question": self.question,
            "document": self.document or "",
            "page": ",".join(runs),
            "expected": "|".join(self.expected),
            "unanswerable": self.unanswerable,
            "collection": self.collection or "",
            "language": self.language,
        }


def read_questions(path: Path) -> list[EvalQuestion]:
    """Read the file. Raises a `Failure` (usage) that names line and column of the first wrong cells."""
    questions: dict[EvalQuestion, int] = {}
    errors: list[str] = []
    try:
        for line, cells in _rows(_text(path)):
            try:
                question = _checked_question(line, cells)
            except ValueError as error:
                errors.append(f"line {line}, {error}")
                continue
            if question in questions:
                errors.append(f"line {line}: the same as line {questions[question]}")
            questions.setdefault(question, line)
    except (csv.Error, ValueError) as error:
        errors.append(str(error))
    if errors:
        ending = f"; and {len(errors) - _SHOWN_ERRORS} more" if errors[_SHOWN_ERRORS:] else ""
        raise Failure(f"{path}: {'; '.join(errors[:_SHOWN_ERRORS])}{ending}. Nothing was asked", ExitCode.USAGE)
    if not questions:
        hint = "its first line names the columns, and each further line is a question"
        raise Failure(f"{path} has no questions: {hint}", ExitCode.USAGE)
    return list(questions)


def _text(path: Path) -> str:
    """Decode the file. Raises `Failure`, and `ValueError` for another encoding."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}", ExitCode.USAGE) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line}: not UTF-8: save the file as “CSV UTF-8”") from None


def _rows(text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield each row that is not blank with the number of its last line. Raises `ValueError`."""
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
                yield reader.line_num, cells
    except csv.Error as error:
        raise ValueError(f"line {reader.reader.line_num}: {error}: check its quotation marks") from None


def _checked_question(line: int, cells: Mapping[str, str]) -> EvalQuestion:
    """Check one row. Raises `ValueError`."""
    question, document, page = (cells.get(name, "") for name in ("question", "document", "page"))
    wordings = tuple(text.strip() for text in cells.get("expected", "").split("|") if text.strip())
    language = cells.get("language", "").casefold() or "en"
    truth = cells.get("unanswerable", "").casefold()
    if not question:
        raise ValueError("column question: it is blank")
    if truth not in _TRUE | _FALSE:
        raise ValueError(f"column unanswerable: true or false, not {truth!r}")
    if language not in LANGUAGES:
        raise ValueError(f"column language: one of {', '.join(LANGUAGES)}, not {language!r}")
    if page and not document:
        raise ValueError("column page: a page needs a document")
    if wordless := next((text for text in wordings if not tokens(text)), None):
        raise ValueError(f"column expected: {wordless!r} has no word and no figure")
    unanswerable = truth in _TRUE
    if unanswerable and (wordings or document):
        raise ValueError("column unanswerable: such a question has no expected fact and no document")
    if not (unanswerable or wordings or document):
        raise ValueError("column expected: nothing to measure: give expected, document or unanswerable")
    collection = cells.get("collection") or None
    return EvalQuestion(
        line, question, document or None, _pages(page), wordings, unanswerable, collection, language
    )


def _pages(text: str) -> tuple[tuple[int, int], ...]:
    """Read runs of pages, such as `3` and `3,7-9`. Raises `ValueError`."""
    runs = []
    for run in filter(None, text.replace(" ", "").split(",")):
        first, _, last = run.partition("-")
        if not _PAGES.fullmatch(run) or int(last or first) < int(first):
            raise ValueError(f"column page: pages such as 3 or 3,7-9, counted from 1, not {text!r}")
        runs.append((int(first), int(last or first)))
    return tuple(runs)


@dataclass(frozen=True, slots=True)
class Run:
    """A stored run: `head` names questions and start, `rows` has the last row of each question, in order."""

    head: Json
    rows: tuple[Json, ...]


class Rows:
    """The rows of a run of `count` questions in its folder, which is created.

    `done` has the rows without an error. Raises `Failure` where the folder has the run of another file, or cannot
    be written.
    """

    def __init__(self, folder: Path, source: Path, count: int) -> None:
        self.path = folder / ROWS
        try:
            checksum = sha256(source.read_bytes()).hexdigest()
            folder.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                now = datetime.now(UTC).isoformat(timespec="seconds")
                self._append({"questions": source.name, "sha256": checksum, "count": count, "started": now})
            elif not self.path.read_bytes().endswith(b"\n"):  # the run was killed while it wrote its last row
                with self.path.open("a") as file:
                    file.writelines(["\n"])
        except OSError as error:
            raise Failure(f"cannot write to {folder}: {error.strerror}", ExitCode.USAGE) from None
        run = read_run(folder)
        if run.head["sha256"] != checksum:
            raise Failure(f"{folder} has another run, or {source} has changed: give another --out", ExitCode.USAGE)
        self.done = {row["line"]: row for row in run.rows if not row["error"]}

    def add(self, row: Json) -> None:
        """Append a row. Raises `Failure` where the disk is full."""
        try:
            self._append(row)
        except OSError as error:
            raise Failure(f"cannot write {self.path}: {error.strerror}") from None

    def _append(self, row: Json) -> None:
        with self.path.open("a", encoding="ascii") as file:
            file.writelines((json.dumps(row), "\n"))


def read_run(folder: Path) -> Run:
    """Read a run, without a truncated last line. Raises `Failure` (usage) where there is no run."""
    documents: list[Json] = []
    try:
        lines = (folder / ROWS).read_text("ascii").splitlines()
    except (OSError, ValueError) as error:
        raise Failure(f"no run of docwell eval in {folder}: {error}", ExitCode.USAGE) from None
    for line in lines:
        with suppress(ValueError):
            documents.append(json.loads(line))
    if not documents or "sha256" not in documents[0]:
        raise Failure(f"{folder / ROWS} is not of docwell eval", ExitCode.USAGE)
    rows = {row["line"]: row for row in documents[1:]}
    return Run(documents[0], tuple(rows[line] for line in sorted(rows)))


def check_documents(api: Api, questions: Sequence[EvalQuestion]) -> None:
    """Raise a `Failure` (usage) for a document that is not indexed: each of its questions would be a miss."""
    lines = {question.document: question.line for question in reversed(questions) if question.document}
    for key, line in reversed(lines.items()):
        unknown = "unknown: give its whole key, as `docwell status` shows it"
        status = (api.document(key) or {}).get("status", unknown)
        if status != Status.INDEXED:
            raise Failure(f"line {line}, column document: {key} is {status}. Nothing was asked", ExitCode.USAGE)


def ask_all(api: Api, questions: Sequence[EvalQuestion], rows: Rows, step: Callable[[int], None]) -> None:
    """Ask the questions that have no row yet. Raises `Failure` after some failures in a row."""
    failed = 0
    for question in questions:
        if question.line not in rows.done:
            row = _measure(api, question)
            rows.add(row)
            failed = failed + 1 if row["error"] else 0
            if failed == _FAILURES_IN_A_ROW:
                raise Failure(
                    f"stopped after {failed} failures in a row: {row['error']}. Run it again to continue"
                )
        step(1)


def _measure(api: Api, question: EvalQuestion) -> Json:
    """Search and ask, and return the row. `error` is null, or the reason why the question failed."""
    row: Json = {**question.as_json(), "error": None}
    scope = {"question": question.question}
    if question.collection:
        scope["collection"] = question.collection
    try:
        if question.document:
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
    in_document = [rank for rank, (key, _) in enumerate(places, 1) if key == question.document]
    on_page = [rank for rank, place in enumerate(places, 1) if question.holds(*place)]
    return {"document_rank": next(iter(in_document), None), "page_rank": next(iter(on_page), None)}


def _judged(question: EvalQuestion, body: Json) -> Json:
    answer = read_answer(body)
    facts = (question.expected,) if question.expected else ()
    usage, cost = body["usage"], body.get("cost") or {}
    return {
        "verdict": judge_facts(answer, facts, answerable=not question.unanswerable, language=question.language),
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
    """Return the percentage of judged questions, failed ones included, with a right answer or refusal."""
    judged = [row for row in rows if "verdict" in row]
    return 100 * sum(row["verdict"] in GOOD for row in judged) / len(judged) if judged else 0.0


def compare(first: Run, second: Run) -> Json:
    """Count the questions that are better, worse or the same in the second run, and list the changes.

    `by_chance` is how often chance gives such a difference or a larger one: the two-sided sign test, 0 to 1.
    `unpaired` counts the questions that only one run has, or that failed in one.
    """
    before, after = ({_key(row): row for row in run.rows if not row["error"]} for run in (first, second))
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
        "unpaired": len({_key(row) for run in (first, second) for row in run.rows}) - len(pairs),
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


def _retrieval(rows: Sequence[Json], name: str) -> Iterator[Figure]:
    ranks = [row[f"{name}_rank"] for row in rows if "document_rank" in row and row[name]]
    if ranks:
        for depth in _RANKS:
            hits = sum(rank is not None and rank <= depth for rank in ranks)
            yield Figure(f"hit@{depth}: {name}", hits, of=len(ranks))


def _expense(judged: Sequence[Json]) -> list[Figure]:
    """Return tokens, seconds and cost of the answers; empty without answers."""
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
