"""The time that reading a hostile question takes: long runs of one piece, of the length that the API allows."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from docwell.query.asked_lists import asked_list
from docwell.query.asked_values import asked_values_alone
from docwell.query.checking.periods import periods
from docwell.query.checking.polarity import asks_yes_or_no
from docwell.query.document_names import compares, named, plain, wholly_named, written
from docwell.query.question_words import is_in_other_language, read
from docwell.query.subject import Subject, Subjects
from tests.unit.fakes import FakeEmbedder

LENGTH = 2_000
DOCUMENTS = (
    "a/leave-policy.pdf",
    "b/part time work.docx",
    "c/a.pdf",
    "d/1 1 1.pdf",
    "e/2019.pdf",
    "f/mention.pdf",
)
READERS: dict[str, Callable[[str], object]] = {
    "read": read,
    "is_in_other_language": lambda question: is_in_other_language(question, "en"),
    "asked_list": asked_list,
    "asked_values": lambda question: asked_values_alone(question, DOCUMENTS),
    "subject": lambda question: Subjects(FakeEmbedder()).find(question),
    "is_in": lambda question: Subject(question, (question,)).is_in(question),
    "named": lambda question: named(question, DOCUMENTS),
    "written": lambda question: written(question, DOCUMENTS),
    "wholly_named": lambda question: wholly_named(question, DOCUMENTS),
    "compares": lambda question: compares(question, DOCUMENTS),
    "plain": plain,
    "periods": periods,
    "asks_yes_or_no": asks_yes_or_no,
}
PIECES = (
    " ", "\u00a0", "\n", '"', '" ', "\u00ab ", "'", "1", "1 ", "1.", "1,", "1-", "2019 ", ".", ". ", "-", "a-",
    "(", "[1", "](", "<", "&#", "@", "a@", "://", "a", "a ", "A ", "\u00e9", "\u0301", "\u65e5", "and ",
    "all the ", "how many ", "mention ", "Which list ", ",", ", ", ", la ", ",is", "\u5417",
)  # fmt: skip


@pytest.mark.parametrize("beginning", ["", '"', "Which reports mention ", 'Which reports mention "'])
@pytest.mark.parametrize("reader", READERS)
def test_a_question_of_one_piece_again_and_again_takes_little_time(reader: str, beginning: str) -> None:
    slow = {}
    for piece in PIECES:
        question = (beginning + piece * LENGTH)[:LENGTH]
        begun = time.process_time()
        READERS[reader](question)
        if (took := time.process_time() - begun) > 2:  # measured: under 0.2 s
            slow[piece] = took
    assert not slow
