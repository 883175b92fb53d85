"""Which text of a web page its own style rules hide."""

from __future__ import annotations

import pytest

from tests.unit.adapters.documents.made import parts_of

TABS = ".tab{display:none} .tab.active{display:block}"


@pytest.mark.parametrize(
    ("style", "body", "shown"),
    [
        ("p{backface-visibility:hidden}", "<p>Seen", "Seen"),
        ("", "<p style='-webkit-backface-visibility: hidden'>Seen", "Seen"),
        ("p::before{display:none} p:hover{display:none}", "<p>Seen", "Seen"),
        (TABS, "<p class=tab>no<p class='tab active'>Seen", "Seen"),
        (".no{display:none} p{display:block}", "<p class=no>no<p>Seen", "Seen"),
        ("p{display:none!important} #a{display:block}", "<p id=a>no<div>Seen", "Seen"),
        (".no{visibility:hidden} .no{display:block}", "<p class=no>no<p>Seen", "Seen"),
        (".no, .other{display:none}", "<p class=no>no<p>Seen", "Seen"),
        (".a{display:none}", "<p class=a style='display:block'>Seen", "Seen"),
        ("", "<dialog>no</dialog><dialog open>Seen</dialog>", "Seen"),
        (".a{display:block}", "<p class=a style='display:none'>no<p>Seen", "Seen"),
    ],
)
def test_the_rule_that_wins_hides_or_shows(style: str, body: str, shown: str) -> None:
    assert parts_of(f"<html><style>{style}</style>{body}".encode())[0][0].text == shown


def test_the_title_of_a_drawing_is_not_that_of_the_page() -> None:
    drawing = "<p>Seen<svg><title>Close</title></svg>"
    assert parts_of(f"<html><body>{drawing}".encode())[1].title is None
    assert parts_of(f"<html><title>Guide</title><body>{drawing}".encode())[1].title == "Guide"
