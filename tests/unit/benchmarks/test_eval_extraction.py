"""The measures of `make eval-extraction`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.defects import defects
from benchmarks.extraction import ratio
from benchmarks.forms import COMMENTS, FIELDS, FORMS, forms
from benchmarks.scripts import found


def plain(text: str, other: str) -> float:
    """The same by the textbook's table."""
    row = [0] * (len(other) + 1)
    for letter in text:
        diagonal = 0
        for at, other_letter in enumerate(other, 1):
            diagonal, row[at] = row[at], diagonal + 1 if letter == other_letter else max(row[at], row[at - 1])
    return 2 * row[-1] / (len(text) + len(other)) if text or other else 1.0


@given(st.text(alphabet="abc日", max_size=40), st.text(alphabet="abc日", max_size=40))
def test_the_ratio_is_that_of_the_longest_common_subsequence(text: str, other: str) -> None:
    assert ratio(text, other) == pytest.approx(plain(text, other))


def test_known_ratios() -> None:
    assert ratio("kitten", "sitting") == pytest.approx(8 / 13)
    assert (ratio("", ""), ratio("a", ""), ratio("same", "same")) == (1.0, 0.0, 1.0)


GOOD = "The financial office offers a profit to the affiliated staff. " * 60


@pytest.mark.parametrize(
    ("text", "defect"),
    [
        ("A nancial report.", "lost nancial (financial)"),
        ("The ofce of the chair.", "lost ofce (office)"),
        ("The fi nancial year.", "split fi nancial"),
        ("A pro\ufb01t.", "form '\\ufb01'"),
        ("Sales were 1 ,234 units.", "number 1 ,234"),
        ("Sales were 12,3 45 units.", "number 12,3 45"),
    ],
)
def test_a_defect_is_counted_once(text: str, defect: str) -> None:
    assert defects([GOOD, text])[0] == {defect: 1}


def test_good_text_has_no_defect() -> None:
    text = "Sections 12, 345 and 2019, 1,234 of 5,678 in 1.5, off the staff and stiff office."
    counted, words = defects([GOOD, text])
    assert not counted
    assert words > 420


def test_excerpts_are_found_whatever_their_white_space_and_marks_of_direction() -> None:
    truth = "السلام عليكم ورحمة الله وبركاته " * 5
    spaced = "\u202b" + truth.replace(" ", "\n") + "\u202c"
    assert found([truth], spaced) == (3, 3)
    assert found([truth], truth[::-1]) == (0, 3)
    assert found(["short"], "short") == (0, 0)


def test_the_made_up_forms_have_values_and_comments_and_empty_fields() -> None:
    made = list(forms())
    assert len(made) == FORMS
    assert max(len(expected) for _, expected in made) <= FIELDS + COMMENTS
    assert sum(len(expected) for _, expected in made) < FORMS * (FIELDS + COMMENTS)
    assert sum(len(expected) for _, expected in made) > FORMS * 20
