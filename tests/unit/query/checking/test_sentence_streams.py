"""The beginning of an answer that can be checked and shown before its end."""

from __future__ import annotations

import pytest

from docwell.answers import Sentence
from docwell.models import Chunk, Passage
from docwell.query.checking.check import check
from docwell.query.checking.grounding import marked
from docwell.query.checking.support import MeaningScale
from docwell.query.checking.wording import finished_part

QUESTION = "how often are the boiler and the pump inspected"
TEXTS = (
    "The boiler is inspected every March. It was built in 1998 by Dr. Ada Stone. Parts are:\n- a valve\n- a pump",
    "The pump is inspected every 3.5 months. Two people inspect it, e.g. on Mondays. It costs 40 euros.",
)
PASSAGES = tuple(
    Passage(f"p{number}", f"a{number}.pdf", "g", "v", Chunk(text, 1, 0, len(text), 20), 0.5)
    for number, text in enumerate(TEXTS)
)
ANSWERS = (
    "The boiler is inspected every March [1]. The pump is inspected every 3.5 months [2].",
    "The boiler is inspected every March. [1] The pump is inspected every 3.5 months. [2] It costs 40 euros. [2]",
    "The boiler is inspected every March. The pump is inspected every 3.5 months [2]. It is red.",
    "The boiler was built in 1998 by Dr. Ada Stone [1]. Two people inspect the pump, e.g. on Mondays [2].",
    "The boiler is inspected every March [1]. Parts are [1]:\n- a valve\n- a pump\n\nIt costs 40 euros [2].",
    "The boiler is inspected every March [1]. Parts are:\n\n1. a valve\n2. a pump\nIt costs 40 euros [2].",
    "The boiler is inspected every March [1]. Parts are:",
    "The boiler is inspected every March [1]. The boiler is inspected every March [1]. It costs 99 euros [2].",
    "The pump is inspected every 3.5 months [1, 2]. The boiler is inspected every March [7].",
    "The pump is inspected every 3.5 months. The boiler is inspected every March.",
    "The boiler is inspected every March [1]. The pump is from 3. Mai 1998 [2]. It costs 40 euros [2].",
    "\u30dd\u30f3\u30d7\u306f40\u30e6\u30fc\u30ed[2]\u3002The boiler is inspected every March [1]\u3002",
)


def checked(text: str) -> tuple[Sentence, ...]:
    return check(text, PASSAGES, QUESTION, None, 0.5, MeaningScale())[1]


@pytest.mark.parametrize("answer", ANSWERS)
def test_the_sentences_of_every_beginning_are_the_first_of_the_whole(answer: str) -> None:
    whole = checked(answer)
    for end in range(len(answer)):
        part = finished_part(answer[:end])
        assert answer.startswith(part)
        if marked(part, len(PASSAGES)) and (some := checked(part)):
            assert some == whole[: len(some)], answer[:end]


@pytest.mark.parametrize(
    ("begun", "part"),
    [
        ("", ""),
        ("The boiler", ""),
        ("The boiler is red.", ""),
        ("The boiler is red. ", ""),
        ("The boiler is red. T", "The boiler is red."),
        ("The boiler is red. [", ""),
        ("The boiler is red. [1] T", "The boiler is red. [1]"),
        ("Built by Dr. Stone. I", "Built by Dr. Stone."),
        ("It is red. Es begann am 3. Ma", "It is red."),
        ("It has 12. Many rest", "It has 12."),
        ("It is red. The parts are:\n\nA", "It is red."),
        ("The parts are:\n- a\n- b\n-", ""),
        ("The parts are:\n- a\n- b\nThey are all red.", "The parts are:\n- a\n- b"),
    ],
)
def test_a_sentence_is_finished_once_the_next_one_begins(begun: str, part: str) -> None:
    assert finished_part(begun) == part


def test_a_streamed_answer_shows_its_sentences_before_its_end() -> None:
    answer = ANSWERS[0]
    assert any(checked(finished_part(answer[:end])) for end in range(len(answer)))
