"""Support of sentences by passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from docwell.answers import Sentence
from docwell.models import Chunk, Passage
from docwell.query.checking.grounding import ground
from docwell.query.checking.sentence_mentions import stated
from docwell.query.checking.support import MeaningScale, Similarity, is_answered, support


def passage(text: str) -> Passage:
    return Passage("id", "a/b.pdf", "generation", "v1", Chunk(text, 1, 0, len(text), 1), 0.9)


BOILER = passage("The boiler of Ostra Works is inspected every March. It holds 250 litres of water.")
DESK = passage("Visitors leave their badges at the desk. The desk opens at seven.")
QUESTION = "When is the boiler inspected?"


PASSAGES = [BOILER, DESK]


def checked(text: str, question: str = QUESTION, similarity: Similarity | None = None) -> tuple[Sentence, ...]:
    return support(ground(text, PASSAGES, question), PASSAGES, question, similarity)


def alike(cosine: float) -> Similarity:
    def similarity(texts: Sequence[str], windows: Sequence[str]) -> list[list[float]]:
        return [[cosine] * len(windows) for _ in texts]

    return similarity


def test_a_sentence_that_its_passage_says_is_supported() -> None:
    (sentence,) = checked("The boiler is inspected every March [1].")
    assert sentence.supported
    assert sentence.markers == (1,)
    assert sentence.support == 1.0
    assert sentence.missing == ()


def test_a_sentence_whose_fact_is_elsewhere_is_not_supported() -> None:
    passages = [BOILER, DESK]
    grounded = ground("The boiler is inspected at midnight by visitors [1].", passages, QUESTION)
    assert not support(grounded, passages, QUESTION)[0].supported


def test_a_figure_that_stands_nowhere_is_missing_and_never_supported() -> None:
    (sentence,) = checked(
        "The boiler is inspected every March and holds 300 litres of water [1].", similarity=alike(1)
    )
    assert sentence.missing == ("300",)
    assert sentence.support > 0.5
    assert not sentence.supported


def test_a_name_that_stands_nowhere_is_missing_unless_the_question_has_it() -> None:
    text = "The boiler is inspected every March by Lloyd [1]."
    assert checked(text)[0].missing == ("Lloyd",)
    assert checked(text, "Is the boiler inspected by Lloyd?")[0].missing == ()


def test_a_sentence_without_a_marker_has_no_support() -> None:
    first, second = checked("It is inspected every March [1]. The boiler is inspected every March.")
    assert first.supported
    assert (second.support, second.supported) == (0.0, False)


def test_a_paraphrase_is_supported_by_its_meaning() -> None:
    text = "A yearly check of the boiler happens each spring, in March [1]."
    assert not checked(text)[0].supported
    assert checked(text, similarity=alike(0.9))[0].supported
    assert not checked(text, similarity=alike(0.3))[0].supported


def test_each_window_is_embedded_once_and_only_cited_ones() -> None:
    seen: list[tuple[Sequence[str], Sequence[str]]] = []

    def similarity(texts: Sequence[str], windows: Sequence[str]) -> list[list[float]]:
        seen.append((texts, windows))
        return [[1.0] * len(windows) for _ in texts]

    checked("It is examined yearly in March [1]. Yearly in March it is examined [1].", similarity=similarity)
    ((texts, windows),) = seen
    assert len(texts) == 2
    assert windows == ["The boiler of Ostra Works is inspected every March."]


def test_a_sentence_that_its_words_support_is_not_embedded() -> None:
    seen: list[Sequence[str]] = []

    def similarity(texts: Sequence[str], windows: Sequence[str]) -> list[list[float]]:
        seen.append(texts)
        return [[1.0] * len(windows) for _ in texts]

    text = "It is examined every March [1]. Yearly in March it is examined [1]."
    held, other = checked(text, similarity=similarity)
    assert seen == [["Yearly in March it is examined ."]]
    assert 0.5 <= held.support < 1.0
    assert held.supported
    assert other.support < 1.0


@pytest.mark.parametrize(
    "text", ["It is inspected every March [1].", "Yes, the boiler is inspected [1].", "Who knows? In March [1]."]
)
def test_an_answer_is_one_when_a_supported_sentence_adds_to_the_question(text: str) -> None:
    assert is_answered(QUESTION, checked(text), PASSAGES)


@pytest.mark.parametrize("text", ["The boiler is inspected [1].", "Paris has wonderful museums [1].", ""])
def test_an_echo_or_an_invention_is_no_answer(text: str) -> None:
    assert not is_answered(QUESTION, checked(text), PASSAGES)


def test_a_question_for_which_one_may_be_answered_in_its_own_words() -> None:
    passages = [passage("The Amazon rainforest covers most of the Amazon basin of South America.")]
    question = "Which rainforest covers most of the Amazon basin?"
    told = support(
        ground("The Amazon rainforest covers most of the Amazon basin [1].", passages, question), passages
    )
    assert is_answered(question, told, passages)


@pytest.mark.parametrize(
    ("question", "text", "answered"),
    [
        ("Are dogs allowed in the lounge?", "Dogs are not allowed in the lounge [1].", True),
        ("Is the deposit refundable?", "The deposit is non-refundable [1].", True),
        ("Are dogs allowed in the lounge?", "Dogs are allowed in the lounge [1].", False),
        ("Are cats allowed in the garden?", "Cats are allowed in the garden [1].", False),  # of two sentences
        ("Are dogs allowed in the lounge?", "Are dogs allowed in the lounge? [1]", False),
        ("Where are dogs allowed?", "Dogs are not allowed [1].", False),
    ],
)
def test_a_question_for_yes_or_no_may_be_answered_in_its_own_words(
    question: str, text: str, *, answered: bool
) -> None:
    passages = [
        passage(
            "Dogs are not allowed in the lounge. The deposit is non-refundable. Are dogs allowed in the lounge?"
        ),
        passage("Cats sleep in the garden. Guests are allowed upstairs."),
    ]
    told = support(ground(text, passages, question), passages, question)
    assert is_answered(question, told, passages) is answered


def test_a_century_in_letters_is_the_one_in_digits() -> None:
    passages = [passage("Missionaries established church schools in the nineteenth century.")]
    (sentence,) = support(ground("It was in the 19th century [1].", passages), passages)
    assert (sentence.supported, sentence.missing) == (True, ())


BADGES = passage("Besucher geben ihren Ausweis am Empfang ab. Der Kessel wird im März geprüft.")
BOTH = MeaningScale(unrelated=0.75, same=0.95, foreign=(0.72, 0.86))


def meant(text: str, source: Passage, cosine: float, scale: MeaningScale = BOTH) -> Sentence:
    (sentence,) = support(ground(text, [source]), [source], QUESTION, alike(cosine), scale=scale)
    return sentence


@pytest.mark.parametrize(("cosine", "support"), [(0.7, 0.0), (0.79, 0.5), (0.9, 1.0)])
def test_meaning_alone_supports_a_sentence_about_a_passage_in_another_language(
    cosine: float, support: float
) -> None:
    sentence = meant("They inspect the boiler every spring [1].", BADGES, cosine)
    assert sentence.support == pytest.approx(support, abs=0.01)
    assert meant("Они проверяют котёл [1].", BADGES, cosine).support == pytest.approx(support, abs=0.01)


def test_a_model_of_one_language_supports_no_sentence_in_another() -> None:
    assert not meant("They inspect the boiler every spring [1].", BADGES, 0.9, MeaningScale()).supported


def test_a_figure_that_a_foreign_passage_lacks_is_never_supported() -> None:
    sentence = meant("They inspect the boiler every 12 weeks [1].", BADGES, 0.9)
    assert (sentence.missing, sentence.supported) == (("12",), False)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("The porter opens the cellar [1].", DESK),
        ("Двигатель снова запускается [1].", passage("Посетители сдают пропуска на входе.")),
        ("42 [1].", DESK),
    ],
)
def test_an_unrelated_sentence_in_the_same_language_is_not_taken_for_a_foreign_one(
    text: str, source: Passage
) -> None:
    assert meant(text, source, 0.85).support <= 0.5


def test_every_window_of_a_foreign_passage_is_compared() -> None:
    seen: list[str] = []

    def similarity(texts: Sequence[str], windows: Sequence[str]) -> list[list[float]]:
        seen.extend(windows)
        return [[0.9] * len(windows) for _ in texts]

    support(ground("They inspect it [1].", [BADGES]), [BADGES], QUESTION, similarity, scale=BOTH)
    assert "Besucher geben ihren Ausweis am Empfang ab." in seen
    assert "Der Kessel wird im März geprüft." in seen


def test_a_figure_counts_only_in_the_passage_that_is_cited() -> None:
    passages = [DESK, passage("The boiler holds 250 litres. The tank of the yard holds 900 litres.")]
    text, question = "The boiler holds 900 litres [2].", "How much does the boiler hold?"
    (sentence,) = support(ground(text, passages, question), passages, question)
    assert (sentence.supported, sentence.missing) == (False, ())


def test_the_same_figure_beside_its_label_is_supported() -> None:
    passages = [DESK, passage("The boiler holds 250 litres. The tank of the yard holds 900 litres.")]
    text, question = "The tank holds 900 litres [2].", "How much does the tank hold?"
    assert support(ground(text, passages, question), passages, question)[0].supported


def test_a_sentence_word_by_word_is_supported_whatever_is_asked() -> None:
    (sentence,) = checked("It holds 250 litres of water [2].", "Who owns the yard?")
    assert (sentence.markers, sentence.support, sentence.supported) == ((1,), 1.0, True)


@pytest.mark.parametrize(
    ("question", "cosine", "supported"),
    [
        ("Which ferry leaves the northern harbour first?", 0.3, False),
        ("Which ferry leaves the northern harbour first?", 0.9, True),
        ("Which boiler of the northern harbour holds water?", 0.3, True),
        ("Welche F\u00e4hre verl\u00e4sst zuerst den n\u00f6rdlichen Hafen?", 0.3, True),
    ],
)
def test_a_copied_sentence_of_another_subject_is_not_supported(
    question: str, cosine: float, *, supported: bool
) -> None:
    assert checked("It holds 250 litres of water [1].", question, alike(cosine))[0].supported is supported


@pytest.mark.parametrize(
    ("document", "heading"), [("ferries/harbour.pdf", ""), ("a/b.pdf", "The northern harbour > Ferries")]
)
def test_the_name_and_the_heading_of_a_passage_tell_its_subject(document: str, heading: str) -> None:
    chunk = replace(BOILER.chunk, heading=heading)
    found = [replace(BOILER, document=document, chunk=chunk), DESK]
    question = "Which ferry leaves the northern harbour first?"
    (sentence,) = support(ground("It holds 250 litres of water [1].", found, question), found, question)
    assert sentence.supported


def test_the_words_of_a_question_on_a_whole_document_need_not_stand_in_its_answer() -> None:
    found, question = [BOILER, DESK], "Which main topics does this long report discuss?"
    (sentence,) = support(
        ground("It holds 250 litres of water [1].", found, question), found, question, about=False
    )
    assert sentence.supported


@pytest.mark.parametrize(("text", "supported"), [("Yes [1].", True), ("No [1].", False)])
def test_a_bare_yes_or_no_is_judged(text: str, *, supported: bool) -> None:
    (sentence,) = checked(text, "Is the boiler inspected every March?")
    assert sentence.supported is supported
    assert is_answered("Is the boiler inspected every March?", [sentence], PASSAGES) is supported


def test_meaning_can_take_the_place_of_the_words_of_the_question() -> None:
    text, question = "250 litres [1].", "What is the capacity of this machine?"
    assert not checked(text, question, alike(0.3))[0].supported
    assert checked(text, question, alike(0.9))[0].supported


HARBOUR = passage(
    "Boats longer than twelve metres need a permit. Herring is landed on the east quay each morning. " * 4
)
OTHER_QUESTION = "How often do inspectors examine the pressure vessel?"


@pytest.mark.parametrize(("text", "asked"), [("Herring is landed [1].", 1), ("Who paints lighthouses [1].", 0)])
def test_the_subject_of_a_passage_is_asked_until_a_piece_is_near_and_only_for_what_may_pass(
    text: str, asked: int
) -> None:
    seen: list[str] = []

    def similarity(texts: Sequence[str], pieces: Sequence[str]) -> list[list[float]]:
        seen.extend(pieces if list(texts) == [OTHER_QUESTION] else ())
        return [[0.9 if list(texts) == [OTHER_QUESTION] else 0.0] * len(pieces) for _ in texts]

    (sentence,) = support(ground(text, [HARBOUR]), [HARBOUR], OTHER_QUESTION, similarity)
    assert (len(seen), sentence.supported) == (asked, bool(asked))


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("The annual fee is \u20ac500 per year.", "The annual fee is $500 per year [1]."),
        ("The plan costs 1.5 euros a month. See section 15.", "The plan costs 15 euros a month [1]."),
        ("Net income in 2020 was -5 million euros.", "Net income in 2020 was 5 million euros [1]."),
        ("The night was \u22125 degrees in January.", "The night was 5 degrees [1]."),
        ("The night was 5 degrees in January.", "The night was -5 degrees [1]."),
        ("The share rose by 15% in March.", "The share rose by 1.5% in March [1]."),
    ],
)
def test_a_sentence_with_another_sign_is_not_supported(stated: str, said: str) -> None:
    found = [passage(stated)]
    assert not support(ground(said, found), found)[0].supported
    assert support(ground(f"{stated} [1]", found), found)[0].supported


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("Income was -5 million euros.", "The loss was 5 million euros [1]."),
        ("Sales fell by 5%.", "Sales changed by -5% [1]."),
        ("The years 2015-2017 were dry.", "The years 2015-2017 were dry [1]."),
    ],
)
def test_a_loss_needs_no_minus_and_a_range_has_none(stated: str, said: str) -> None:
    found = [passage(stated)]
    assert support(ground(said, found), found)[0].supported


@pytest.mark.parametrize(
    ("question", "stated", "said"),
    [
        ("When does the lease end?", "The lease ends on 31.03.2024.", "The lease ends on 31 March 2024."),
        ("When does the lease end?", "The lease ends on March 31, 2024.", "The lease ends on 2024-03-31."),
        ("When does the lease end?", "The lease ends on 2024-03-31.", "The lease ends on March 31, 2024."),
        ("How many people work there?", "25 people work there today.", "Twenty-five people work there."),
        ("What did the bridge cost?", "The bridge cost three million euros.", "The bridge cost 3 million euros."),
        ("What does the tank hold?", "The tank holds two hundred litres.", "The tank holds 200 litres."),
    ],
)
def test_a_number_or_a_date_is_known_in_words_and_in_digits(question: str, stated: str, said: str) -> None:
    for has, says in ((stated, said), (said, stated)):
        found = [passage(has)]
        (sentence,) = support(ground(f"{says} [1]", found, question), found, question, alike(0.95))
        assert (sentence.supported, sentence.missing) == (True, ())


@pytest.mark.parametrize(
    ("stated", "said", "supported"),
    [
        ("The lease ends on 31 March 2024.", "The lease ends on 30.03.2024.", False),
        ("The lease ends on 2024-03-31.", "The lease ends on 31 March 2025.", False),
        ("The lease ends on 31.03.2024.", "The lease ends on 31 April 2024.", True),  # marked by the name
        ("The lease has twenty-five pages.", "The lease has 20 pages.", False),
        ("The lease has two hundred pages.", "The lease has 100 pages.", False),
    ],
)
def test_another_date_or_number_in_another_form_is_missing(stated: str, said: str, *, supported: bool) -> None:
    found = [passage(stated)]
    (sentence,) = support(ground(f"{said} [1]", found), found)
    assert sentence.supported is supported
    assert sentence.missing


def test_an_item_of_a_list_has_no_minus() -> None:
    assert not any(one.negative for one in stated("It needs:\n- 12 epochs\n- 4 GPUs"))


@pytest.mark.parametrize(
    ("has", "said", "supported"),
    [
        ("The warranty does not cover water damage or theft.", "The warranty covers water damage.", False),
        ("The warranty covers water damage and theft.", "The warranty does not cover water damage.", False),
        ("Der Vertrag gilt nicht in der Schweiz.", "Der Vertrag gilt in der Schweiz.", False),
        ("The service is not safe.", "The service is safe.", False),
        ("The service isn't safe at night.", "The service is not safe.", True),
        ("It is not only cheap but also fast and quiet.", "It is cheap, fast and quiet.", True),
        ("Visitors may enter. They may not smoke in the hall.", "Visitors may enter the hall.", True),
        ("It serves nobody; its files are kept for 18 months.", "Its files are kept for 18 months.", True),
        ("The pump, which is not new, runs at 50 Hz.", "The pump runs at 50 Hz.", True),
        ("Wer nicht zahlt, verliert den Rabatt am 3. Mai.", "Er verliert den Rabatt am 3. Mai.", True),
    ],
)
def test_a_sentence_that_its_passage_denies_is_not_supported(has: str, said: str, *, supported: bool) -> None:
    found = [passage(has)]
    assert support(ground(f"{said} [1]", found), found)[0].supported is supported
