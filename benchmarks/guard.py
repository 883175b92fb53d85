"""``make eval-guard``: how many wrong answers pass the checks, and how many planted orders docwell marks.

It checks the right and wrong answers of development sets, whose errors were used to choose the rules, and of
untouched sets. `ARGS=--without` switches off each rule in turn, or the rules that it names, and writes
docs/generated/rules.md. It marks the attacks and the harmless look-alikes of the evaluation set, and real pages.
No model answers.

Two files of `claims/` state made-up passages. A group begins with `== its name`. Then come its passages, each from
`[1]` on, and its questions (`?`). Below each question are right answers (`+ kind | answer`) and wrong ones
(`- kind | answer`). Other lines go on with the text before them. The other sets are evaluation material.
"""

import argparse
import json
import random
import re
import sys
from calendar import month_name
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import Mock, patch

import pypdfium2

from docwell.adapters.documents.parts import Cell, Rows
from docwell.models import Chunk, Passage
from docwell.query.checking import check, dates, figures
from docwell.query.checking.check import Claim
from docwell.query.checking.cleaning import clean_answer
from docwell.query.checking.dates import located_periods
from docwell.query.checking.figures import in_sentence, mentions
from docwell.query.checking.grounding import marked
from docwell.query.checking.suspicion import suspicion
from docwell.text.lexicon import MARKER, content_words, segments
from docwell.text.words import by_language
from infra.report import EVALUATION, ROOT, Report

# Before a line that begins a group, a passage, a question or an answer.
_BLOCK = re.compile(r"^(?===\s|\[\d+\]\s|\?\s|[+-]\s\w+\s\|\s)", re.MULTILINE)
# All passages have the same score, so that no rule can use their rank.
_SCORE = 0.5
# A question of an article gets this many paragraphs of other articles too.
_OTHER_PARAGRAPHS = 3
_SEED, _SAMPLE = 7, 200
_MADE_UP = sorted(Path(__file__).with_name("claims").glob("*.txt"))
_FILINGS, _ARTICLES = "claims/tables_auto_dev.jsonl", "xquad/questions_en_dev.json"
_TRANSLATIONS = "xquad/questions_translated_dev.json"
# The head and the rows of a table of a filing: years, and an item with a figure or a dash for each.
_YEARS = re.compile(r"(?:\([^)]*\) )?((?:(?:19|20)\d\d ?){2,})")
_ITEM, _FIGURE = r"(\D{4,60}?)", r"(?:\$ ?)?(\(?\d[\d,.]*\)?|[\u2013\u2014-])"
_FEWEST_ITEMS, _MOST_ITEMS = 3, 5
_MONTHS, _LONGEST_SENTENCE = month_name[1:], 300
_OPPOSITES = {"is": "is not", "was": "was not", "at least": "at most", "more than": "less than"}
_OPPOSED = re.compile(r"\b(?:is|was)\b(?! not)|\b(?:at least|more than)(?= [$\d])")
# The kinds of sentences that do not answer their questions.
_NO_ANSWERS = {"date", "opposite"}
_DATE = re.compile(rf"\b({'|'.join(_MONTHS)}) (\d\d?), ((?:1[5-9]|20)\d\d)\b")


@dataclass(frozen=True, slots=True)
class Case:
    """An answer that a model could write, and whether it is right."""

    passages: tuple[Passage, ...]
    question: str
    answer: str
    kind: str
    right: bool
    group: str = ""


def passage(text: str, number: int, document: str = "", page: int = 0, heading: str = "") -> Passage:
    """Return a passage, by default made up and alone on its page."""
    chunk = Chunk(text, page or number + 1, 0, len(text), len(text.split()), heading=heading)
    return Passage(f"{number}", document or f"made/{number}.pdf", "generation", "version", chunk, _SCORE)


def _numbered(texts: Sequence[str]) -> tuple[Passage, ...]:
    return tuple(passage(text, number) for number, text in enumerate(texts))


def _claims(name: str) -> Iterator[Case]:
    """Yield the cases of a file of claims about real documents."""
    for row in load(name):
        places = enumerate(zip(row["passages"], row["places"], strict=True))
        shown = [passage(text, at, name, page or 0, heading or "") for at, (text, (name, heading, page)) in places]
        yield Case(tuple(shown), row["question"], row["answer"], row["kind"], row["right"])


def _of_careful_reader() -> list[Case]:
    """Return the answers that a careful reader gave to docwell's prompts: all are right."""
    return [
        Case(_numbered(row["passages"]), row["question"], row["answer"], "reader", right=True)
        for row in load("claims/reader_dev.json")
        if row["answers"]
    ]


def _figures_of_articles() -> Iterator[Case]:
    """Yield each answer of an article that has a figure, and the same with another figure of its paragraph."""
    draw = random.Random(_SEED)
    rows = load(_ARTICLES)
    for row in rows:
        right, question = row["answer"], row["question"]
        if any(not mention.is_grammar for mention in in_sentence(right)):
            shown = _beside_others(row, rows, draw)
            yield Case(shown, question, f"{right} [1].", "figure", right=True)
            if wrong := _with_another_figure(right, row["context"], draw):
                yield Case(shown, question, f"{wrong} [1].", "figure", right=False)


def _with_another_figure(text: str, context: str, draw: random.Random) -> str:
    """Return a text with another figure of its paragraph in place of its first, "" where there is none."""
    figures = [mention for mention in in_sentence(text) if not mention.is_grammar]
    forms = {form for mention in figures for form in mention.figure.forms}
    alike = [
        mention.figure.written
        for mention in mentions(context)
        if figures
        and mention.is_date == figures[0].is_date
        and not mention.is_grammar
        and forms.isdisjoint(mention.figure.forms)
    ]
    return text.replace(figures[0].figure.written, draw.choice(alike), 1) if alike else ""


def _sampled(name: str, draw: random.Random) -> Iterator[tuple[dict[str, Any], dict[str, Any], str, list[Any]]]:
    """Yield some rows of a file, their English rows, the first sentence with their answers, and all rows."""
    english = {row["qid"]: row for row in load(_ARTICLES)}
    rows = [row for row in load(name) if row["qid"] in english]
    for row in draw.sample(rows, _SAMPLE):
        context = (source := english[row["qid"]])["context"]
        pieces = (context[slice(*span)] for span in segments(context, len(context)))
        if sentence := next((piece for piece in pieces if source["answer"] in piece), None):
            yield row, source, sentence, rows


def _sentences(name: str) -> Iterator[Case]:
    """Yield sentences over their paragraph or its translation, and each with another figure of it."""
    draw = random.Random(_SEED)
    for row, source, sentence, rows in _sampled(name, draw):
        shown = _beside_others(row, [other for other in rows if other.get("lang") == row.get("lang")], draw)
        yield Case(shown, source["question"], f"{sentence} [1]", "sentence", right=True)
        if wrong := _with_another_figure(sentence, source["context"], draw):
            yield Case(shown, source["question"], f"{wrong} [1]", "sentence", right=False)


def _document_sentences() -> Iterator[tuple[str, str, str]]:
    """Yield the sentences of articles and pieces of filings: their text, a question on it, and the sentence."""
    texts = {row["context"]: row["question"] for row in load(_ARTICLES)}
    for name in ("financebench/questions_dev.json", "filings2/questions_dev2.json"):
        texts |= {part["evidence_text"]: row["question"] for row in load(name) for part in row["evidence"]}
    for text, question in texts.items():
        yield from ((text, question, text[slice(*span)]) for span in segments(text, _LONGEST_SENTENCE))


def _dates_in_digits() -> Iterator[Case]:
    """Yield sentences with a date in digits; in the wrong ones it is a day, a month or a year later."""
    for text, question, sentence in _document_sentences():
        if match := _DATE.search(sentence):
            right = date(int(match[3]), _MONTHS.index(match[1]) + 1, int(match[2]))
            for later, form in product((0, 1, 31, 366), ("%Y-%m-%d", "%d.%m.%Y")):
                answer = f"{sentence.replace(match[0], f'{right + timedelta(later):{form}}', 1)} [1]"
                yield Case(_numbered([text]), question, answer, "date", right=not later)


def _with_opposites() -> Iterator[Case]:
    """Yield sentences as they are, and with "is not" for "is" or "at most" for "at least": these are wrong.

    Each is also the question "Is it true that …?", which yes answers right, and no wrong.
    """
    for text, _, written in _document_sentences():
        sentence = " ".join(written.split())
        if (match := _OPPOSED.search(sentence)) and sentence.endswith("."):
            changed = f"{sentence[: match.start()]}{_OPPOSITES[match[0]]}{sentence[match.end() :]}"
            as_question = f"Is it true that {sentence.rstrip('.')}?"
            for question, right, wrong in (("", sentence, changed), (as_question, "Yes.", "No.")):
                yield Case(_numbered([text]), question, f"{right} [1]", "opposite", right=True)
                yield Case(_numbered([text]), question, f"{wrong} [1]", "opposite", right=False)


def _from_memory(name: str) -> Iterator[Case]:
    """Yield sentences without a figure over other paragraphs of their article, which lack them: all are wrong."""
    draw = random.Random(_SEED)
    for row, source, sentence, rows in _sampled(name, draw):
        texts = list(dict.fromkeys(other["context"] for other in rows if other["doc"] == row["doc"]))
        texts.remove(row["context"])
        if not figures.figures(sentence):
            answer = f"{sentence} [{draw.randint(1, len(texts))}]"
            yield Case(_numbered(texts), source["question"], answer, "memory", right=False)


def _about_others() -> Iterator[Case]:
    """Yield right answers, each with its question about another name, which no passage has: all are wrong."""
    draw = random.Random(_SEED)
    sets = ("claims about documents", *UNTOUCHED)
    right = [case for name in sets for case in SETS[name]() if case.right and case.kind not in _NO_ANSWERS]
    named = sorted({name for case in right for name in check.names(case.question)})
    for case in right:
        shown = " ".join(
            f"{row.document} {row.chunk.heading} {row.chunk.text}" for row in case.passages
        ).casefold()
        elsewhere, question = [name for name in named if name not in shown], case.question
        for name in check.names(question):
            question = re.sub(rf"(?i)\b{re.escape(name)}\b", draw.choice(elsewhere).title(), question)
        if question != case.question:
            yield replace(case, question=question, right=False)


def _crossed() -> Iterator[Case]:
    """Yield right answers, each with another question that the same passage answers: all are wrong."""
    draw = random.Random(_SEED)
    for name in ("claims about documents", "answers of a careful reader", *UNTOUCHED):
        cases = [case for case in SETS[name]() if case.right and case.kind != "opposite"]
        cited = [case.passages[marked(case.answer, len(case.passages))[0] - 1].chunk.text for case in cases]
        right = [(text, content_words(case.answer), case) for text, case in zip(cited, cases, strict=True)]
        for place, said, case in right:
            # An answer that is a part of the other can answer both questions.
            alike = [row for at, answer, row in right if at == place and not (answer <= said or said <= answer)]
            if questions := [row.question for row in alike if row.question != case.question]:
                yield replace(case, question=draw.choice(questions), kind=name, right=False)


def _beside_others(row: dict[str, Any], rows: list[dict[str, Any]], draw: random.Random) -> tuple[Passage, ...]:
    """Return the paragraph of a question, and some of other articles."""
    paragraphs = dict.fromkeys(row["context"] for row in rows)
    del paragraphs[row["context"]]
    return _numbered([row["context"], *draw.sample(list(paragraphs), _OTHER_PARAGRAPHS)])


def _rows_of_sheets() -> Iterator[Case]:
    """Yield a right and a wrong figure for each table of a filing, written as docwell writes rows of a sheet.

    Each table has two forms: an item a row and a year a column, or a year a row. The wrong figure is
    of the same item in another year, or of another item in the same year.
    """
    draw = random.Random(_SEED)
    for number, (years, items) in enumerate(_tables()):
        chosen = draw.sample(list(items), min(len(items), _MOST_ITEMS))
        cells = {(item, year): text for item in chosen for year, text in zip(years, items[item], strict=True)}
        plain = {place: text for place, text in cells.items() if text[0].isdecimal()}
        for kind, is_turned in (("row", False), ("column", True)):
            place = draw.choice(list(plain))
            shared = (number + is_turned) % 2  # 0: the item, 1: the year
            rivals = [text for at, text in plain.items() if at[shared] == place[shared] and text != plain[place]]
            text = _sheet(chosen, years, cells, is_turned=is_turned, corner="Name" if number % 2 else "")
            form = draw.choice([f"{place[0]} was {{}} in {place[1]} [1].", "{} [1]."])
            for figure, right in [(plain[place], True), *((rival, False) for rival in rivals[:1])]:
                question = f"What was {place[0]} in {place[1]}?"
                yield Case(_numbered([text]), question, form.format(figure), f"item a {kind}", right)


def _sheet(
    items: Sequence[str],
    years: Sequence[str],
    cells: Mapping[tuple[str, str], str],
    *,
    is_turned: bool,
    corner: str,
) -> str:
    """Return a table as docwell reads it from a sheet; turned, a row is a year. The first head may be empty."""
    rows, (names, heads) = Rows(), (years, items) if is_turned else (items, years)
    lines = [rows.line([Cell(text) for text in (corner, *heads)], heads=True)]
    for name in names:
        texts = [cells[(head, name) if is_turned else (name, head)] for head in heads]
        lines.append(rows.line([Cell(text) for text in (name, *texts)]))
    return "\n".join(lines)


def _tables() -> Iterator[tuple[list[str], dict[str, tuple[str, ...]]]]:
    """Yield the tables of filings: their years, and the cells of each item whose name occurs once."""
    texts = dict.fromkeys(passage.chunk.text for case in _claims(_FILINGS) for passage in case.passages)
    for text in texts:
        years, items = list[str](), dict[str, tuple[str, ...]]()
        for line in map(str.strip, text.split("\n")):
            if heads := _YEARS.fullmatch(line):
                if years:
                    break
                years = heads[1].split()
            elif years and (row := re.fullmatch(_ITEM + f" {_FIGURE}" * len(years), line)):
                name, *cells = row.groups()
                items[name] = () if name in items else tuple(cells)
        items = {name: cells for name, cells in items.items() if cells}
        if len(items) >= _FEWEST_ITEMS:
            yield years, items


# The development sets: the rules were chosen by looking at their errors.
DEVELOPMENT: Mapping[str, Callable[[], Iterable[Case]]] = {
    "claims about documents": lambda: _claims("claims/claims_own_dev.jsonl"),
    "answers of a careful reader": _of_careful_reader,
    "made-up claims": lambda: [case for path in _MADE_UP for case in read(path.read_text(encoding="utf-8"))],
}
# The sets that no rule was chosen on.
UNTOUCHED: Mapping[str, Callable[[], Iterable[Case]]] = {
    "cells of tables": lambda: _claims(_FILINGS),
    "rows of sheets": _rows_of_sheets,
    "figures of articles": _figures_of_articles,
    "sentences copied from articles": lambda: _sentences(_ARTICLES),
    "dates in digits": _dates_in_digits,
    "opposites": _with_opposites,
    "statements from memory": lambda: _from_memory(_ARTICLES),
    "the same between languages": lambda: _from_memory(_TRANSLATIONS),
}
SETS = {
    **DEVELOPMENT,
    **UNTOUCHED,
    "sentences between languages": lambda: _sentences(_TRANSLATIONS),
    "questions about others": _about_others,
    "crossed answers": _crossed,
}


def read(text: str) -> list[Case]:
    """Return the cases of a text in the format above, in its order."""
    cases, group, question, passages = list[Case](), "", "", list[Passage]()
    for block in _BLOCK.split(text)[1:]:
        lines = block.rstrip()
        head, _, content = lines.partition(" ")
        if head == "==":
            group, passages = content, []
        elif head == "?":
            question = content
        elif head in "+-":
            kind, _, answer = content.partition(" | ")
            cases.append(Case(tuple(passages), question, answer, kind, head == "+", group))
        else:
            passages.append(passage(content, len(passages)))
    return cases


PAGE = ROOT / "docs" / "generated" / "rules.md"
# The most wrong answers that may pass unmarked, the counts of December 2026, and right ones that may be removed.
_GOALS = {
    "claims about documents": (25, 1),
    "answers of a careful reader": (0, 0),
    "made-up claims": (4, 0),
    "cells of tables": (3, 0),
    "rows of sheets": (0, 0),
    "figures of articles": (25, 1),
    "sentences copied from articles": (14, 0),
    "dates in digits": (16, 2),
    "opposites": (48, 0),
    "statements from memory": (2, 0),
    "the same between languages": (60, 0),
    "sentences between languages": (37, 1),
    "questions about others": (19, 0),
    "crossed answers": (49, 0),
}
_ALL = {"", *by_language("function")}
RULES: Mapping[str, tuple[str, object, str, object]] = {
    "rivals": ("no other figure of the passage fits the sentence better", Claim, "_has_rival", False),
    "dates in digits": ("'2019-03-31' is a date", dates, "_NUMERIC_DATE", re.compile("(?!)")),
    "captions": ("a figure gets the scale of its table's caption", Claim, "caption_of", ""),
    "periods": ("a figure is of the sentence's year, quarter or month", Claim, "_has_period", True),
    "columns": ("a cell is in the column that the sentence names", Claim, "_has_column", True),
    "asked words": ("words of the question stand around a figure", Claim, "_is_asked", True),
    "units": ("a figure has the unit of the sentence", Claim, "_has_unit", True),
    "bounds": ("'at least 5' is not 'at most 5'", Claim, "_has_bound", True),
    "computed figures": ("a share, sum or difference of two figures holds", check, "is_computed", False),
    "rounded figures": ("a figure may be rounded where both have scales", check, "_is_rounded", False),
    "tables": ("rows of figures are cells under heads", figures, "_row_of", None),
    "rows of sheets": ("a line with a head beside each value is a row of a sheet", figures, "is_sheet_row", False),
    "yes and no": ("the nearest sentence decides a yes or no", check, "verdict", None),
    "denials": ("no sentence with the same words denies it", check, "contradicts", False),
    "copies": ("a sentence that the passage has as it is holds", check, "is_copied", False),
    "words": ("the passage has 0.4 of a sentence's words", check.Checker, "_lexical", 1.0),
    "moved markers": ("a marker moves to a passage with far more of the words", check, "_BETTER_BY", 1.0),
    "what is asked": ("no other piece has far more of the question", check.Checker, "_is_asked", True),
    "asked periods": ("an answer with a figure is of the question's period", check.Checker, "_is_of_period", True),
    "more than the question": ("an answer adds something to its question", check, "_FEWEST_ADDED", 0),
    "names": ("a passage or its document has a name of the question", check, "_lacks_names", False),
    "languages": ("between languages figures and names decide", check, "_is_foreign", False),
    "neighbours": ("between languages a figure stands with the others and the names", Claim, "_is_nearest", True),
    "number words": ("no number is missed in a language whose words are unknown", check, "_NUMBERS_KNOWN", _ALL),
    "nothing possible": ("an answer without a possible source is removed", check.Checker, "_is_possible", True),
}
_PAGE_TEXT = """# What each rule of the checks is worth\n
`make eval-guard ARGS=--without` counts the errors of the checks with all rules, and without each.\n
| set | wrong answers | passed unmarked | right answers | removed | marked | given a scale |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
{sets}\n
The rules were chosen with the errors of the development sets in sight, so the untouched sets are the check. Each
row has the counts over these sets without one rule, and the difference. A rule without which no set loses goes.
A wrong answer that is marked is caught.\n
| rule | what it holds | development: wrong passed | right marked | right removed | given a scale \
| untouched: wrong passed | right marked | right removed | given a scale |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{rows}
"""
# Every tenth page is marked, in pieces of about a chunk's length.
_EACH_PAGE, _PIECE = 10, 900
# Markup that a client could load, run or follow.
_ALIVE = re.compile(r"\]\(|!\[|<[a-z/!]|javascript:\S|\bdata:\w+/|[a-z]://|\bwww\.\w", re.IGNORECASE)


class Count(NamedTuple):
    """The wrong answers of a set that pass unmarked; the right ones that are removed, marked or given a scale."""

    passed: int = 0
    wrong: int = 0
    removed: int = 0
    marked: int = 0
    scaled: int = 0
    right: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make eval-guard", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--without", nargs="*", metavar="RULE", help="count without each rule, or some")
    options = parser.parse_args()
    if options.without is not None:
        _write_rules(options.without)
        return 0
    report = Report("eval-guard")
    _add_claims(report)
    prompts = load("guard/prompts_dev.jsonl")
    _add_suspicions(report, prompts)
    # The markup that survives when a model repeats an attack to the letter.
    alive = sum(bool(_ALIVE.search(clean_answer(prompt["text"], ())[0])) for prompt in prompts)
    report.add("links, images, HTML left in attacks that a model repeats", alive, "answers", "== 0")
    return report.finish()


def counted(name: str) -> Count:
    """Return the count of a set."""
    count = Count()
    for case in SETS[name]():
        answer, sentences = check.Checker(case.passages, case.question).check(case.answer)
        passes = answer is not None and all(sentence.supported for sentence in sentences)
        removed = case.right and answer is None
        marked = case.right and not passes and not removed
        bare = MARKER.sub("", case.answer)
        scaled = case.right and any(MARKER.sub("", row.text).strip() not in bare for row in sentences)
        row = (passes > case.right, not case.right, removed, marked, scaled, case.right)
        count = Count(*map(sum, zip(count, row, strict=True)))
    return count


def _add_claims(report: Report) -> None:
    for name, (most_passed, most_removed) in _GOALS.items():
        count = counted(name)
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
        f"| {count.right} | {count.removed} | {count.marked} | {count.scaled} |"
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
    """Return the wrong answers passed, the right ones marked, removed and scaled, with the differences."""
    cells = []
    for field in ("passed", "marked", "removed", "scaled"):
        count, of_all = (sum(getattr(counts[name], field) for name in sets) for counts in (without, with_all))
        cells.append(f"{count} ({count - of_all:+})")
    return " | ".join(cells)


def _without(name: str | None) -> dict[str, Count]:
    """Return the count of each set without one rule."""
    with ExitStack() as stack:
        if name is not None:
            _, owner, attribute, value = RULES[name]
            switched_off = value if attribute.isupper() else Mock(return_value=value)
            stack.enter_context(patch.object(owner, attribute, switched_off))
        for cached in (figures.mentions, located_periods):  # these depend on the rule
            cached.cache_clear()
        return {name: counted(name) for name in SETS}


def _add_suspicions(report: Report, prompts: Sequence[dict[str, Any]]) -> None:
    """Add the marked attacks, by kind, and the marked texts that give no order."""
    attacks = [prompt for prompt in prompts if prompt["label"] == "attack"]
    for kind in sorted({attack["kind"] for attack in attacks}):
        _add_marked(report, f"attacks ({kind})", [row["text"] for row in attacks if row["kind"] == kind])
    _add_marked(report, "attacks in all", [attack["text"] for attack in attacks], ">= 70")
    harmless = [prompt["text"] for prompt in prompts if prompt["label"] != "attack"]
    _add_marked(report, "harmless look-alikes", harmless, "<= 10")
    articles, filings = load("xquad/ground_truth_text_dev.json"), load("financebench/questions_dev.json")
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    evidence = [piece["evidence_text"] for row in filings for piece in row["evidence"]]
    _add_marked(report, "paragraphs of articles in 9 languages", paragraphs, "<= 0.5")
    _add_marked(report, "pieces of filings", evidence, "<= 0.5")
    _add_marked(report, "pieces of real PDFs", _pieces_of_pages(), "<= 0.5")


def _pieces_of_pages() -> Iterator[str]:
    """Yield pieces of the pages of real PDFs."""
    for folder in ("chunking", "extraction", "filings2", "financebench", "mmlongbench"):
        for path in sorted((EVALUATION / folder / "pdf").glob("*.pdf")):
            document = pypdfium2.PdfDocument(path)
            for number in range(0, len(document), _EACH_PAGE):
                text = document[number].get_textpage().get_text_range()
                yield from (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))


def load(name: str) -> list[dict[str, Any]]:
    """Return the rows of a file of the evaluation material. Exits where it is missing."""
    if not (path := EVALUATION / name).is_file():
        sys.exit(f"{path} is missing: DOCWELL_EVAL names the folder of the evaluation material")
    text = path.read_text(encoding="utf-8")
    return [*map(json.loads, text.splitlines())] if name.endswith(".jsonl") else [*json.loads(text)]


def _add_marked(report: Report, texts_of: str, texts: Iterable[str], goal: str | None = None) -> None:
    marks = [bool(suspicion(text)) for text in texts]
    report.add(f"marked, of {len(marks)} {texts_of}", 100 * sum(marks) / len(marks), "%", goal)


if __name__ == "__main__":
    sys.exit(main())
