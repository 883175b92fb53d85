"""The evaluation sets: their documents, and their questions with the places that answer them."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from docwell.text.lexicon import segments

# Where a question is asked: in the set's collection, in its own document, or in the PDFs of all sets together.
POOLED, DOCUMENT, MIXED = "pooled", "in the document", "mixed"


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, and the document `key` that answers it.

    `pages` are (key, 1-based page), and `spans` are characters of the text; with neither, any page of the document
    answers. `evidence` is the text that answers, empty where the set has none. `among` limits the pooled scope to
    some documents. `language` is empty for English documents.
    """

    text: str
    key: str
    pages: frozenset[tuple[str, int]] = frozenset()
    spans: tuple[tuple[int, int], ...] = ()
    evidence: str = ""
    among: tuple[str, ...] = ()
    language: str = ""


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Questions, and the files of their documents by key.

    `scopes` is where the questions are asked. `judged` is where they judge parts of the ranking: nowhere for
    questions that are another set's in other words, which would count twice.
    """

    name: str
    title: str
    files: Mapping[str, Path]
    asked: tuple[Asked, ...]
    scopes: tuple[str, ...] = (POOLED, DOCUMENT, MIXED)
    judged: tuple[str, ...] = ()

    def sample(self, count: int | None) -> Self:
        """Return about `count` of the questions, spread evenly, over all documents."""
        if count is None or count >= len(self.asked):
            return self
        step = len(self.asked) / count
        return replace(self, asked=tuple(self.asked[int(i * step)] for i in range(count)))


def chunking(folder: Path) -> EvaluationSet:
    """Load Chroma's chunking evaluation: five long texts, with references exact to the character."""
    files = {f"chunking/{path.name}": path for path in sorted((folder / "chunking" / "corpora").glob("*.md"))}
    with (folder / "chunking" / "questions_df.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    def spans(row: dict[str, str]) -> tuple[tuple[int, int], ...]:
        return tuple((one["start_index"], one["end_index"]) for one in json.loads(row["references"]))

    asked = tuple(Asked(row["question"], f"chunking/{row['corpus_id']}.md", spans=spans(row)) for row in rows)
    return EvaluationSet("chunking", "chunking (Chroma)", files, asked, scopes=(POOLED,), judged=(POOLED,))


def financebench(folder: Path) -> EvaluationSet:
    """Load questions on company filings, with the pages and the text of the evidence."""
    return _filings(folder, "financebench", "FinanceBench", "questions_dev.json")


def filings2(folder: Path) -> EvaluationSet:
    """Load questions on filings of other companies."""
    return _filings(folder, "filings2", "other filings", "questions_dev2.json")


def _filings(folder: Path, name: str, title: str, questions: str) -> EvaluationSet:
    def asked(row: dict[str, Any]) -> Asked:
        evidence = row["evidence"]
        pages = {(f"{name}/{one['doc']}.pdf", one[field]) for one in evidence for field in ("page1", "best_page1")}
        text = "\n".join(one["evidence_text"] for one in evidence)
        return Asked(row["question"], f"{name}/{row['doc']}.pdf", frozenset(pages), evidence=text)

    rows = _questions(folder, f"{name}/{questions}")
    return EvaluationSet(name, title, _pdfs(folder, name), tuple(map(asked, rows)), judged=(POOLED, DOCUMENT))


def mmlongbench(folder: Path) -> EvaluationSet:
    """Load the questions on PDFs of many kinds that the text or a table answers, with the pages of the evidence.

    Many do not name their document, so they judge retrieval within it. The set has answers and no evidence text;
    half of the answers are counts and lists that no page has.
    """
    asked = tuple(
        Asked(row["question"], key, frozenset((key, page) for page in row["evidence_pages"]))
        for row in _questions(folder, "mmlongbench/questions_dev.json")
        if row["text_or_table_only"] and not row["unanswerable"]
        for key in (f"mmlongbench/{row['doc']}",)
    )
    return EvaluationSet("mmlongbench", "MMLongBench", _pdfs(folder, "mmlongbench"), asked, judged=(DOCUMENT,))


def xquad(folder: Path) -> EvaluationSet:
    """Load English questions on English articles, among translations of some articles into eight languages.

    The evidence is the sentence that has the answer.
    """

    def asked(row: dict[str, Any]) -> Asked:
        key = f"xquad/{row['doc']}"
        evidence = sentence_with(row["context"], row["answer_start"], len(row["answer"]))
        return Asked(row["question"], key, frozenset({(key, row["page"])}), evidence=evidence)

    rows = _questions(folder, "xquad/questions_en_dev.json")
    return EvaluationSet("xquad", "XQuAD", _pdfs(folder, "xquad"), tuple(map(asked, rows)), judged=(POOLED, MIXED))


def northwind(folder: Path) -> EvaluationSet:
    """Load questions on the handbooks of a made-up company, with the pages that answer."""

    def asked(row: dict[str, Any]) -> Asked:
        key = f"northwind/{row['doc']}"
        return Asked(row["question"], key, frozenset((key, page) for page in row["pages"]))

    rows = _questions(folder, "northwind/questions.json")
    return EvaluationSet(
        "northwind", "Northwind", _pdfs(folder, "northwind"), tuple(map(asked, rows)), judged=(POOLED,)
    )


def translated(folder: Path) -> EvaluationSet:
    """Load questions on translated articles, in the document's language."""
    return _translations(folder, "translated", "translated XQuAD", "question")


def translated_english(folder: Path) -> EvaluationSet:
    """Load the same questions in English."""
    return _translations(folder, "translated-english", "translated XQuAD, asked in English", "question_en")


def _translations(folder: Path, name: str, title: str, field: str) -> EvaluationSet:
    """Load questions on translated articles. Each searches the articles in one language.

    The other languages have translations of the page that answers, which would be misses.
    """
    rows = _questions(folder, "xquad/questions_translated_dev.json")
    among = {
        row["lang"]: tuple(sorted({f"xquad/{one['doc']}" for one in rows if one["lang"] == row["lang"]}))
        for row in {row["lang"]: row for row in rows}.values()
    }

    def asked(row: dict[str, Any]) -> Asked:
        key, page, language = f"xquad/{row['doc']}", row["page"], row["lang"]
        pages = frozenset[tuple[str, int]]() if page is None else frozenset({(key, page)})
        return Asked(row[field], key, pages, among=among[language], language=language)

    return EvaluationSet(name, title, _pdfs(folder, "xquad"), tuple(map(asked, rows)), scopes=(POOLED,))


SETS = {
    "chunking": chunking,
    "financebench": financebench,
    "filings2": filings2,
    "mmlongbench": mmlongbench,
    "xquad": xquad,
    "translated": translated,
    "translated-english": translated_english,
}


def sentence_with(text: str, start: int, length: int) -> str:
    """Return the sentence with these characters of a text, or the sentences if they are in several.

    >>> sentence_with("It rains. The gate is shut.", 14, 4)
    'The gate is shut.'
    """
    spans = segments(text, longest=len(text))
    return " ".join(text[first:last] for first, last in spans if first < start + length and start < last)


def _questions(folder: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / name).read_text(encoding="utf-8"))
    return rows


def _pdfs(folder: Path, name: str) -> dict[str, Path]:
    return {f"{name}/{path.name}": path for path in sorted((folder / name / "pdf").glob("*.pdf"))}
