"""Sentences and lists of answers, and sentences that a passage has word by word."""

from __future__ import annotations

import pytest

from docwell.query.checking.wording import (
    answer_sentences,
    begins_sentence,
    claimed,
    completed,
    rejoined,
    unrepeated,
    verbatim_source,
)

LIST = "The kit has:\n- a pump\n- two filters [2]"


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        (LIST, [LIST]),
        (f"It is new [1]. {LIST}\n\nAsk us.", ["It is new [1].", LIST, "Ask us."]),
        ("The kit has [1]:\n\n1. A pump.\n2. Two filters.", ["The kit has [1]:\n\n1. A pump.\n2. Two filters."]),
        ("Use this: water.\nThen dry it.", ["Use this: water.", "Then dry it."]),
        ("Use it.\n- Dry it.", ["Use it.", "- Dry it."]),
        ("", []),
    ],
)
def test_a_list_belongs_to_its_colon(text: str, pieces: list[str]) -> None:
    assert answer_sentences(text) == pieces
    assert rejoined(text, pieces, pieces) == text


PASSAGES = ["Dogs are welcome.", "3. Fees\nThe yearly fee is 40 euros,\nto be paid in May. 保修期为二十四个月。"]


@pytest.mark.parametrize(
    ("sentence", "source"),
    [
        ("The yearly fee is 40 Euros, to be paid in May [1].", 1),
        ("**The yearly fee is 40 euros**, to be paid in May.", 1),
        ("保修期为二十四个月[1]。", 1),
        ("The yearly fee is 41 euros, to be paid in May [1].", None),
        ("The fee is 40 euros, to be paid in May.", None),
        ("Dogs are.", None),
        ("", None),
    ],
)
def test_a_sentence_is_found_by_its_letters_and_digits(sentence: str, source: int | None) -> None:
    assert verbatim_source(sentence, PASSAGES) == source


KITCHEN = """A closed refrigerator keeps
food safe for four hours and a freezer for 48. The fee of a visit is 1,250 euros a day."""


@pytest.mark.parametrize(
    ("bare", "begins"),
    [
        ("A closed refrigerator keeps food safe for four hours.", True),
        ("a closed refrigerator keeps\nfood safe for 4", False),
        ("Refrigerator keeps food safe for four hours.", False),
        ("A closed refrigerator keeps food safe for four hour", False),
        ("The fee of a visit is 1", False),
        ("The fee of a visit is 1,250 euros.", True),
        ("A closed refrigerator", False),
        ("", False),
    ],
)
def test_a_sentence_may_be_the_beginning_of_a_longer_one(bare: str, begins: bool) -> None:
    assert begins_sentence(bare, KITCHEN) is begins


@pytest.mark.parametrize(
    ("text", "once"),
    [
        ("It is new [1]. It works [2].", "It is new [1]. It works [2]."),
        ("It is new [1]. It works [2]. It is new [2]. It works.", "It is new [1]. It works [2]."),
        ("It is new [1].\n\nIt is new [1].\n\nIt works.", "It is new [1].\n\nIt works."),
        ("新しい[1]。新しい[1]。古い。", "新しい[1]。 古い。"),
        (
            "It rose 1.5%. It rose 15% [1]. It is $5. It is €5.",
            "It rose 1.5%. It rose 15% [1]. It is $5. It is €5.",
        ),
        ("", ""),
    ],
)
def test_a_sentence_that_repeats_goes(text: str, once: str) -> None:
    assert unrepeated(text) == once


BEFORE = "Es eilt. Vor der Abreise muss jeder Mieter:"
STEPS = f"{BEFORE}\n1. das Ventil neben\n dem Zähler schließen.\n2. den Kessel abschalten."
ITEMS = "1. das Ventil neben dem Zähler schließen.\n2. den Kessel abschalten."


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (
            "Es eilt [1]. Vor der Abreise muss jeder Mieter [1]:",
            f"Es eilt [1]. Vor der Abreise muss jeder Mieter [1]:\n{ITEMS}",
        ),
        ("Jeder Gast muss [1]:", "Jeder Gast muss [1]:"),
        ("Vor der Abreise muss jeder Mieter zahlen [1].", "Vor der Abreise muss jeder Mieter zahlen [1]."),
        (":", ":"),
        ("", ""),
    ],
)
def test_an_answer_that_stops_at_the_colon_of_a_list_gets_its_items(text: str, whole: str) -> None:
    assert completed(text, ["Another text: of one line.", STEPS]) == whole


def test_the_numbers_of_a_lists_items_claim_nothing() -> None:
    assert claimed("The kit has [1]:\n1. 2 pumps\n2) a filter [2]") == "The kit has :\n 2 pumps\n a filter "
    assert claimed("In May\n12. The kit came.") == "In May\n12. The kit came."
