"""The rules that judge answers to questions as people ask them."""

from __future__ import annotations

import io
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Self

import pytest
from rich.console import Console

from benchmarks.answers import people
from benchmarks.answers.asked import Asked, Fact, Kind
from benchmarks.answers.people import Outcome, add_figures, verdicts_table
from benchmarks.answers.verdicts import Judgement, answer_of, decision, is_cited_right, judge
from benchmarks.doors import Seen
from docwell.cli.evaluation.verdicts import Answer, Page, Sentence, Verdict
from docwell.cli.evaluation.wording import says
from infra.report import Report

A1, A2, B1 = Page("x/a.pdf", 1), Page("x/a.pdf", 2), Page("x/b.pdf", 1)
TEXTS = {A1: "The gate opens at seven. It cost 1,200 dollars.", A2: "The boiler is in the cellar.", B1: "Nothing."}


@pytest.mark.parametrize(
    ("text", "wording", "language"),
    [
        ("It made $1.2 million.", "1,200,000", "en"),
        ("It made 1,200 thousand.", "1.2 million", "en"),
        ("$1,200 (in thousands)", "1.2 million", "en"),
        ("$ 3.2bn", "3.2 billion", "en"),
        ("a rise of 12 percent", "12%", "en"),
        ("a rise of 12.0 per cent", "12%", "en"),
        ("EPS was $1.40", "1.4", "en"),
        ("1.234,5 Tonnen", "1,234.5 Tonnen", "de"),
        ("28,5 Grad", "28.5", "de"),
        ("500.000 Menschen", "500,000", "de"),
        ("29,239 people, as the page writes it", "29,239", "de"),
        ("1,2 Milliarden Euro", "1.2 billion", "de"),
        ("12 Prozent", "12%", "de"),
        ("69 085 058 voix", "69,085,058", "fr"),
        ("340,8 millions de dollars", "340.8 million", "fr"),
        ("8 % au total, soit 12,5 pour cent", "12.5%", "fr"),
        ("by Ernst & Young LLP", "Ernst & Young", "en"),
        ("a 2-\nhop WEAK-TO-STRONG result", "weak-to-strong", "en"),
        ("rea\ufffesoning", "reasoning", "en"),
        ("本社は東京にあります。", "東京", "en"),
        ("ABC社は1,200人を雇用", "1,200人", "en"),
        ("สำนักงานอยู่ที่กรุงเทพฯ", "กรุงเทพ", "en"),
    ],
)
def test_a_text_says_a_wording_in_another_notation(text: str, wording: str, language: str) -> None:
    assert says(text, wording, language)


@pytest.mark.parametrize(
    ("text", "wording", "language"),
    [
        ("It made $1.2 billion.", "1.2 million", "en"),
        ("6,779,511", "6,779,511 thousand", "en"),
        ("6,779,511 thousand", "6,779,511", "en"),
        ("in 2015", "20", "en"),
        ("1.200 people", "1,200", "en"),
        ("12 people", "12%", "en"),
        ("88 960 845", "88,960,845", "en"),
        ("nonpartisan", "partisan", "en"),
        ("本社は京都にあります。", "東京", "en"),
        ("weak and strong", "weak-to-strong", "en"),
        ("anything", "", "en"),
    ],
)
def test_another_figure_or_word_is_not_said(text: str, wording: str, language: str) -> None:
    assert not says(text, wording, language)


@pytest.mark.parametrize(
    ("text", "negated", "holds"),
    [
        ("Yes, it opens at seven.", False, True),
        ("Yes, though it is not required.", False, True),
        ("No.", False, False),
        ("No, it opens at eight.", False, False),
        ("No dividends were paid.", False, False),
        ("The company has never paid any.", False, False),
        ("It doesn't pay.", False, False),
        ("Each model must have an owner.", False, True),
        ("Ja, das hat es.", False, True),
        ("Nein, es hat keine.", False, False),
        ("Oui.", False, True),
        ("Non, elle n'a pas été acceptée.", False, False),
        ("No.", True, False),
        ("Yes.", True, None),
        ("Doch.", True, None),
        ("Yes, it does.", True, True),
        ("Yes, it does not pay dividends.", True, False),
        ("No, it pays dividends.", True, True),
        ("No, it does not pay dividends.", True, False),
        ("It is the largest U.S. city not linked to one.", True, False),
        ("It pays. It does not print.", True, True),
        ("It was unannounced.", True, False),
        ("", False, None),
    ],
)
def test_yes_or_no_is_decided(text: str, *, negated: bool, holds: bool | None) -> None:
    assert decision(text, negated=negated, denies=("unannounced",)) is holds


def asked(kind: Kind = Kind.PLAIN, **fields: Any) -> Asked:
    facts = fields.pop("facts", (Fact(("seven",), (A1,)),))
    return Asked("q", kind, "When?", untouched=False, facts=facts, **fields)


def answer(text: str, *citations: Page, status: str = "answered", supported: bool = True) -> Answer:
    return Answer(status, text, frozenset(citations), (Sentence(text, citations, supported),))


def verdict(question: Asked, given: Answer | None) -> Verdict:
    return judge(question, given, TEXTS.__getitem__).verdict


TWO = (Fact(("seven", "7"), (A1,)), Fact(("cellar",), (A2,)))
FIVE = tuple(Fact((word,), (A1,)) for word in ("gate", "opens", "seven", "cost", "dollars"))
LIST = asked(Kind.LIST, facts=(), on=(A1, A2, B1))
COUNT = asked(Kind.LIST, facts=(Fact(("two", "2"), derived=True),), on=(A1, B1))


@pytest.mark.parametrize(
    ("question", "given", "expected"),
    [
        (asked(), answer("At seven.", A1), Verdict.RIGHT),
        (asked(), answer("At seven."), Verdict.RIGHT),
        (asked(), answer("At eight.", A1), Verdict.WRONG),
        (asked(), answer("At eight.", A1, supported=False), Verdict.WRONG_MARKED),
        (asked(), answer("", status="refused"), Verdict.WRONGLY_REFUSED),
        (asked(), None, Verdict.FAILED),
        (asked(never=("eight",)), answer("At seven or eight.", A1), Verdict.WRONG),
        (asked(Kind.ABSENT), answer("", status="refused"), Verdict.RIGHTLY_REFUSED),
        (asked(Kind.ABSENT), answer("At seven.", A1), Verdict.WRONG),
        (asked(Kind.ABSENT), answer("At seven.", A1, supported=False), Verdict.WRONG_MARKED),
        (asked(facts=TWO), answer("At 7, in the cellar."), Verdict.RIGHT),
        (asked(facts=TWO), answer("At 7."), Verdict.INCOMPLETE),
        (asked(facts=TWO), answer("At noon."), Verdict.WRONG),
        (asked(facts=(*TWO[:1], Fact(("x",), must=False))), answer("At 7."), Verdict.RIGHT),
        (asked(Kind.OVERVIEW, facts=FIVE), answer("The gate opens at seven and it cost money."), Verdict.RIGHT),
        (asked(Kind.OVERVIEW, facts=FIVE), answer("The gate opens at seven."), Verdict.INCOMPLETE),
        (asked(Kind.YES_NO, holds=True), answer("Yes.", A1), Verdict.RIGHT),
        (asked(Kind.YES_NO, holds=True), answer("Yes.", B1), Verdict.WRONG),
        (asked(Kind.YES_NO, holds=True), answer("No.", A1), Verdict.WRONG),
        (LIST, answer("a [1] and b [2]", A1, B1), Verdict.RIGHT),
        (LIST, answer("a [1]", A2), Verdict.INCOMPLETE),
        (LIST, answer("a, b and c", A1, B1, Page("x/c.pdf", 1)), Verdict.WRONG),
        (LIST, answer("a and b"), Verdict.WRONG),
        (COUNT, answer("Two: a and b.", A1, B1), Verdict.RIGHT),
        (COUNT, answer("Three: a and b.", A1, B1), Verdict.WRONG),
    ],
)
def test_verdicts(question: Asked, given: Answer | None, expected: Verdict) -> None:
    assert verdict(question, given) is expected


def test_only_the_sentences_with_a_never_have_to_be_marked() -> None:
    good = Sentence("The gate is green.", (A1,), supported=True)
    for supported, expected in ((False, Verdict.WRONG_MARKED), (True, Verdict.WRONG)):
        bad = Sentence("It opens at eight.", (A1,), supported)
        given = Answer("answered", f"{good.text} {bad.text}", frozenset({A1}), (good, bad))
        assert verdict(asked(never=("eight",)), given) is expected


def test_documents_of_a_list_are_counted() -> None:
    found = judge(LIST, answer("a and c", A1, Page("x/c.pdf", 1)), TEXTS.__getitem__)
    assert (found.hits, found.listed, found.wanted) == (1, 2, 2)


@pytest.mark.parametrize(
    ("text", "pages", "right"),
    [
        ("The gate opens at seven [1].", (A1,), True),
        ("The gate cost $1,200 dollars [1].", (A2, A1), True),
        ("The gate cost 1,300 dollars [1].", (A1,), False),
        ("The boiler is in the cellar [1].", (A1,), False),
        ("The gate opens at seven.", (), False),
    ],
)
def test_a_sentence_is_cited_right(text: str, pages: tuple[Page, ...], *, right: bool) -> None:
    assert is_cited_right(Sentence(text, pages, supported=True), TEXTS.__getitem__) is right


def test_the_sentences_of_an_overview_are_counted() -> None:
    given = answer("The gate opens at seven.", A1)
    overview = judge(asked(Kind.OVERVIEW), given, TEXTS.__getitem__)
    assert (overview.sentences, overview.cited_right) == (1, 1)
    translated = judge(asked(Kind.OVERVIEW, language="de"), given, TEXTS.__getitem__)
    assert translated.sentences == 0


def test_an_answer_is_read_from_the_response() -> None:
    body = {
        "answer": "At seven [2].",
        "status": "answered",
        "mode": "overview",
        "citations": [{"marker": 2, "document": A1.key, "page": A1.number}],
        "sentences": [{"text": "At seven [2].", "markers": [2, 5], "supported": False}],
    }
    seen = Seen(200, "application/json", body, 1.0)
    sentence = Sentence("At seven [2].", (A1,), supported=False)
    assert answer_of(seen) == Answer("answered", "At seven.", frozenset({A1}), (sentence,), "overview")
    assert answer_of(Seen(503, "application/problem+json", {"type": "busy"}, 1.0)) is None


def outcome(kind: Kind, found: Verdict, *, untouched: bool = False, **counts: Any) -> Outcome:
    question = Asked("q", kind, "Secret question?", untouched=untouched)
    return Outcome(question, answer("At seven.", A1), Judgement(found, **counts), 2.0)


def test_the_figures_have_their_cases() -> None:
    report = Report("unit")
    add_figures(
        report,
        [
            *[outcome(Kind.PLAIN, Verdict.RIGHT, untouched=True)] * 30,
            *[outcome(Kind.PLAIN, Verdict.WRONG, untouched=True)] * 10,
            *[outcome(Kind.PLAIN, Verdict.WRONGLY_REFUSED)] * 10,
            *[outcome(Kind.ABSENT, Verdict.RIGHTLY_REFUSED)] * 10,
            outcome(Kind.LIST, Verdict.INCOMPLETE, hits=27, listed=30, wanted=36),
            outcome(Kind.OVERVIEW, Verdict.RIGHT, said=32, musts=40, sentences=50, cited_right=48),
        ],
    )
    rows = {row.metric: (row.value, row.ok) for row in report.rows}
    assert rows["right or rightly refused, the untouched half"] == (75.0, True)
    assert rows["wrong and not marked"] == (16.129, False)
    assert rows["wrongly refused, of the answerable"] == (19.231, False)
    assert rows["overviews: statements that must be there"] == (80.0, True)
    assert rows["overviews: sentences cited right"] == (96.0, True)
    assert rows["lists: recall of documents"] == (75.0, False)
    assert rows["lists: precision of documents"] == (90.0, True)


class FakeDoors:
    """Doors of a stack that answers each question with the first page of `x/a.pdf`."""

    def __init__(self, *_: object, timeout_s: float) -> None:
        self.timeout_s = timeout_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ask(self, body: dict[str, Any]) -> Seen:
        assert body == {"question": "When?", "collection": "x"}
        citation = {"marker": 1, "document": A1.key, "page": A1.number}
        return Seen(
            200, "application/json", {"answer": "7 [1]", "status": "answered", "citations": [citation]}, 1.0
        )


def test_only_the_documents_that_the_questions_need_are_indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    indexed: dict[str, Path] = {}
    monkeypatch.setattr(people, "stack_with_replies", lambda model: nullcontext((model, None)))
    monkeypatch.setattr(people, "Doors", FakeDoors)
    monkeypatch.setattr(people, "index_files", lambda _, files: indexed.update(files))
    files = {key: Path(key) for key in (A1.key, B1.key, "y/c.pdf")}
    found = list(people._ask([asked(facts=TWO[:1], collection="x")], files, "model"))
    assert [one.judgement.verdict for one in found] == [Verdict.RIGHT]
    assert indexed.keys() == {A1.key}


@pytest.mark.parametrize("show", [False, True])
def test_the_untouched_half_is_written_down_only_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, show: bool
) -> None:
    outcomes = [outcome(Kind.PLAIN, Verdict.RIGHT, untouched=half) for half in (False, True)]
    monkeypatch.setattr(people, "ANSWERS", tmp_path / "people.jsonl")
    monkeypatch.setattr(people, "_ask", lambda *_: outcomes)
    people.run(Report("unit"), None, 7, "model", show_untouched=show)
    lines = [json.loads(line) for line in (tmp_path / "people.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["half"] for line in lines] == (["seen", "untouched"] if show else ["seen"])
    assert lines[0]["answer"]["citations"] == ["x/a.pdf#1"]


def test_the_table_has_verdicts_by_half() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(
        verdicts_table([outcome(Kind.PLAIN, Verdict.RIGHT), outcome(Kind.PLAIN, Verdict.RIGHT, untouched=True)])
    )
    assert isinstance(console.file, io.StringIO)
    assert "1 / 1" in console.file.getvalue()
