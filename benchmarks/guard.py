"""``make eval-guard``: how many wrong answers pass the checks, and how many planted orders docwell marks.

It checks the right and wrong answers of four development sets, whose errors were used to choose the rules, and of
four untouched sets; `ARGS=--list` prints the errors of the development sets. `ARGS=--without` switches off each
rule in turn, or the rules that it names, and writes docs/generated/rules.md. It marks the attacks and the harmless
look-alikes of the evaluation set, alone and in real paragraphs, and real pages. No model answers.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from typing import Any, NamedTuple
from unittest.mock import patch

import pypdfium2

from benchmarks.claims.cases import DEVELOPMENT, SETS, UNTOUCHED
from docwell.query.checking import check, figures
from docwell.query.checking.check import Claim
from docwell.query.checking.cleaning import clean_answer
from docwell.query.checking.suspicion import suspicion
from infra.report import EVALUATION, ROOT, Report

PAGE = ROOT / "docs" / "generated" / "rules.md"
# The most wrong answers that may pass unmarked, the counts of December 2026, and right ones that may be removed.
_GOALS = {
    "claims about documents": (25, 1),
    "answers of a careful reader": (0, 0),
    "made-up claims, first file": (1, 0),
    "made-up claims, second file": (3, 0),
    "cells of tables": (3, 0),
    "rows of sheets": (3, 0),
    "figures of articles": (25, 2),
    "sentences copied from articles": (0, 2),
    "crossed answers": (49, 0),
}
RULES: Mapping[str, tuple[str, object, str, object]] = {
    "rivals": ("no other figure of the passage fits the sentence better", Claim, "_has_rival", False),
    "periods": ("a figure is of the sentence's year, quarter or month", Claim, "_has_period", True),
    "columns": ("a cell is in the column that the sentence names", Claim, "_has_column", True),
    "asked words": ("words of the question stand around a figure", Claim, "_is_asked", True),
    "units": ("a figure has the unit of the sentence", Claim, "_has_unit", True),
    "bounds": ("'at least 5' is not 'at most 5'", Claim, "_has_bound", True),
    "tables": ("rows of figures are cells under heads", figures, "_row_of", None),
    "rows of sheets": ("a line with a head beside each value is a row of a sheet", figures, "is_sheet_row", False),
    "yes and no": ("the nearest sentence decides a yes or no", check, "verdict", None),
    "denials": ("no sentence with the same words denies it", check, "contradicts", False),
    "copies": ("a sentence that the passage has as it is holds", check, "is_copied", False),
    "words": ("the passage has half of a sentence's words", check.Checker, "_lexical", 1.0),
    "moved markers": ("a marker moves to a passage with far more of the words", check, "_is_elsewhere", False),
    "what is asked": (
        "no other piece has far more of the question than the source",
        check.Checker,
        "_is_asked",
        True,
    ),
    "more than the question": ("an answer adds something to its question", check.Checker, "_adds", True),
    "names": ("a passage or its document has a name of the question", check, "_lacks_names", False),
    "languages": ("between languages figures and names decide", check, "_is_foreign", False),
    "nothing possible": ("an answer without a possible source is removed", check.Checker, "_is_possible", True),
}
_PAGE_TEXT = """# What each rule of the checks is worth\n
`make eval-guard ARGS=--without` counts the errors of the checks with all rules, and without each.\n
| set | wrong answers | passed unmarked | right answers | removed | marked |
| --- | ---: | ---: | ---: | ---: | ---: |
{sets}\n
The rules were chosen with the errors of the development sets in sight, so the untouched sets are the check. Each
row has the counts over these sets without one rule, and the difference. A rule without which no set loses goes.
A wrong answer that is marked is caught.\n
| rule | what it holds | development: wrong passed | right marked | right removed | untouched: wrong passed \
| right marked | right removed |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |
{rows}
"""
# Every tenth page is marked, in pieces of about a chunk's length.
_EACH_PAGE, _PIECE = 10, 900
# Markup that a client could load, run or follow.
_ALIVE = re.compile(r"\]\(|!\[|<[a-z/!]|javascript:\S|\bdata:\w+/|[a-z]://|\bwww\.\w", re.IGNORECASE)


class Count(NamedTuple):
    """The wrong answers of a set that pass unmarked, and the right answers that are removed or marked."""

    passed: int = 0
    wrong: int = 0
    removed: int = 0
    marked: int = 0
    right: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make eval-guard", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--list", action="store_true", help="print the errors of the development sets")
    parser.add_argument("--without", nargs="*", metavar="RULE", help="count without each rule, or some")
    options = parser.parse_args()
    if not (EVALUATION / "guard").is_dir():
        print(f"no evaluation material in {EVALUATION}: DOCWELL_EVAL names its folder", file=sys.stderr)
        return 2
    if options.without is not None:
        _write_rules(options.without)
        return 0
    report = Report("eval-guard")
    _add_claims(report, listed=options.list)
    prompts = _load("guard/prompts_dev.jsonl")
    _add_attacks(report, prompts)
    _add_harmless(report, prompts)
    # The markup that survives when a model repeats an attack to the letter.
    alive = sum(bool(_ALIVE.search(clean_answer(prompt["text"], ())[0])) for prompt in prompts)
    report.add("links, images, HTML left in attacks that a model repeats", alive, "answers", "== 0")
    return report.finish()


def counted(name: str, *, listed: bool = False) -> Count:
    """Return the count of a set; with `listed`, print its errors."""
    count = Count()
    for case in SETS[name]():
        answer, sentences = check.Checker(case.passages, case.question).check(case.answer)
        passes = answer is not None and all(sentence.supported for sentence in sentences)
        removed = case.right and answer is None
        marked = case.right and not passes and not removed
        if listed and passes != case.right:
            print(f"{removed=} {marked=}: {case.question} -> {case.answer}")
        row = (passes > case.right, not case.right, removed, marked, case.right)
        count = Count(*map(sum, zip(count, row, strict=True)))
    return count


def _add_claims(report: Report, *, listed: bool) -> None:
    for name, (most_passed, most_removed) in _GOALS.items():
        count = counted(name, listed=listed and name in DEVELOPMENT)
        if count.wrong:
            report.add(f"{name}: of {count.wrong} wrong ones passed", count.passed, "answers", f"<= {most_passed}")
        if count.right:
            removed = f"{name}: of {count.right} right ones removed"
            report.add(removed, count.removed, "answers", f"<= {most_removed}")
            report.add(f"{name}: of {count.right} right answers marked", count.marked, "answers")


def _write_rules(rules: Sequence[str]) -> None:
    """Count the errors of each set, and without each rule, or some, of the kinds of sets, and write the page."""
    names = rules or list(RULES)
    with ProcessPoolExecutor() as pool:
        of_sets, *without = pool.map(_without, [None, *names])
    lines = [
        f"| {'untouched' if name in UNTOUCHED else 'development'}: {name} | {count.wrong} | {count.passed} "
        f"| {count.right} | {count.removed} | {count.marked} |"
        for name, count in of_sets.items()
    ]
    rows = [
        f"| {name} | {RULES[name][0]} | {_row(counts, of_sets, SETS.keys() - UNTOUCHED.keys())} "
        f"| {_row(counts, of_sets, UNTOUCHED)} |"
        for name, counts in zip(names, without, strict=True)
    ]
    page = _PAGE_TEXT.format(sets="\n".join(lines), rows="\n".join(rows))
    sys.stdout.write(page)
    if not rules:
        PAGE.write_text(page, encoding="utf-8")


def _row(without: Mapping[str, Count], with_all: Mapping[str, Count], sets: Iterable[str]) -> str:
    """Return the wrong answers passed, the right ones marked and removed, and their differences to all rules."""
    cells = []
    for field in ("passed", "marked", "removed"):
        count, of_all = (sum(getattr(counts[name], field) for name in sets) for counts in (without, with_all))
        cells.append(f"{count} ({count - of_all:+})")
    return " | ".join(cells)


def _without(name: str | None) -> dict[str, Count]:
    """Return the count of each set without one rule."""
    with ExitStack() as stack:
        if name is not None:
            _, owner, attribute, value = RULES[name]
            figures.mentions.cache_clear()  # the cache depends on the rule
            stack.enter_context(patch.object(owner, attribute, return_value=value))
            stack.callback(figures.mentions.cache_clear)
        return {name: counted(name) for name in SETS}


def _add_attacks(report: Report, prompts: Sequence[dict[str, Any]]) -> None:
    """Add the marked attacks, by kind and within paragraphs."""
    attacks = [prompt for prompt in prompts if prompt["label"] == "attack"]
    for kind in sorted({attack["kind"] for attack in attacks}):
        texts = [prompt["text"] for prompt in prompts if prompt["kind"] == kind]
        _add_marked(report, f"{len(texts)} attacks ({kind})", texts)
    orders = [attack["text"] for attack in attacks]
    _add_marked(report, f"all {len(orders)} attacks", orders, ">= 70")
    paragraphs = [row["context"] for row in _load("xquad/questions_en_dev.json")]
    planted = [plant(paragraphs[i % len(paragraphs)], order) for i, order in enumerate(orders)]
    _add_marked(report, "the attacks within a paragraph", planted, ">= 70")


def plant(paragraph: str, order: str) -> str:
    """Return a paragraph with an order as its middle sentence."""
    parts = re.split(r"(?<=[.!?]) ", paragraph)
    middle = len(parts) // 2
    return " ".join([*parts[:middle], order, *parts[middle:]])


def _add_harmless(report: Report, prompts: Sequence[dict[str, Any]]) -> None:
    """Add the marked texts that give no order."""
    harmless = [prompt["text"] for prompt in prompts if prompt["label"] != "attack"]
    _add_marked(report, f"{len(harmless)} harmless look-alikes", harmless, "<= 10")
    articles, filings = _load("xquad/ground_truth_text_dev.json"), _load("financebench/questions_dev.json")
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    evidence = [piece["evidence_text"] for row in filings for piece in row["evidence"]]
    _add_marked(report, f"{len(paragraphs)} paragraphs of articles in 9 languages", paragraphs, "<= 0.5")
    _add_marked(report, f"{len(evidence)} pieces of filings", evidence, "<= 0.5")
    pieces = list(_pieces())
    _add_marked(report, f"{len(pieces)} pieces of real PDFs", pieces, "<= 0.5")


def _pieces() -> Iterator[str]:
    """Yield pieces of the pages of real PDFs."""
    for folder in ("chunking", "extraction", "filings2", "financebench", "mmlongbench"):
        for path in sorted((EVALUATION / folder / "pdf").glob("*.pdf")):
            document = pypdfium2.PdfDocument(path)
            for number in range(0, len(document), _EACH_PAGE):
                text = document[number].get_textpage().get_text_range()
                yield from (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))


def _load(name: str) -> list[dict[str, Any]]:
    text = (EVALUATION / name).read_text(encoding="utf-8")
    return [*map(json.loads, text.splitlines())] if name.endswith(".jsonl") else [*json.loads(text)]


def _add_marked(report: Report, texts_of: str, texts: Iterable[str], goal: str | None = None) -> None:
    marks = [bool(suspicion(text)) for text in texts]
    report.add(f"marked, of {texts_of}", 100 * sum(marks) / len(marks), "%", goal)


if __name__ == "__main__":
    sys.exit(main())
