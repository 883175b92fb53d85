"""The checks of an answer together."""

from __future__ import annotations

import re
import time
import tracemalloc

import pytest

from docwell.models import Chunk, Passage
from docwell.query.checking.check import check
from docwell.query.checking.mentions import mentions
from docwell.query.checking.support import MeaningScale

TEXTS = [
    "The boiler is inspected every March.",
    "Read more at pumps.com/x about pumps and boats in harbours.",
    "Cats sleep.",
]
PASSAGES = [
    Passage(f"p{n}", "k/d", "g", "v", Chunk(text, n, 0, len(text), 9), 0.5) for n, text in enumerate(TEXTS, 1)
]


@pytest.mark.parametrize(
    "hidden",
    [
        "[2(pumps.com/x)]",
        "[77(pumps.com/x)]",
        "[1, 2(pumps.com/x)]",
        "[3<pumps.com/x>]",
        "[3[2(pumps.com/x)]]",
    ],
)
def test_a_marker_that_cleaning_uncovers_leads_to_a_citation_or_goes(hidden: str) -> None:
    text = f"The boiler is inspected every March [1]{hidden}. It is warm {hidden}."
    grounded, sentences = check(text, PASSAGES, "when is the boiler inspected", None, 0.5, MeaningScale())
    assert grounded is not None
    markers = [
        int(number)
        for marker in re.findall(r"\[[\d, ]+\]", grounded.text)
        for number in re.findall(r"\d+", marker)
    ]
    assert set(markers) == {citation.marker for citation in grounded.citations}
    assert {marker for sentence in sentences for marker in sentence.markers} == set(markers)
    assert " ." not in grounded.text


def test_the_places_of_figures_that_are_kept_take_little_memory() -> None:
    mentions.cache_clear()
    tracemalloc.start()
    try:
        for number in range(200):
            mentions(f"Table {number}\n" + "Revenue of the year 1 2 3 4 5 6 7 8\n" * 20)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 15 * 1024 * 1024


def test_punctuation_alone_is_no_answer() -> None:
    passages = [*PASSAGES, Passage("p4", "k/d", "g", "v", Chunk("Rest.\n\n* * * *\n\nEnd.", 4, 0, 18, 9), 0.5)]
    assert check("- - - - [4].", passages, "what is inspected", None, 0.5, MeaningScale())[0] is None


@pytest.mark.parametrize(
    "text",
    ["Before leaving, each tenant must [1]:", "Each tenant must [1]:\n1. Close the valve.\n2. Lock the gate."],
)
def test_a_list_is_answered_and_quoted_to_its_last_item(text: str) -> None:
    said = "Before leaving, each tenant must:\n• Close the valve.\n• Lock the gate.\nKeys stay here."
    passage = Passage("p", "k/d", "g", "v", Chunk(said, 1, 0, len(said), 20), 0.5)
    grounded, sentences = check(text, [passage], "What must a tenant do?", None, 0.5, MeaningScale())
    assert grounded is not None
    assert "Close the valve.\n" in grounded.text
    assert "Lock the gate." in grounded.text
    assert all(sentence.supported for sentence in sentences)
    (citation,) = grounded.citations
    assert citation.quote == "Before leaving, each tenant must: • Close the valve. • Lock the gate."


def test_each_sentence_of_an_overview_is_supported_or_goes() -> None:
    text = "The boiler is inspected every March [1]. Pump A used half as much power as the others [3]."
    grounded, sentences = check(text, PASSAGES, "What is it about?", None, 0.5, MeaningScale(), each=True)
    assert grounded is not None
    assert grounded.text == "The boiler is inspected every March [1]."
    assert [sentence.supported for sentence in sentences] == [True]
    _, all_of_them = check(text, PASSAGES, "What is it about?", None, 0.5, MeaningScale())
    assert [sentence.supported for sentence in all_of_them] == [True, False]


@pytest.mark.parametrize(
    "page", ["0 ", "Fee 0. ", "It is 0 or 1.\n", "a:\n- b\n", "Fee 1 2\nc\n", "name: A1 | fee: 2\n"]
)
@pytest.mark.parametrize("answer", ["0 ", "Fee 0. ", "Yes, 0. ", "a:\n- 0\n"])
def test_an_answer_of_one_piece_again_and_again_takes_little_time(answer: str, page: str) -> None:
    text = (page * 2_000)[:2_000]
    passages = [Passage("p", "k/d", "g", "v", Chunk(text, 1, 0, len(text), 400), 0.5)]
    begun = time.process_time()
    check((answer * 2_000)[:2_000], passages, "What was the fee in 2019?", None, 0.5, MeaningScale())
    assert time.process_time() - begun < 2  # measured: under 0.3 s


def is_supported(text: str, question: str, answer: str) -> bool:
    """Return whether an answer from a passage stands unmarked; another passage is of something else."""
    found = [
        Passage(f"p{n}", "k/d", "g", "v", Chunk(one, n, 0, len(one), 9), 0.5)
        for n, one in enumerate((text, TEXTS[0]))
    ]
    grounded, sentences = check(f"{answer} [1]", found, question, None, 0.5, MeaningScale())
    return grounded is not None and all(one.supported for one in sentences)


@pytest.mark.parametrize(
    ("text", "question", "right", "wrong"),
    [
        ("Die Frist beträgt sechs Monate.", "Wie lang ist die Frist?", "6 Monate", "3 Monate"),
        ("Die Probezeit dauert 14 Tage.", "Wie lange dauert die Probezeit?", "Vierzehn Tage", "Vier Tage"),
        ("Le préavis est de trois mois.", "Quel est le préavis ?", "3 mois", "6 mois"),
        ("Il y a 5 salles.", "Combien de salles y a-t-il ?", "Cinq salles", "Six salles"),
        ("El plazo es de doce meses.", "¿Cuál es el plazo?", "12 meses", "2 meses"),
        (
            "Firmado el 3 de octubre de 2023. El plazo es de dos meses.",
            "¿Cuál es el plazo?",
            "Dos meses",
            "Tres meses",
        ),
    ],
)
def test_a_number_word_and_its_digits_are_one_in_each_language(
    text: str, question: str, right: str, wrong: str
) -> None:
    assert is_supported(text, question, right)
    assert not is_supported(text, question, wrong)


@pytest.mark.parametrize(
    ("text", "question", "right", "wrong"),
    [
        (
            "Die Miete beträgt monatlich 2.350 Euro zuzüglich 310 Euro Nebenkosten.",
            "Wie hoch sind Miete und Nebenkosten?",
            "Die Miete beträgt 2.350 Euro, die Nebenkosten 310 Euro.",
            "Die Miete beträgt 310 Euro, die Nebenkosten 2.350 Euro.",
        ),
        (
            "The rent is 900 pounds a month plus 75 pounds for heating.",
            "What are the rent and the heating costs?",
            "900 pounds for rent and 75 pounds for heating.",
            "The rent is 75 pounds and the heating costs 900 pounds.",
        ),
        (
            "Le loyer est de 820 euros, avec 95 euros de charges.",
            "Quels sont le loyer et les charges ?",
            "Le loyer est de 820 euros et les charges de 95 euros.",
            "Le loyer est de 95 euros et les charges de 820 euros.",
        ),
        (
            "Adults pay 12 euros and children pay 7 euros.",
            "What do adults and children pay?",
            "Adults pay 12 euros, children 7 euros.",
            "Adults pay 7 euros, children 12 euros.",
        ),
    ],
)
def test_each_of_two_figures_of_a_sentence_has_its_own_words(
    text: str, question: str, right: str, wrong: str
) -> None:
    assert is_supported(text, question, right)
    assert not is_supported(text, question, wrong)


@pytest.mark.parametrize(
    ("text", "question", "right", "wrong"),
    [
        ("月給は28万5,000円とする。", "月給はいくらですか", "28万5,000円", "30万円"),
        ("月給は28万5,000円とする。", "月給はいくらですか", "月給は28万5,000円です。", "28円"),
        ("公司投资3亿5000万元建厂。", "公司投资多少建厂", "3亿5000万元", "3亿元"),
        ("押金为8400元整。", "押金是多少", "8,400元", "4,200元"),
        ("交货期为收到订单后30天内完成。", "交货期多长", "30天", "30个月"),
        ("参加者は120名であった。", "参加者は何名ですか", "120名", "90名"),
        ("年次休暇は12日とする。", "年次休暇は何日ですか", "12日", "12か月"),
        ("员工人数为350人左右。", "员工有多少人", "350人", "300人"),
        ("長さは5メートルである。", "長さはいくらですか", "5メートル", "5キロ"),
    ],
)
def test_a_figure_in_a_script_without_blanks_has_the_unit_that_follows_it_alone(
    text: str, question: str, right: str, wrong: str
) -> None:
    assert is_supported(text, question, right)
    assert not is_supported(text, question, wrong)
