"""One run of `docwell eval`: asks each question, judges the answer, and appends its row to a file at once.

The file `rows.jsonl` has the run on its first line, then one row for each attempt. The last row of a question
counts, so a run that broke off continues, and a question that failed is asked again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from docwell.cli.evaluation.questions import EvalQuestion
from docwell.cli.evaluation.verdicts import Verdict, judge_facts, read_answer
from docwell.cli.remote import QUERY_PATH, Api, Json
from docwell.cli.settings import ExitCode, Failure
from docwell.models import Status

ROWS = "rows.jsonl"
SEARCHED = 5
# One question can meet a full queue; several in a row mean that the server is down, or a quota is used up.
_FAILURES_IN_A_ROW = 3


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
        self._path = folder / ROWS
        try:
            checksum = sha256(source.read_bytes()).hexdigest()
            folder.mkdir(parents=True, exist_ok=True)
            if not self._path.exists():
                now = datetime.now(UTC).isoformat(timespec="seconds")
                self._append({"questions": source.name, "sha256": checksum, "count": count, "started": now})
            elif not self._path.read_bytes().endswith(b"\n"):  # the run died while it wrote its last row
                with self._path.open("a") as file:
                    file.write("\n")
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
            raise Failure(f"cannot write {self._path}: {error.strerror}") from None

    def _append(self, row: Json) -> None:
        with self._path.open("a", encoding="ascii") as file:
            file.writelines((json.dumps(row), "\n"))


def read_run(folder: Path) -> Run:
    """Read a run, without a last line that was cut off. Raises `Failure` (usage) where there is none."""
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
    """Search and ask, and return the row. `error` is null, or why the question failed."""
    row: Json = {**question.as_json(), "error": None}
    scope = {"question": question.question}
    if question.collection:
        scope["collection"] = question.collection
    try:
        if question.document:
            row |= _ranks(question, _whole(api.post("/v1/search", {**scope, "top_k": SEARCHED}))["passages"])
        if question.judged:
            began = time.monotonic()
            # The best sentences of the passages, in place of an answer, say nothing about the model.
            answer = _whole(api.post(QUERY_PATH, {**scope, "fallback": "none"}))
            row |= {"seconds": round(time.monotonic() - began, 3)} | _judged(question, answer)
    except Failure as error:
        row |= {"verdict": Verdict.FAILED, "error": error.detail}
    except (KeyError, TypeError) as error:
        row |= {"verdict": Verdict.FAILED, "error": f"not an answer of docwell: {error!r}"}
    return row


def _whole(body: Json) -> Json:
    """Return an answer from the whole index. Raises `Failure` for a partial answer, which judges nothing."""
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
