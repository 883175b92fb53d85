"""Figures that count nothing: parts of dates, times of day, and the numbers of sections and phones."""

from __future__ import annotations

import pytest

from docwell.models import Chunk, Passage
from docwell.query.checking.check import check
from docwell.query.checking.claims import Claim
from docwell.query.checking.support import MeaningScale

STAFF = "How many employees does the Corner Bakery have?"
MITGLIEDER = "Wie viele Mitglieder hat der Verein Seestern?"
MEMBRES = "Combien de membres le club Étoile a-t-il ?"
SOCIOS = "¿Cuántos socios tiene el club Estrella?"
HUIYUAN = "星海俱乐部有多少会员?"
SAID = {
    STAFF: "The Corner Bakery has {} employees.",
    MITGLIEDER: "Der Verein Seestern hat {} Mitglieder.",
    MEMBRES: "Le club Étoile a {} membres.",
    SOCIOS: "El club Estrella tiene {} socios.",
    HUIYUAN: "星海俱乐部有{}会员。",
}


def holds(sentence: str, question: str, passage: str, *, foreign: bool = False) -> bool:
    claim = Claim.of(sentence, question, [passage])
    assert claim.figures
    return all(claim.mentions_of(figure, passage, foreign=foreign) for figure in claim.figures)


@pytest.mark.parametrize(
    ("passage", "question", "figures"),
    [
        (
            "Rules for staff of the Corner Bakery, version of 12 February 2026.",
            STAFF,
            "12 twelve 2026",
        ),
        ("Rules for staff of the Corner Bakery, February 12, 2026.", STAFF, "12 twelve 2026 2,026"),
        ("Rules for staff of the Corner Bakery (2026-02-12).", STAFF, "12 2026"),
        ("Rules for staff of the Corner Bakery, as of 12.02.2026.", STAFF, "12 2026"),
        ("Rules for staff of the Corner Bakery, as of 3/4/2025.", STAFF, "3 4 2025"),
        (
            "The staff of the Corner Bakery met in 2024, for FY26 and for Q3 2025.",
            STAFF,
            "2024 3 2025 26",
        ),
        ("Der Verein Seestern lud die Mitglieder zum 14. März 2025 ein.", MITGLIEDER, "14 2025"),
        ("Le club Étoile a invité ses membres le 18 mai 2025.", MEMBRES, "18 2025"),
        ("El club Estrella invitó a los socios el 18 de mayo de 2025.", SOCIOS, "18 2025"),
        ("星海俱乐部会员章程2026年2月12日通过。", HUIYUAN, "12 2 2026"),
    ],
)
def test_a_part_of_a_date_counts_nothing(passage: str, question: str, figures: str) -> None:
    for figure in figures.split():
        assert not holds(SAID[question].format(figure), question, passage)
        assert not holds(figure, question, passage)


@pytest.mark.parametrize(
    ("passage", "question", "sentence"),
    [
        (
            "As of 2024 the guild had 2,024 members.",
            "How many members does the guild have?",
            "It has 2024 members.",
        ),
        (
            "The guild had 1500 members in 1950 and 2026 members in 1970.",
            "How many members in 1970?",
            "2026 members",
        ),
        ("Guild, members: 1850.", "How many members does the guild have?", "The guild has 1850 members."),
        ("Guild, members: 1850.", "How many members does the guild have?", "1850"),
        (
            "Log of visitors. 12 May: 12 visitors.",
            "How many visitors came in May?",
            "On 12 May, 12 visitors came.",
        ),
        ("Log of visitors. 12 May: 12 visitors.", "How many visitors came in May?", "12"),
        ("Am 12. Mai kamen 12 Besucher.", "Wie viele Besucher kamen im Mai?", "Es kamen zwölf Besucher."),
        ("Members were counted on 31 December 2024.", "How many members were counted?", "It was in 2024."),
        ("The guild meets on 05.02.2026 and 12.02.2026.", "When does the guild meet?", "On the 5th and 12th."),
        ("Il contratto scade il 31.05.2026.", "Quando scade il contratto?", "Scade il 31 maggio 2026."),
        (
            "The 2026 budget of the guild is large.",
            "Which budget is large?",
            "The 2026 budget of the guild is large.",
        ),
        ("The recall covers tractors built in 2019.", "Which tractors?", "It covers Velden 2019 tractors."),
        ("Ada was born on 12 May 1950 and left at 65.", "How old was Ada when she left?", "Ada left at 65."),
        (
            "Site: Hull | Members: 2019 | Opened: 12.02.2019",
            "How many members has Hull?",
            "Hull has 2019 members.",
        ),
    ],
)
def test_years_days_and_counts_beside_dates_hold(passage: str, question: str, sentence: str) -> None:
    assert holds(sentence, question, passage)


def test_a_part_of_a_date_counts_nothing_in_another_language_nor_for_yes_nor_as_money() -> None:
    passage = "Mitarbeiterordnung der Bäckerei vom 12. Februar 2026. Die Schürze kostet 25 $."
    assert not holds(
        "The bakery has 12 employees.", "How many employees does the bakery have?", passage, foreign=True
    )
    assert not holds("Yes, it has 12 employees.", "Does the bakery have 12 employees?", passage)
    assert not holds("Die Schürze kostet $12.", "Was kostet die Schürze?", passage)
    assert holds("Die Schürze kostet $25.", "Was kostet die Schürze?", passage)


@pytest.mark.parametrize(("count", "answered"), [("12", False), ("2026", False), ("14", True)])
def test_the_day_below_a_title_answers_no_question_for_a_number(count: str, *, answered: bool) -> None:
    text = "Staff rules of the Corner Bakery\nVersion of 12 February 2026\nThe bakery has 14 employees."
    found = [Passage("id", "a/b.pdf", "generation", "v1", Chunk(text, 1, 0, len(text), 1), 0.9)]
    answer = f"The Corner Bakery has {count} employees [1]."
    grounded, sentences = check(answer, found, STAFF, None, 0.5, MeaningScale())
    assert (grounded is not None and all(one.supported for one in sentences)) is answered


@pytest.mark.parametrize(
    ("passage", "question", "figures"),
    [
        ("Section 12 is for the staff of the Corner Bakery.", STAFF, "12 twelve"),
        ("The staff of the Corner Bakery is on page 48.", STAFF, "48"),
        ("The staff of the Corner Bakery has room 9.", STAFF, "9 nine"),
        ("Rules for the staff of the Corner Bakery, version 7.", STAFF, "7"),
        ("The staff of the Corner Bakery is in art. 21.", STAFF, "21"),
        ("Pages 4 and 5 are for the staff of the Corner Bakery.", STAFF, "4 5"),
        ("The Corner Bakery opens to staff at 5:30.", STAFF, "5 30"),
        ("Staff of the Corner Bakery are in from 9:00 to 17:00 or until 8 p.m.", STAFF, "9 17 8"),
        ("The staff of the Corner Bakery: call 030 45 17 88.", STAFF, "45 17 88"),
        ("The staff of the Corner Bakery: +49 30 451788.", STAFF, "49 30 451788"),
        ("Corner Bakery staff\nSection 12\nVersion 7\nPhone 030 45 17 88", STAFF, "12 7 45 88"),
        ("Die Mitglieder des Vereins Seestern kommen ab 19:30 Uhr.", MITGLIEDER, "19 30"),
        ("Der Verein Seestern tagt in Saal 6.", MITGLIEDER, "6 sechs"),
        ("§ 8 nennt die Mitglieder des Vereins Seestern.", MITGLIEDER, "8"),
        ("Les membres du club Étoile viennent à 14 h 30.", MEMBRES, "14 30"),
        ("La salle 9 est pour les membres du club Étoile.", MEMBRES, "9"),
        ("Les membres du club Étoile sont dans l'article 21.", MEMBRES, "21"),
        ("Los socios del club Estrella llegan a las 19:30.", SOCIOS, "19 30"),
        ("La sala 6 es para los socios del club Estrella.", SOCIOS, "6 seis"),
        ("Los socios del club Estrella están en el artículo 21.", SOCIOS, "21"),
    ],
)
def test_a_number_of_a_section_a_room_a_phone_or_a_time_counts_nothing(
    passage: str, question: str, figures: str
) -> None:
    for figure in figures.split():
        assert not holds(SAID[question].format(figure), question, passage)
        assert not holds(figure, question, passage)


@pytest.mark.parametrize(
    ("passage", "question", "sentence"),
    [
        ("Section 12 is about members.", "Which section is about members?", "Section 12 is about members."),
        ("Section 12 is about fees.", "What is the number of the section on fees?", "12"),
        ("Chapter 14 is the last of the book.", "How many chapters has the book?", "The book has 14 chapters."),
        ("Hotel in Zahlen\nZimmer 14\nBetten 28", "Wie viele Zimmer hat das Hotel?", "14"),
        (
            "Section 12: 45 staff work at night.",
            "How many employees work at night?",
            "45 employees work at night.",
        ),
        ("Kiel won 23:21 against Hull.", "How many goals did Kiel score against Hull?", "Kiel scored 23 goals."),
        ("Von ihnen sind 12 am Standort Kiel.", "Wie viele Mitarbeiter sind in Kiel?", "12 Mitarbeiter in Kiel."),
        ("They call 12 customers a day.", "How many customers do they call?", "They call 12 customers."),
        ("On 05/06/2024 10 guests were ill.", "How many passengers were ill?", "10 passengers were ill."),
        ("It opens at 5:30. It has 5 ovens.", "How many ovens does it have?", "It has 5 ovens."),
        (
            "The bakery opens at 18:00. It has 18 seats.",
            "How many seats has the bakery?",
            "The bakery has 18 seats.",
        ),
        ("L'assemblée a lieu à 14 h 30.", "À quelle heure a lieu l'assemblée ?", "Elle a lieu à 14 heures 30."),
        (
            "On 25 May 25% of the shares were sold for $25 million at 12:25.",
            "What percentage of the shares was sold?",
            "25% of the shares were sold.",
        ),
        ("俱乐部章程2026年2月12日通过。", "俱乐部章程几月几号通过?", "章程2月12日通过。"),
    ],
)
def test_an_answer_with_the_number_of_a_section_or_a_count_beside_one_holds(
    passage: str, question: str, sentence: str
) -> None:
    assert holds(sentence, question, passage)


def test_a_time_hides_no_other_count_of_its_sentence() -> None:
    passage = "The staff in Hull are 312 and the staff in Velden 450 at 12:30."
    question = "How many staff are in Velden?"
    assert holds("In Velden are 450 staff.", question, passage)
    assert not holds("In Velden are 312 staff.", question, passage)


@pytest.mark.parametrize(
    ("question", "sentence", "passage"),
    [
        (
            "How many beds does Ward 12 have?",
            "Ward 12 has 28 beds.",
            "Ward 12 is on the third floor and has 28 beds in 11 rooms.",
        ),
        (
            "Wie viele Betten hat Station 12?",
            "Station 12 hat 28 Betten.",
            "Station 12 liegt im dritten Stock und hat 28 Betten in 11 Zimmern.",
        ),
        (
            "Combien de lits a l'unité 12 ?",
            "L'unité 12 a 28 lits.",
            "L'unité 12 est au troisième étage et a 28 lits.",
        ),
        (
            "What does the Model 450 weigh?",
            "The Model 450 weighs 38 kg.",
            "The Model 450 is made of steel and weighs 38 kg with its cover.",
        ),
    ],
)
def test_the_number_of_what_is_asked_about_is_no_rival_of_a_count(
    question: str, sentence: str, passage: str
) -> None:
    assert holds(sentence, question, passage)
    assert not holds(sentence.replace("28", "11").replace("38", "11"), question, passage)


@pytest.mark.parametrize(
    ("question", "right", "wrong", "passage"),
    [
        (
            "How many beds does Ward 12 have?",
            "Ward 12 has 28 beds.",
            "Ward 12 has 30 beds.",
            "Ward 11 has 30 beds and Ward 12 has 28 beds.",
        ),
        (
            "How many seats has Room 204?",
            "Room 204 has 16 seats.",
            "Room 204 has 90 seats.",
            "Room 204 has 16 seats. Room 205 has 90 seats.",
        ),
        (
            "How fast is line 3?",
            "Line 3 runs at 45 km/h.",
            "Line 3 runs at 60 km/h.",
            "Line 3 runs at 45 km/h and line 4 at 60 km/h.",
        ),
        (
            "Wie viele Betten hat Station 12?",
            "Station 12 hat 28 Betten.",
            "Station 12 hat 30 Betten.",
            "Station 11 hat 30 Betten, Station 12 hat 28 Betten.",
        ),
        (
            "¿Cuántas camas tiene la sala 12?",
            "La sala 12 tiene 28 camas.",
            "La sala 12 tiene 30 camas.",
            "La sala 11 tiene 30 camas y la sala 12 tiene 28 camas.",
        ),
    ],
)
def test_the_figure_of_another_number_of_a_name_is_not_that_of_the_asked_one(
    question: str, right: str, wrong: str, passage: str
) -> None:
    assert holds(right, question, passage)
    assert not holds(wrong, question, passage)


@pytest.mark.parametrize(
    ("question", "sentence", "passage"),
    [
        (
            "How many beds does Ward 11 have?",
            "Ward 11 has 30 beds.",
            "There are 28 beds in Ward 12 and 30 beds in Ward 11.",
        ),
        (
            "How many beds does Ward 12 have?",
            "Ward 12 has 28 beds.",
            "Ward 12 is next to Ward 11 and has 28 beds.",
        ),
        (
            "Which ward has 30 beds?",
            "Ward 11 has 30 beds.",
            "Ward 11 has 30 beds and Ward 12 has 28 beds.",
        ),
    ],
)
def test_a_name_with_a_number_beside_a_figure_does_not_take_it_from_its_own(
    question: str, sentence: str, passage: str
) -> None:
    assert holds(sentence, question, passage)
