"""The goals of each set, and the table in `docs/retrieval.md` with a line for each configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from benchmarks.retrieval.measures import HITS
from infra.report import ROOT

PAGE = ROOT / "docs" / "retrieval.md"
_BOARD = re.compile(r"(<!-- board -->\n)(.*?)(<!-- end of board -->)", re.DOTALL)

GOALS = {
    ("chunking", "recall"): ">= 84",
    ("chunking", "IoU"): ">= 7.5",
    **{("financebench", f"page hit@{k}"): f">= {goal}" for k, goal in ((1, 45), (5, 75), (10, 85))},
    **{
        ("financebench", f"page hit@{k}, in the document"): f">= {goal}"
        for k, goal in ((1, 55), (5, 85), (10, 92))
    },
    **{("xquad", f"page hit@{k}"): f">= {goal}" for k, goal in ((1, 95), (5, 99.5))},
}
_HEADER = (
    "| configuration | chunking: recall / precision / precision-omega / IoU | FinanceBench: hit@1 / 3 / 5 / 10 "
    "| in the document | XQuAD: hit@1 / 3 / 5 / 10 | in the document |\n|---|---|---|---|---|---|\n"
)
_PAGE_HITS = tuple(f"page hit@{k}" for k in HITS)
_COLUMNS = (
    ("chunking", ("recall", "precision", "precision-omega", "IoU")),
    ("financebench", _PAGE_HITS),
    ("financebench", tuple(f"{name}, in the document" for name in _PAGE_HITS)),
    ("xquad", _PAGE_HITS),
    ("xquad", tuple(f"{name}, in the document" for name in _PAGE_HITS)),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """The scores of one set by measure, with a value for each question."""

    name: str
    scores: dict[str, list[float]]


def write_board(way: str, chunk_tokens: int, index: str, entries: Sequence[Entry]) -> None:
    """Write the line of this configuration into the page, and replace its earlier line."""
    page = PAGE.read_text(encoding="utf-8")
    found = _BOARD.search(page)
    if found is None:
        raise ValueError(f"{PAGE} has no marks for the table")
    configuration = f"{way}, {chunk_tokens} tokens, {index}"
    lines = [
        line
        for line in found[2].splitlines()
        if line.startswith("| ") and not line.startswith(("| configuration ", f"| {configuration} "))
    ]
    by_name = {entry.name: entry.scores for entry in entries}
    cells = [_cell(by_name.get(name), measures) for name, measures in _COLUMNS]
    lines.append(f"| {configuration} | " + " | ".join(cells) + " |")
    board = _HEADER + "\n".join(lines) + "\n"
    PAGE.write_text(page[: found.start(2)] + board + page[found.end(2) :], encoding="utf-8")


def _cell(scores: dict[str, list[float]] | None, measures: Sequence[str]) -> str:
    if scores is None:
        return "-"
    return " / ".join(f"{fmean(scores[measure]):.1f}" for measure in measures)
