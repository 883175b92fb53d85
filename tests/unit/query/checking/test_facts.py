"""Figures and names, however they are written."""

from __future__ import annotations

import pytest

from docwell.query.checking.facts import Known, figures, names


def stands(stated: str, known: str) -> bool:
    return all(Known.of([known]).has_figure(figure) for figure in figures(stated))


@pytest.mark.parametrize(
    ("stated", "known"),
    [
        ("1,234.5 litres", "1 234,5 litres"),
        ("1.234.567", "1,234,567"),
        ("$3.2 million", "3,200,000 dollars"),
        ("$3.2 million", "(in millions) 3.2"),
        ("12%", "12 percent"),
        ("seven pumps", "7 pumps"),
        ("7 pumps", "seven pumps"),
        ("in 1990", "the 1990s"),
        ("FY2022", "fiscal 2022"),
        ("5½ sacks", "5.5 sacks"),
        ("٢٠٢٦", "2026"),
        ("2022", "100 2022 300"),
        ("12\u202f345", "12345"),
        ("one of the two", "nothing"),
    ],
)
def test_a_figure_stands_however_it_is_written(stated: str, known: str) -> None:
    assert stands(stated, known)


@pytest.mark.parametrize(
    ("stated", "known"),
    [
        ("1,234", "1235"),
        ("in 2021", "in 2022"),
        ("four pumps", "seven pumps"),
        ("12.5%", "12 and 5"),
        ("12 345", "12"),
    ],
)
def test_another_figure_does_not_stand(stated: str, known: str) -> None:
    assert not stands(stated, known)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The boiler was made by Ostra Works in March.", ["Ostra", "Works", "March"]),
        ("Pumps stop. The Pumps office knows.", ["Pumps"]),
        ("When did the Normans meet King John of the U.S.?", ["Normans", "King", "John", "U.S."]),
        ("What does NASA say of the iPhone and B52?", ["NASA", "iPhone", "B52"]),
        ("Wie viele Pumpen hat die Verteidigung der Stadt, und wer ist NATO?", ["NATO"]),
        ("What Is The Capital Of France", []),
        ("WHO BUILT THE TOWER", []),
        ("ボイラーは毎年三月に点検されます", []),
        ("In FY2022 and the 1990s it grew.", []),
    ],
)
def test_names_are_what_stands_out_of_its_sentence(text: str, found: list[str]) -> None:
    assert [name.written for name in names(text)] == found


@pytest.mark.parametrize(
    ("stated", "known"),
    [
        ("the Normans", "a Norman castle"),
        ("of Aviles", "Pedro de Avilés"),
        ("by Ghandi", "Gandhi spoke"),
        ("the EPS", "earnings per share"),
        ("the United States", "the U.S. Army"),
        ("in Germany", "German law"),
        ("the Superbowl", "the Super Bowl"),
        ("at JnJ", "Johnson & Johnson"),
    ],
)
def test_a_name_stands_in_another_form(stated: str, known: str) -> None:
    assert all(Known.of([known]).has_name(name) for name in names(f"Ask about {stated}"))


@pytest.mark.parametrize(
    ("stated", "known"), [("by Boeing", "by Airbus"), ("the EU", "even under"), ("to Ann", "an")]
)
def test_another_name_does_not_stand(stated: str, known: str) -> None:
    assert not any(Known.of([known]).has_name(name) for name in names(f"Ask about {stated}"))
