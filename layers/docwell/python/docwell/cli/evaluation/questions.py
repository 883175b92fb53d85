"""The questions of `docwell eval`: reads the CSV file and checks every cell before the first question."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from docwell.cli.evaluation.verdicts import tokens
from docwell.cli.remote import Json
from docwell.cli.settings import ExitCode, Failure

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
                question = _question(line, cells)
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


def _question(line: int, cells: Mapping[str, str]) -> EvalQuestion:
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
