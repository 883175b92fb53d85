"""The language of a question."""

from __future__ import annotations

import pytest

from docwell.query.question_words import is_in_other_language


@pytest.mark.parametrize(
    ("question", "is_other"),
    [
        ("How many people does Acme employ?", False),
        ("quarterly revenue Acme 2019", False),
        ("Who wrote Die Leiden des jungen Werther?", False),
        ("Who is Nguyễn Thị Ánh Tuyết?", False),
        ("What did Nguyễn Tấn Dũng and Trần Đại Quang sign?", False),
        ("Một chiếc cốc có giá bao nhiêu tiền ở cửa hàng?", True),
        ("Acme", False),
        ("2019?", False),
        ("", False),
        ("Wie viele Mitarbeiter hat die Firma?", True),
        ("Combien de salariés compte la société ?", True),
        ("¿Cuántos empleados tiene la empresa?", True),
        ("公司有多少员工", True),
        ("Сколько сотрудников в компании?", True),
    ],
)
def test_another_language_is_known_by_its_words_or_its_script(question: str, is_other: bool) -> None:
    assert is_in_other_language(question, "en") is is_other
