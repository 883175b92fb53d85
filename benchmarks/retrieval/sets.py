"""The questions with the places that answer them, and the documents that they are asked of."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Asked:
    """One question. `pages` are (key, 1-based page) that answer it; `spans` are characters of the text `key`.

    A set has pages or spans. `answer` is text that must stand in a passage, where the set has one.
    """

    text: str
    key: str
    pages: frozenset[tuple[str, int]] = frozenset()
    spans: tuple[tuple[int, int], ...] = ()
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Questions, and the files of their documents by key; all keys are of the collection `name`."""

    name: str
    title: str
    files: dict[str, Path]
    asked: tuple[Asked, ...]

    def sample(self, count: int | None) -> EvaluationSet:
        """About `count` of the questions, spread evenly; the documents stay all, or the set would be easier."""
        if count is None or count >= len(self.asked):
            return self
        step = len(self.asked) / count
        return EvaluationSet(
            self.name, self.title, self.files, tuple(self.asked[int(i * step)] for i in range(count))
        )


def chunking(folder: Path) -> EvaluationSet:
    """Chroma's chunking evaluation: five long texts, references exact to the character."""
    files = {f"chunking/{path.name}": path for path in sorted((folder / "chunking" / "corpora").glob("*.md"))}
    with (folder / "chunking" / "questions_df.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    asked = tuple(
        Asked(
            row["question"],
            f"chunking/{row['corpus_id']}.md",
            spans=tuple((one["start_index"], one["end_index"]) for one in json.loads(row["references"])),
        )
        for row in rows
    )
    return EvaluationSet("chunking", "chunking (Chroma)", files, asked)


def financebench(folder: Path) -> EvaluationSet:
    """Questions on company filings: the page of the evidence."""
    rows = json.loads((folder / "financebench" / "questions_dev.json").read_text(encoding="utf-8"))
    asked = tuple(
        Asked(
            row["question"],
            f"financebench/{row['doc']}.pdf",
            frozenset(
                (f"financebench/{one['doc']}.pdf", one[field])
                for one in row["evidence"]
                for field in ("page1", "best_page1")
            ),
        )
        for row in rows
    )
    return EvaluationSet("financebench", "FinanceBench", _pdfs(folder, "financebench"), asked)


def xquad(folder: Path) -> EvaluationSet:
    """English questions on English articles, between translations of some of them into eight languages."""
    rows = json.loads((folder / "xquad" / "questions_en_dev.json").read_text(encoding="utf-8"))
    asked = tuple(
        Asked(
            row["question"],
            f"xquad/{row['doc']}",
            frozenset({(f"xquad/{row['doc']}", row["page"])}),
            (),
            row["answer"],
        )
        for row in rows
    )
    return EvaluationSet("xquad", "XQuAD", _pdfs(folder, "xquad"), asked)


SETS = {"chunking": chunking, "financebench": financebench, "xquad": xquad}


def _pdfs(folder: Path, name: str) -> dict[str, Path]:
    return {f"{name}/{path.name}": path for path in sorted((folder / name / "pdf").glob("*.pdf"))}
