"""The evaluation sets: their documents, and their questions with the places that answer them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

# The scopes of a question: the set's collection, the document with its answer, or the PDFs of all sets together.
POOLED, DOCUMENT, MIXED = "pooled", "in the document", "mixed"


@dataclass(frozen=True, slots=True)
class Question:
    """One question, and the document `key` that answers it.

    `pages` are (key, 1-based page); without any, each page of the document answers. `among` limits the pooled
    scope to some documents. `language` is empty for English documents.
    """

    text: str
    key: str
    pages: frozenset[tuple[str, int]] = frozenset()
    among: tuple[str, ...] = ()
    language: str = ""


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Questions, and the files of their documents by key, all in one collection.

    `scopes` is where the questions are asked. `judged` is where they judge parts of the ranking: nowhere for
    questions that another set has in other words, which would count twice.
    """

    name: str
    title: str
    files: Mapping[str, Path]
    questions: tuple[Question, ...]
    scopes: tuple[str, ...] = (POOLED, DOCUMENT, MIXED)
    judged: tuple[str, ...] = ()

    @property
    def collection(self) -> str:
        return next(iter(self.files)).partition("/")[0]

    def sample(self, count: int | None) -> Self:
        """Return about `count` of the questions, spread evenly, over all documents."""
        if count is None or count >= len(self.questions):
            return self
        step = len(self.questions) / count
        return replace(self, questions=tuple(self.questions[int(i * step)] for i in range(count)))


def filings(folder: Path, *, name: str, title: str, file: str) -> EvaluationSet:
    """Load questions on company filings, with the pages of the evidence."""

    def question(row: dict[str, Any]) -> Question:
        pages = {
            (f"{name}/{part['doc']}.pdf", part[field])
            for part in row["evidence"]
            for field in ("page1", "best_page1")
        }
        return Question(row["question"], f"{name}/{row['doc']}.pdf", frozenset(pages))

    questions = tuple(map(question, _rows(folder, f"{name}/{file}")))
    return EvaluationSet(name, title, _pdfs(folder, name), questions, judged=(POOLED, DOCUMENT))


def mmlongbench(folder: Path) -> EvaluationSet:
    """Load the questions on PDFs of many kinds that the text or a table answers, with the pages of the evidence.

    Many do not name their document, so they judge retrieval within it.
    """
    questions = tuple(
        Question(row["question"], key, frozenset((key, page) for page in row["evidence_pages"]))
        for row in _rows(folder, "mmlongbench/questions_dev.json")
        if row["text_or_table_only"] and not row["unanswerable"]
        for key in (f"mmlongbench/{row['doc']}",)
    )
    return EvaluationSet("mmlongbench", "MMLongBench", _pdfs(folder, "mmlongbench"), questions, judged=(DOCUMENT,))


def xquad(folder: Path) -> EvaluationSet:
    """Load English questions on English articles, among translations of some articles into eight languages."""
    questions = tuple(
        Question(row["question"], key, frozenset({(key, row["page"])}))
        for row in _rows(folder, "xquad/questions_en_dev.json")
        for key in (f"xquad/{row['doc']}",)
    )
    return EvaluationSet("xquad", "XQuAD", _pdfs(folder, "xquad"), questions, judged=(POOLED, MIXED))


def northwind(folder: Path) -> EvaluationSet:
    """Load questions on the handbooks of a made-up company, with the pages that answer."""
    questions = tuple(
        Question(row["question"], key, frozenset((key, page) for page in row["pages"]))
        for row in _rows(folder, "northwind/questions.json")
        for key in (f"northwind/{row['doc']}",)
    )
    return EvaluationSet("northwind", "Northwind", _pdfs(folder, "northwind"), questions, judged=(POOLED,))


def translations(folder: Path, *, name: str, title: str, field: str) -> EvaluationSet:
    """Load questions on translated articles. Each searches the articles in one language.

    The other languages have translations of the page that answers, which would be misses.
    """
    rows = _rows(folder, "xquad/questions_translated_dev.json")
    among: dict[str, dict[str, None]] = {}
    for row in rows:
        among.setdefault(row["lang"], {})[f"xquad/{row['doc']}"] = None

    def question(row: dict[str, Any]) -> Question:
        key, language = f"xquad/{row['doc']}", row["lang"]
        pages = frozenset[tuple[str, int]]() if row["page"] is None else frozenset({(key, row["page"])})
        return Question(row[field], key, pages, among=tuple(among[language]), language=language)

    return EvaluationSet(name, title, _pdfs(folder, "xquad"), tuple(map(question, rows)), scopes=(POOLED,))


SETS: Mapping[str, Callable[[Path], EvaluationSet]] = {
    "financebench": partial(filings, name="financebench", title="FinanceBench", file="questions_dev.json"),
    "filings2": partial(filings, name="filings2", title="other filings", file="questions_dev2.json"),
    "mmlongbench": mmlongbench,
    "xquad": xquad,
    "translated": partial(translations, name="translated", title="translated XQuAD", field="question"),
    "translated-english": partial(
        translations, name="translated-english", title="translated XQuAD, asked in English", field="question_en"
    ),
    "northwind": northwind,
}


def _rows(folder: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / name).read_text(encoding="utf-8"))
    return rows


def _pdfs(folder: Path, name: str) -> dict[str, Path]:
    return {f"{name}/{path.name}": path for path in sorted((folder / name / "pdf").glob("*.pdf"))}
