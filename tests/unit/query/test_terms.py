"""Lists of several subjects: "nitrate or lead", "nitrate but not lead", and what does not mention one."""

from __future__ import annotations

import pytest

from docwell.answers import Mode
from docwell.query.ask import Question
from docwell.query.subject import Subjects
from docwell.query.terms import Join
from tests.unit.fakes import FakeEmbedder
from tests.unit.query.query_world import World

TEXTS = {
    "wells/both.pdf": ("Nitrate is high.", "Lead is low."),
    "wells/nitrate.pdf": ("Nitrate is low.",),
    "wells/lead.pdf": ("Lead is high.",),
    "wells/none.pdf": ("Iron is high, as is the shop of Marks and Spencer.",),
}
NAMES = {"wells/both.pdf", "wells/nitrate.pdf", "wells/lead.pdf"}


def world() -> World:
    made = World()
    for key, pages in TEXTS.items():
        for page, text in enumerate(pages, 1):
            made.add(key, text, page=page)
    return made


def listed(question: str, **said: object) -> tuple[set[str], str]:
    answer = world().ask(Question(question, **{"mode": Mode.LIST, **said})).answer  # type: ignore[arg-type]
    return {one.document for one in answer.citations}, answer.answer


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("Which reports mention nitrate or lead?", NAMES),
        ("Which reports mention either nitrate or lead?", NAMES),
        ('Which reports mention "nitrate" or "lead"?', NAMES),
        ("Which reports mention cadmium, nitrate or lead?", NAMES),
        ("Which reports mention “cadmium”, “nitrate” or “lead”?", NAMES),
        ("Welche Berichte erwähnen Nitrate oder Lead?", NAMES),
        ("Quels rapports mentionnent nitrate ou lead ?", NAMES),
        ("¿Qué informes mencionan nitrate o lead?", NAMES),
        ("Which reports mention nitrate and lead?", {"wells/both.pdf"}),
        ("Which reports mention both nitrate and lead?", {"wells/both.pdf"}),
        ('Which reports mention "nitrate" and "lead"?', {"wells/both.pdf"}),
        ("Which reports mention nitrate but not lead?", {"wells/nitrate.pdf"}),
        ("Which reports mention nitrate AND NOT lead?", {"wells/nitrate.pdf"}),
        ("Welche Berichte erwähnen Lead, aber nicht Nitrate?", {"wells/lead.pdf"}),
        ("Quels rapports mentionnent lead mais pas nitrate ?", {"wells/lead.pdf"}),
        ("Which reports mention Marks and Spencer?", {"wells/none.pdf"}),
    ],
)
def test_documents_have_one_or_all_of_the_terms_wherever_they_are(question: str, found: set[str]) -> None:
    documents, text = listed(question)
    assert documents == found
    assert f"{len(found)} of the 4 documents mention" in text


def test_within_one_document_the_terms_are_those_of_a_page() -> None:
    for join, pages in (("or", "- page 1"), ("but not", "- page 1")):
        _, text = listed(f"Where is nitrate {join} lead mentioned?", document="wells/both.pdf")
        assert text.startswith(pages)
        assert ("- page 2" in text) is (join == "or")
    assert "None of its pages" in listed('Where are "nitrate" and "lead"?', document="wells/both.pdf")[1]


@pytest.mark.parametrize(
    "question",
    [
        "Which reports don't mention nitrate?",
        "Which reports do not mention nitrate?",
        "Which reports never mention nitrate?",
        "Welche Berichte erwähnen nitrate nicht?",
        "Quels rapports ne mentionnent pas nitrate ?",
        "¿Qué informes no mencionan nitrate?",
    ],
)
def test_a_question_for_what_does_not_mention_it_is_told_how_many_these_are(question: str) -> None:
    documents, text = listed(question)
    assert documents == {"wells/both.pdf", "wells/nitrate.pdf"}
    assert "2 of the 4 documents mention “nitrate”, the other 2 do not." in text


def test_neither_and_nor_deny_both() -> None:
    documents, text = listed("Which reports mention neither nitrate nor lead?")
    assert documents == NAMES
    assert "3 of the 4 documents mention “nitrate” or “lead”, the other 1 does not." in text


def test_a_term_that_is_the_name_of_a_document_is_no_place_to_look_in() -> None:
    asked = "Which reports mention zinc or nitrate?"
    for mode in (Mode.AUTO, Mode.LIST):
        assert listed(asked, mode=mode)[0] == {"wells/both.pdf", "wells/nitrate.pdf"}


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("Which reports mention Marks and Spencer?", "1 of the 4 documents mentions “Marks and Spencer”."),
        ("Which reports mention nitrate and lead?", "1 of the 4 documents mentions “nitrate” and “lead”."),
        ("Which reports mention lead but not nitrate?", "1 of the 4 documents mentions “lead” but not “nitrate”."),
        ("Which reports mention nitrate and zinc?", "None of the 4 documents mentions “nitrate” and “zinc”."),
    ],
)
def test_the_count_is_of_the_phrase_only_where_a_document_has_it(question: str, told: str) -> None:
    assert told in listed(question)[1]


@pytest.mark.parametrize(
    ("question", "join", "wanted"),
    [
        ("Which reports mention lead in wells or rivers?", Join.ANY, [("lead", "wells"), ("rivers",)]),
        ("Which reports mention Trinidad and Tobago?", Join.ALL, [("Trinidad",), ("Tobago",)]),
        ("哪些文件提到押金或宠物", Join.ANY, [("押金",), ("宠物",)]),
        ("Which reports mention lead near farms?", Join.ALL, []),
        ("Which reports mention lead or iron and zinc?", Join.ALL, []),
        ("Which reports mention Kiel, Germany?", Join.ALL, []),
    ],
)
def test_terms_are_parted_at_the_words_that_join(question: str, join: Join, wanted: list[tuple[str, ...]]) -> None:
    subject = Subjects(FakeEmbedder()).find(question)
    assert subject is not None
    assert (subject.join, [one.phrases for one in subject.terms]) == (join, wanted)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Which contracts mention IT security?", "IT security"),
        ("Which contracts mention the US?", "US"),
        ("Which reports mention WHO guidelines?", "WHO guidelines"),
        ("Which contracts mention AT&T?", "AT&T"),
        ("Welche Verträge erwähnen die DIE GmbH?", "DIE GmbH"),
        ("WHICH CONTRACTS MENTION THE HARBOUR?", "HARBOUR"),
        ("Which contracts mention the harbour AND the pier?", "harbour AND the pier"),
    ],
)
def test_a_name_in_capitals_is_no_word_of_asking(question: str, text: str) -> None:
    subject = Subjects(FakeEmbedder()).find(question)
    assert subject is not None
    assert subject.text == text
    assert Subjects(FakeEmbedder()).is_of_certain_list(question)
