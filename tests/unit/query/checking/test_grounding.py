"""Markers and quotes."""

from __future__ import annotations

import pytest

from docwell.models import Chunk, Passage
from docwell.query.checking.grounding import ground, numbered
from docwell.query.checking.support import support
from docwell.text.lexicon import MAX_QUOTE_CHARACTERS, sentences


def passage(text: str, page: int = 1, start: int = 0) -> Passage:
    chunk = Chunk(text, page, start, start + len(text), 1)
    return Passage("id", "a/b.pdf", "generation", "v1", chunk, 0.9)


BOILER = passage("The yard is paved. The boiler is inspected every\nMarch by the owner. Dogs are welcome.", 3, 100)
DESK = passage("Visitors leave their badges at the desk.", 4)


def test_a_marker_becomes_a_citation_with_the_sentence_that_says_it() -> None:
    grounded = ground("It is inspected every March [1].", [BOILER, DESK])
    (citation,) = grounded.citations
    assert citation.quote == "The boiler is inspected every March by the owner."
    assert (citation.page, citation.marker) == (3, 1)


def test_offsets_point_at_the_quote_on_the_page() -> None:
    (citation,) = ground("Inspected every March [1].", [BOILER]).citations
    cut = BOILER.chunk.text[citation.start - 100 : citation.end - 100]
    assert " ".join(cut.split()) == citation.quote


@pytest.mark.parametrize("text", ["Badges stay at the desk [7].", "Badges stay at the desk [0] [99]."])
def test_a_marker_without_a_passage_is_removed_and_the_source_is_found(text: str) -> None:
    grounded = ground(text, [BOILER, DESK])
    assert grounded.text == "Badges stay at the desk [2]."
    assert [citation.document for citation in grounded.citations] == ["a/b.pdf"]


def test_joint_markers_become_single_ones() -> None:
    grounded = ground("Both are said [1, 2].", [BOILER, DESK])
    assert grounded.text == "Both are said [1][2]."
    assert [citation.marker for citation in grounded.citations] == [1, 2]


def test_an_answer_without_markers_gets_the_passage_that_holds_its_words() -> None:
    grounded = ground("Visitors leave badges at the desk.", [BOILER, DESK])
    assert grounded.text.endswith("[2].")


def test_an_answer_that_stands_nowhere_gets_no_citation() -> None:
    assert ground("Paris has wonderful museums.", [BOILER, DESK]).citations == ()


def test_a_marker_that_points_at_the_wrong_passage_is_moved_to_the_right_one() -> None:
    grounded = ground("Visitors leave their badges at the desk [1].", [BOILER, DESK])
    assert grounded.text == "Visitors leave their badges at the desk [2]."
    assert [citation.page for citation in grounded.citations] == [4]


def test_a_bare_figure_is_tied_to_the_passage_that_has_it_and_the_questions_words() -> None:
    pages = [passage("There were 52 hours of sun.", 1), passage("The diesel on site lasts 52 hours.", 2)]
    (citation,) = ground("52 hours", pages, "How long does the diesel on site last?").citations
    assert citation.page == 2


def test_a_marker_after_the_full_stop_belongs_to_the_sentence_before_it() -> None:
    assert sentences("It rains. [1] It pours [2].") == ["It rains. [1]", "It pours [2]."]


def test_text_without_gaps_between_words_is_matched() -> None:
    japanese = passage("庭は舗装されています。ボイラーは毎年三月に点検されます。犬も歓迎です。")
    (citation,) = ground("ボイラーは三月に点検されます [1]。", [japanese]).citations
    assert citation.quote == "ボイラーは毎年三月に点検されます。"


def test_a_quote_is_never_longer_than_its_limit() -> None:
    (citation,) = ground("word [1]", [passage("word " * 400)]).citations
    assert 0 < len(citation.quote) <= MAX_QUOTE_CHARACTERS


def test_no_passage_and_no_text_are_survived() -> None:
    assert ground("", []).citations == ()
    assert ground("Something [1].", []).citations == ()


TABLE = passage(
    "Key figures (in thousands, except per share)\n2021 2020\nNet sales $ 84,310 $ 79,225\nStaff 310 300", 5
)


def test_a_sentence_that_a_passage_has_word_by_word_gets_its_marker() -> None:
    assert ground("Visitors leave their badges at the desk [1].", [BOILER, DESK]).text.endswith("desk [2].")
    assert ground("It is old [1]. Visitors leave their badges at the desk.", [BOILER, DESK]).text.endswith("[2].")


def test_a_marker_goes_to_the_passage_with_the_figure_before_that_with_the_words() -> None:
    words = passage("The net sales of the works, and how the sales of the works are counted in a year.")
    grounded = ground(
        "The net sales of the works were $84,310 thousand [1].", [words, TABLE], "What were net sales?"
    )
    assert grounded.text.endswith("thousand [2].")


def test_figures_of_two_passages_get_both_markers() -> None:
    grounded = ground(
        "Net sales were $84,310 thousand and the hall has 12 doors [1].",
        [TABLE, passage("The hall has 12 doors.")],
        "What of net sales and the doors of the hall?",
    )
    assert grounded.text.endswith("doors [1] [2].")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Net sales were $84,310 [1].", "Net sales were $84,310 (in thousands) [1]."),
        ("Net sales were $84,310 thousand [1].", "Net sales were $84,310 thousand [1]."),
        ("Net sales were $84,310,000 [1].", "Net sales were $84,310,000 [1]."),
    ],
)
def test_the_scale_of_a_caption_is_carried_into_the_answer(text: str, told: str) -> None:
    assert ground(text, [TABLE], "What were net sales in 2021?").text == told


def test_markers_are_numbered_in_order_of_first_use() -> None:
    text = "Visitors leave their badges at the desk [2]. It is inspected every March [1]. They leave badges [2]."
    grounded = ground(text, [BOILER, DESK])
    ordered, sentences_ = numbered(grounded, support(grounded, [BOILER, DESK]))
    assert ordered.text == text.replace("[2]", "[0]").replace("[1]", "[2]").replace("[0]", "[1]")
    assert [(one.marker, one.page) for one in ordered.citations] == [(1, 4), (2, 3)]
    assert [one.markers for one in sentences_] == [(1,), (2,), (1,)]
    assert [one.text for one in sentences_] == sentences(ordered.text)


def test_a_list_keeps_its_lines_and_its_marker() -> None:
    text = "At the desk visitors leave:\n- their badges\n- their bags [2]"
    assert ground(text, [BOILER, DESK]).text == text


def test_a_quote_begins_where_its_sentence_does() -> None:
    long = (
        "The owner of the yard, "
        + "who lives in the old house by the river, " * 8
        + "inspects 4 boilers in March."
    )
    (citation,) = ground("He inspects 4 boilers in March [1].", [passage("Dogs may enter. " + long)]).citations
    assert citation.quote.startswith("The owner of the yard")
    assert citation.quote.endswith("boilers in March.")
