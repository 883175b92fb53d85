"""Answers of yes and no."""

from __future__ import annotations

import pytest

from docwell.query.checking.polarity import (
    asks_yes_or_no,
    contradicts,
    is_yes_or_no,
    verdict,
    without_yes_or_no,
)

PASSAGES = [
    "The filter lasts 6 months and is not washed. Do not open the cover while the motor runs.",
    "Visitors may enter the hall. Staff cannot enter without a badge. The fuel lasts 52 hours.",
    "Überstunden werden nicht bezahlt. Il ne faut pas utiliser l'appareil dehors. 乙方不得转租房屋。",
]


def agrees(answer: str, question: str) -> bool:
    found = verdict(answer, question, PASSAGES)
    assert found is not None
    return found.agrees


@pytest.mark.parametrize(
    ("question", "right"),
    [
        ("Is the filter washed?", "No"),
        ("Isn't the filter washed?", "No"),
        ("May visitors enter the hall?", "Yes"),
        ("Can't visitors enter the hall?", "Yes"),
        ("Can staff enter without a badge?", "No"),
        ("Does the fuel last 60 hours?", "No"),
        ("Does the fuel last 52 hours?", "Yes"),
        ("Werden Überstunden bezahlt?", "Nein"),
        ("Faut-il utiliser l'appareil dehors ?", "Non"),
        ("乙方可以转租房屋吗", "不可以"),
    ],
)
def test_a_bare_answer_agrees_with_the_sentence_that_decides(question: str, right: str) -> None:
    opposite = {"No": "Yes", "Yes": "No", "Nein": "Ja", "Non": "Oui", "不可以": "可以"}
    assert agrees(f"{right} [1].", question)
    assert not agrees(f"{opposite[right]} [1].", question)


@pytest.mark.parametrize(
    ("question", "text", "right"),
    [
        ("Is the deposit non-refundable?", "The deposit is non-refundable.", "Yes"),
        ("Is the material of wall A non-combustible?", "Wall A uses non-combustible material.", "Yes"),
        ("Is form 5 required for visitors?", "Form No. 5 is required for all visitors.", "Yes"),
        ("Does section 5 apply to tenants?", "Section 5 (No 12 of 2020) applies to tenants.", "Yes"),
        ("Is the sample size n = 30 used?", "A sample size n = 30 is used.", "Yes"),
        ("Is the N95 mask required?", "An N-95 mask is required in the lab.", "Yes"),
        ("Isn't the boiler open?", "The boiler isn't open.", "No"),
        ("Is the boiler open?", "The boiler isn\u2019t open.", "No"),
        ("La porte est-elle ouverte ?", "La porte n'est ouverte que le lundi.", "No"),
        ("Does the lease start in May?", "Start of the lease: 3. Mai 2024, in May.", "Yes"),
        ("Are there pets?", "There are no pets in the house.", "No"),
    ],
)
def test_only_a_word_that_denies_the_sentence_makes_it_a_no(question: str, text: str, right: str) -> None:
    for said in ("Yes", "No"):
        found = verdict(f"{said} [1].", question, [text])
        assert found is not None
        assert found.agrees is (said == right)


def test_a_bare_answer_that_no_sentence_decides_does_not_agree() -> None:
    assert not agrees("No [1].", "Is there a swimming pool for children?")
    assert not agrees("Yes [1].", "Is there a swimming pool for children?")


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("No, the filter is not washed [1].", True),
        ("Yes, the filter is washed [1].", False),
        ("No, the filter lasts 6 months [1].", True),
        ("Nein, Überstunden werden nicht bezahlt [3].", True),
        ("Ja, Überstunden werden bezahlt [3].", False),
    ],
)
def test_a_longer_answer_is_denied_where_its_sentence_is(answer: str, *, right: bool) -> None:
    assert agrees(answer, "Is it so?") is right


def test_the_passage_that_decides_is_found() -> None:
    found = verdict("Yes [1].", "May visitors enter the hall?", PASSAGES)
    assert found is not None
    assert (found.passage, found.bare) == (1, True)


@pytest.mark.parametrize("text", ["No patient was lost [1].", "The filter is washed.", "Sitting is allowed.", ""])
def test_other_sentences_are_no_answers_of_yes_and_no(text: str) -> None:
    assert not is_yes_or_no(text)
    assert verdict(text, "Is it?", PASSAGES) is None


@pytest.mark.parametrize(
    "question",
    [
        "Is the deposit refundable?",
        "Isn\u2019t the deposit refundable?",
        "According to the handbook, are dogs allowed in the lounge?",
        "Darf man im Saal rauchen?",
        "Y a-t-il un parking ?",
        "La porte est-elle ouverte ?",
        "L'entrée est-elle libre ?",
        "¿Se permite fumar?",
        "乙方可以转租房屋吗\uff1f",
        "是否可以转租\uff1f",
    ],
)
def test_a_question_for_yes_or_no_is_known_by_its_verb(question: str) -> None:
    assert asks_yes_or_no(question)


@pytest.mark.parametrize(
    "question",
    [
        "Where are dogs allowed?",
        "Who may enter?",
        "In which hall may visitors smoke?",
        "How many are there?",
        "Wann ist die Halle offen?",
        "Quand la porte est-elle ouverte ?",
        "Combien y a-t-il de places ?",
        "¿Dónde se permite fumar?",
        "谁可以转租\uff1f",
        "Island ferries: how many?",
    ],
)
def test_a_question_for_something_else_asks_no_yes_or_no(question: str) -> None:
    assert not asks_yes_or_no(question)


HELP = (
    "Can I smoke in the rooms? No, there are fines. Is breakfast included? Yes. "
    "Are pets welcome? Pets are not welcome."
)


@pytest.mark.parametrize(
    ("question", "right"),
    [
        ("Can I smoke in the rooms?", "No"),
        ("Is breakfast included?", "Yes"),
        ("Are pets welcome?", "No"),
    ],
)
def test_a_question_of_the_passage_is_decided_by_its_answer(question: str, right: str) -> None:
    for said in ("Yes", "No"):
        found = verdict(f"{said} [1].", question, [HELP])
        assert found is not None
        assert found.agrees is (said == right)


@pytest.mark.parametrize(
    ("sentence", "denied"),
    [
        ("You can smoke in the rooms.", True),
        ("You cannot smoke in the rooms.", False),
        ("Breakfast is included.", False),
        ("Breakfast is not included.", True),
        ("Pets are welcome.", True),
    ],
)
def test_a_question_of_the_passage_states_nothing_by_itself(sentence: str, *, denied: bool) -> None:
    assert contradicts(sentence, [HELP]) is denied


def test_a_passage_of_questions_alone_decides_nothing() -> None:
    assert verdict("Yes [1].", "Is it open?", ["Is it open?"]) is None
    assert not contradicts("It is open on Sunday.", ["Is it open on Sunday?"])


BOUNDED = [
    ("Bills must be paid no later than 30 days after receipt.", "Bills must be paid within 30 days of receipt"),
    ("The deposit may not exceed the rent of two months.", "The deposit is limited to the rent of two months"),
    ("Goods must not be kept for more than 14 days.", "Goods may be kept for up to 14 days"),
    ("Die Kaution darf 900 Euro Miete nicht übersteigen.", "Die Kaution darf höchstens 900 Euro Miete sein"),
    ("Die Ware darf nicht länger als 14 Tage lagern.", "Die Ware darf bis zu 14 Tage lagern"),
    ("La caution ne doit pas dépasser deux loyers.", "La caution doit être de deux loyers au plus"),
    ("La fianza no podrá superar dos rentas.", "La fianza podrá ser de hasta dos rentas"),
    ("押金不得超过两个月租金。", "押金最多为两个月租金"),
]


@pytest.mark.parametrize(("text", "said"), BOUNDED)
def test_a_negation_that_bounds_denies_nothing_else(text: str, said: str) -> None:
    assert not contradicts(said, [text])
    assert not contradicts(text, [said])
    found = verdict(f"Yes, {said}.", said, [text])
    assert found is not None
    assert found.agrees


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Bills must not be paid later than 30 days after receipt.", "Bills must be paid later than 30 days"),
        ("The deposit may not exceed the rent of two months.", "The deposit may exceed the rent of two months"),
        ("Goods must not be kept for more than 14 days.", "Goods must be kept for more than 14 days"),
        ("Goods must not be kept for more than 14 days.", "Goods must not be kept for 14 days"),
        ("Die Kaution darf 900 Euro nicht übersteigen.", "Die Kaution darf 900 Euro übersteigen"),
        ("Il n'y a plus de places dans la salle.", "Il y a des places dans la salle"),
        ("The pool is no longer open in winter.", "The pool is open in winter"),
    ],
)
def test_a_negation_denies_the_bound_itself(text: str, said: str) -> None:
    found = verdict("Yes.", f"{said}?", [text])
    assert found is not None
    assert contradicts(said, [text]) or not found.agrees


@pytest.mark.parametrize(
    ("text", "question", "no", "yes"),
    [
        ("Fishing from the pier is prohibited.", "Is fishing from the pier allowed?", "No", "Yes"),
        ("Drones are banned in the park.", "May drones fly in the park?", "No", "Yes"),
        ("Das Befahren der Wiese ist untersagt.", "Ist das Befahren der Wiese erlaubt?", "Nein", "Ja"),
        ("La baignade est interdite au port.", "La baignade est-elle autorisée au port ?", "Non", "Oui"),
        ("Está prohibido pescar en el puerto.", "¿Está permitido pescar en el puerto?", "No", "Sí"),
        ("È vietato pescare nel porto.", "È permesso pescare nel porto?", "No", "Sì"),
        ("É proibido pescar no porto.", "É permitido pescar no porto?", "Não", "Sim"),
        ("Купание в порту запрещено.", "Разрешено ли купание в порту?", "Нет", "Да"),
        ("السباحة في الميناء ممنوعة.", "هل السباحة في الميناء مسموحة؟", "لا", "نعم"),
        ("港口内禁止钓鱼。", "港口内可以钓鱼吗?", "不可以", "可以"),
        ("Não é servido almoço no domingo.", "É servido almoço no domingo?", "Não", "Sim"),
        ("لا يفتح المتجر يوم الأحد.", "هل يفتح المتجر يوم الأحد؟", "لا", "نعم"),
    ],
)
def test_a_ban_and_a_denial_are_a_no_in_each_language(text: str, question: str, no: str, yes: str) -> None:
    for said, right in ((no, True), (yes, False)):
        found = verdict(f"{said}.", question, [text])
        assert found is not None
        assert (found.bare, found.agrees) == (True, right)
        assert not right or found.share >= 0.5
    found = verdict(f"{no}, {text}", question, [text])
    assert found is not None
    assert found.agrees
    found = verdict(f"{yes}, {question.rstrip('?؟ ')}.", question, [text])
    assert found is not None
    assert not found.agrees


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Fishing from the pier is prohibited.", "Is fishing from the pier prohibited?"),
        ("Fishing from the pier is not prohibited.", "Is fishing from the pier allowed?"),
        ("Fishing is prohibited except from the pier.", "Is fishing from the pier allowed?"),
        ("Fishing is allowed from the pier and prohibited elsewhere.", "Is fishing allowed from the pier?"),
        ("Visitors may fish from the pier. Swimming is prohibited.", "May visitors fish from the pier?"),
        ("The sign says that fishing is prohibited.", "Does the sign mention fishing?"),
        ("يفتح المتجر يوم الأحد.", "هل يفتح المتجر يوم الأحد؟"),
        ("Das Befahren der Wiese ist gestattet.", "Darf man die Wiese befahren?"),
    ],
)
def test_a_ban_is_no_answer_to_what_is_not_asked_leave_for(text: str, question: str) -> None:
    found = verdict("Yes.", question, [text])
    assert found is not None
    assert found.agrees


def test_the_yes_or_no_before_the_rest_is_no_word_to_support() -> None:
    assert without_yes_or_no("Sim, funciona aos domingos.") == "funciona aos domingos."
    assert without_yes_or_no("No.") == "No."
    assert without_yes_or_no("Nova opens at nine.") == "Nova opens at nine."
