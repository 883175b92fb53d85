"""Figures: what a passage says them of, and what a sentence does."""

from __future__ import annotations

import pytest

from docwell.query.checking.claims import Claim
from docwell.query.checking.mentions import mentions
from docwell.query.checking.sentence_mentions import Mention, stated

TABLE = """Ostra Works
Key figures (in thousands, except per share)
Year ended 31 December 2021 2020
Net sales $ 84,310 $ 79,225
Cost of sales 51,200 49,870
Income per share $ 1.96 $ 1.82
Margin 12.5 % 11.0 %"""
PLANTS = "Ostra Works has 312 employees in Hull. Velden Works has 450 employees in Goole."
YEARS = "Revenue was 5 million euros in 2021 and 4 million euros in 2020."
FERRY = "The ferry carried 212,000 passengers in 2024 and 198,000 in 2023."
STAFF = "The clinic has 14 doctors, 52 nurses in training and 9 in the laboratory."
PUMP = (
    "Pump A moves 250 litres a minute. It must be oiled after every 400 hours. The fault of 3 May ended on 9 June."
)


def holds(sentence: str, question: str, passage: str) -> bool:
    claim = Claim.of(sentence, question, [passage])
    assert claim.figures
    return all(claim.mentions_of(figure, passage) for figure in claim.figures)


def test_a_cell_knows_its_row_column_period_and_scale() -> None:
    cells = {mention.figure.written: mention for mention in mentions(TABLE) if mention.in_table}
    sales = cells["79,225"]
    assert (sales.near, sales.periods, sales.sign) == (frozenset({"net", "sal"}), frozenset({"2020"}), "$")
    assert (sales.scale, sales.caption) == (3, "in thousands")
    assert (cells["1.82"].scale, cells["11.0"].scale) == (0, 0)


def test_blanks_that_group_thousands_make_as_many_cells_as_there_are_columns() -> None:
    cells = mentions("Chiffres (en milliers d'euros)\n2022 2021\nVentes 84 310 79 225\nEffet 399 549")
    assert [mention.figure.written for mention in cells if mention.in_table] == ["84 310", "79 225", "399", "549"]


@pytest.mark.parametrize(
    ("caption", "scale", "of_decimals"),
    [
        ("(in thousands)", 3, 3),
        ("(in millions except per share amounts)", 6, 0),
        ("(in Mio. Euro)", 6, 6),
        ("In thousands of euros", 3, 3),
        ("(千元)", 3, 3),
        ("Offices in MN and WI", 0, 0),
        ("Thousands of people came to see the works of the painters in the old hall.", 0, 0),
    ],
)
def test_a_caption_gives_its_scale(caption: str, scale: int, of_decimals: int) -> None:
    cells = mentions(f"{caption}\n2021 2020\nSales 310 300\nPer share 1.96 1.82")
    assert {mention.scale for mention in cells if mention.in_table and "310" in mention.figure.written} == {scale}
    assert {mention.scale for mention in cells if mention.in_table and "1.96" in mention.figure.written} == {
        of_decimals
    }


@pytest.mark.parametrize(
    "text",
    ["1,2,3", "2.3.1", "5..6 (7)%", "$ () % -", "9" * 400, "\u0663\u066b\u0665 million", "½", "1.2.3 million"],
)
def test_any_text_is_read(text: str) -> None:
    passage = f"(in thousands)\n2021 2020\nSales {text} {text}\nSales {text} million."
    Claim.of(f"It is {text} million.", text, [passage])
    for figure in Claim.of(f"It is {text} million.", text, [passage]).figures:
        Claim.of(text, text, [passage]).mentions_of(figure, passage)


def test_the_figures_of_a_sentence_own_their_years_and_words() -> None:
    five, four = (mention for mention in mentions(YEARS) if not mention.is_date)
    assert (five.periods, four.periods) == (frozenset({"2021"}), frozenset({"2020"}))
    assert five.near == four.near >= {"revenu"}


def test_a_figure_between_signs_without_blanks_is_read() -> None:
    assert [mention.figure.written for mention in stated("公司2022年员工1280人收入5.2亿元。")] == [
        "2022",
        "1280",
        "5.2亿",
    ]


@pytest.mark.parametrize(
    ("sentence", "question", "passage"),
    [
        ("Net sales were $84,310 thousand in 2021.", "What were net sales in 2021?", TABLE),
        ("$84,310", "What were net sales in 2021?", TABLE),
        ("Net sales were $84,310,000.", "What were net sales in 2021?", TABLE),
        ("Net sales were about $84 million in 2021.", "What were net sales in 2021?", TABLE),
        ("Income per share was $1.82.", "What was the income per share in 2020?", TABLE),
        ("The margin was 12.5 percent.", "What was the margin in 2021?", TABLE),
        ("Ostra Works has 312 employees.", "How many employees does Ostra Works have?", PLANTS),
        ("Revenue was 4 million euros in 2020.", "What was the revenue in 2020?", YEARS),
        (
            "Revenue fell from 5 million euros in 2021 to 4 million euros in 2020.",
            "How did revenue change?",
            YEARS,
        ),
        ("The ferry carried 198,000 passengers in 2023.", "How many passengers were there in 2023?", FERRY),
        ("It carried 198,000.", "How many passengers were there in 2023?", FERRY),
        ("It must be oiled after every 400 hours.", "How often must the pump be oiled?", PUMP),
        ("The fault ended on 9 June.", "When did the fault end?", PUMP),
        (
            "Four hours.",
            "How long does a closed refrigerator keep food safe during a power cut?",
            (
                "A closed refrigerator keeps food safe for four hours and a full freezer for 48 hours; never run "
                "a generator indoors; know where your nearest shelter with power is."
            ),
        ),
        (
            "England formally declared war on France on May 18, 1756.",
            "When did England formally declare war on France?",
            "In Europe, on May 18, 1756, England formally declared war on France, which expanded the war.",
        ),
    ],
)
def test_a_figure_holds_beside_its_label(sentence: str, question: str, passage: str) -> None:
    assert holds(sentence, question, passage)


@pytest.mark.parametrize(
    ("sentence", "question", "passage"),
    [
        ("Net sales were $79,225 thousand in 2021.", "What were net sales in 2021?", TABLE),
        ("$51,200", "What were net sales in 2021?", TABLE),
        ("Net sales were $84,310 million.", "What were net sales in 2021?", TABLE),
        ("Net sales were 12.5.", "What were net sales in 2021?", TABLE),
        ("The margin was $12.5.", "What was the margin in 2021?", TABLE),
        ("The margin was 1.96 %.", "What was the margin in 2021?", TABLE),
        ("It had 84,310 employees.", "How many employees did it have in 2021?", TABLE),
        ("The salary of the chief is $1.96.", "What is the salary of the chief?", TABLE),
        ("2021 documents mention Ostra.", "How many documents mention Velden?", TABLE),
        ("Two documents mention Velden.", "How many documents mention Velden?", PLANTS + " The two are old."),
        ("Ostra Works has 450 employees.", "How many employees does Ostra Works have?", PLANTS),
        ("Revenue was 5 million euros in 2020.", "What was the revenue in 2020?", YEARS),
        ("Revenue was 4 billion euros in 2020.", "What was the revenue in 2020?", YEARS),
        ("The ferry carried 212,000 passengers in 2023.", "How many passengers were there in 2023?", FERRY),
        ("The ferry carried 198,000 cars in 2023.", "How many cars were there in 2023?", FERRY),
        ("The clinic has 52 doctors.", "How many doctors does the clinic have?", STAFF),
        ("The clinic has 9 doctors.", "How many doctors does the clinic have?", STAFF),
        ("It must be oiled after every 400 days.", "How often must the pump be oiled?", PUMP),
        ("It must be oiled every 250 hours.", "How often must the pump be oiled?", PUMP),
        ("The fault ended on 3 June.", "When did the fault end?", PUMP),
    ],
)
def test_a_figure_of_something_else_does_not_hold(sentence: str, question: str, passage: str) -> None:
    assert not holds(sentence, question, passage)


CAUSE = (
    "The report to the king blamed the heavens, in the form of a conjunction of three planets in 1345 that caused "
    "a great pestilence in the air."
)


@pytest.mark.parametrize(
    ("sentence", "held"),
    [
        (
            "It was blamed on the heavens, in the form of a conjunction of three planets in 1345 that caused it.",
            True,
        ),
        ("Three planets were blamed on the heavens in 1345, and a great pestilence of three reports.", False),
    ],
)
def test_a_figure_in_copied_words_holds_whatever_figures_stand_beside_it(sentence: str, held: bool) -> None:
    assert holds(sentence, "What was the pestilence blamed on?", CAUSE) == held


def test_a_page_of_nothing_but_ones_is_compared_with_few_rivals(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[Mention] = []
    is_rival = Claim._is_rival

    def counted(self: Claim, other: Mention, mention: Mention, *said: frozenset[str]) -> bool:
        compared.append(other)
        return is_rival(self, other, mention, *said)

    monkeypatch.setattr(Claim, "_is_rival", counted)
    for page in ("1 " * 600, "Lamps 1 1 1\n" * 200):
        compared.clear()
        assert Claim.of("It has 1 lamp.", "How many?", [page]).mentions_of(
            stated("It has 1 lamp.")[0], page, asked=False
        )
        assert len(compared) < 600 * 10


@pytest.mark.parametrize(
    ("passage", "sentence", "right"),
    [
        ("With a budget of $230,000, the film was restored.", "The film weighed 230,000 pounds.", False),
        ("With a budget of $230,000, the film was restored.", "The budget of the film was 230,000 dollars.", True),
        ("The film cost \u00a3900 in all.", "The film ran for 900 days.", False),
        ("The film cost \u00a3900 in all.", "The film cost 900 pounds.", True),
        ("A seat costs \u20ac12 per film.", "A seat of the film costs 12 per film.", True),
        ("The film cost $5 million.", "The film cost 5 million US dollars.", True),
        ("A seat costs \u20ac12 a month.", "A seat of the film costs 12 per month.", True),
        ("The film cost CA$900 in all.", "The film cost 900 Canadian dollars.", True),
        ("Der Film kostete 900 \u20ac.", "Der Film dauerte 900 Tage.", False),
        ("A seat costs \u20ac12 per film.", "A seat of the film costs \u20ac12.", True),
    ],
)
def test_an_amount_of_money_measures_nothing_else(passage: str, sentence: str, *, right: bool) -> None:
    assert holds(sentence, "How large is it for the film?", passage) is right


@pytest.mark.parametrize(
    ("passage", "right", "wrong"),
    [
        ("The club costs EUR 30 per month.", "The club costs EUR 30 a month.", "The club costs EUR 30 per year."),
        ("The club costs EUR 30 per month.", "The club costs EUR 30 monthly.", "The club costs EUR 30 annually."),
        (
            "The pump moves 40 litres a minute.",
            "The pump moves 40 litres/min.",
            "The pump moves 40 litres an hour.",
        ),
        ("Late bills of the club cost 1.5% per month.", "It is 1.5% a month.", "It is 1.5% p.a. for late bills."),
        ("Der Club kostet monatlich 30 Euro.", "Er kostet 30 Euro im Monat.", "Er kostet 30 Euro pro Jahr."),
        ("Le club coûte 30 euros par mois.", "Il coûte 30 euros mensuels.", "Il coûte 30 euros par an."),
        ("El club cuesta 30 euros al mes.", "Cuesta 30 euros mensuales.", "Cuesta 30 euros al año."),
        ("会费每月30元。", "会费是每月30元。", "会费是每年30元。"),
        (
            "Club: A | Price per month: 30 | Seats: 4",
            "The price of A is 30 a month.",
            "The price of A is 30 a year.",
        ),
        ("Club: A | Monthly fee: 30 | Seats: 4", "The fee of A is 30 a month.", "The fee of A is 30 a year."),
        ("The club has at least 30 members.", "It has 30 members or more.", "It has up to 30 members."),
        ("Keep it for no more than 30 days.", "Keep it for at most 30 days.", "Keep it for over 30 days."),
        ("Pay no later than 31 March 2025.", "Pay by 31 March 2025.", "Pay after 31 March 2025."),
        ("Der Club hat mindestens 30 Plätze.", "Er hat 30 oder mehr Plätze.", "Er hat höchstens 30 Plätze."),
        ("Le club a au moins 30 membres.", "Il a 30 membres ou plus.", "Il a jusqu'à 30 membres."),
        ("El club tiene como mínimo 30 socios.", "Tiene al menos 30 socios.", "Tiene como máximo 30 socios."),
        ("会员至少30人。", "会员不少于30人。", "会员不超过30人。"),
    ],
)
def test_a_figure_is_not_for_another_span_of_time_nor_another_bound(passage: str, right: str, wrong: str) -> None:
    assert holds(right, "", passage)
    assert not holds(wrong, "", passage)


@pytest.mark.parametrize(
    ("passage", "sentence"),
    [
        ("Absences of more than 30 days need a note.", "For absences of up to 30 days no note is needed."),
        ("The club closes for 30 days per year.", "The club closes for 30 days."),
        ("The club is open for at least 30 days.", "The club is open for 30 days."),
    ],
)
def test_a_bound_is_another_only_where_both_texts_state_one(passage: str, sentence: str) -> None:
    assert holds(sentence, "How many days is it for absences of the club?", passage)


EUROS = ("EUR 30", "30 EUR", "30 euros", "€30", "30 €", "Euro 30", "30 Euro")


@pytest.mark.parametrize("said", EUROS)
@pytest.mark.parametrize("written", EUROS)
def test_an_amount_holds_in_any_spelling_of_its_currency_alone(written: str, said: str) -> None:
    passage = f"The club costs {written}."
    assert holds(f"The club costs {said}.", "What does the club cost?", passage)
    for wrong in ("USD 30", "30 dollars", "$30", "GBP 30", "30 pounds sterling", "30 yuan"):
        assert not holds(f"The club costs {wrong}.", "What does the club cost?", passage)


def test_the_word_of_a_currency_is_of_no_other_amount_beside_it() -> None:
    passage = "Die Kaution beträgt 1.500,00 EUR und die Miete 750 Euro."
    assert holds("Die Kaution beträgt 1500 Euro.", "Wie hoch ist die Kaution?", passage)
    assert holds("Die Miete beträgt 750 EUR.", "Wie hoch ist die Miete?", passage)
    assert not holds("Die Kaution beträgt 750 Euro.", "Wie hoch ist die Kaution?", passage)


PIPES = """Price list
Product Price Minimum
Steel pipe 20 mm 4.20 50
Copper pipe 15 mm 9.80 20"""
PIPE_ROWS = """Price list
Product: Steel pipe 20 mm | Price: 4.20 | Minimum: 50
Product: Copper pipe 15 mm | Price: 9.80 | Minimum: 20"""


@pytest.mark.parametrize("passage", [PIPES, PIPE_ROWS])
def test_a_figure_in_the_name_of_a_row_holds_beside_its_words_alone(passage: str) -> None:
    question = "What is the price of copper pipe?"
    assert holds("The price of copper pipe 15 mm is 9.80.", question, passage)
    for wrong in (
        "The price of copper pipe 20 mm is 9.80.",
        "The price of copper pipe 15 mm is 4.20.",
        "The price of copper pipe is 15.",
        "The price of copper pipe is 20.",
    ):
        assert not holds(wrong, question, passage)


@pytest.mark.parametrize(
    ("passage", "right", "wrong"),
    [
        ("Die Frist beträgt drei Monate.", "Die Frist beträgt 3 Monate.", "Die Frist beträgt sechs Monate."),
        ("Die Frist beträgt 6 Monate.", "Die Frist beträgt sechs Monate.", "Die Frist beträgt drei Monate."),
        ("Le délai est de trois mois.", "Le délai est de 3 mois.", "Le délai est de douze mois."),
        ("El plazo es de tres meses.", "El plazo es de 3 meses.", "El plazo es de seis meses."),
        ("利润率为13\uff05。", "利润率为13%。", "利润率为15%。"),
    ],
)
def test_number_words_and_wide_signs_are_figures_in_each_language(passage: str, right: str, wrong: str) -> None:
    assert holds(right, "", passage)
    assert not holds(wrong, "", passage)


@pytest.mark.parametrize(
    "text",
    ["Once it was cinq-mars.", "Le prix est de vingt-cinq euros.", "Cuesta cinco mil euros.", "Un sept neuf."],
)
def test_a_word_that_may_be_a_part_of_a_number_or_another_word_is_no_figure(text: str) -> None:
    assert stated(text) == []


def test_the_letter_of_metres_is_no_million_beside_the_word() -> None:
    for written in ("20 m", "20m", "20 metres", "20 Meter"):
        passage = f"The hose is {written} long. The firm had sales of $20 m."
        for said in ("20 m", "20m", "20 metres", "20 meters"):
            assert holds(f"The hose is {said} long.", "How long is the hose?", passage)
        assert not holds("The hose is 20 million metres long.", "How long is the hose?", passage)
        assert holds("The firm had sales of $20 million.", "What sales had the firm?", passage)
