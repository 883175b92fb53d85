"""Text whose look tells what it says: raised, struck out, or drawn by a font of signs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pptx.util import Inches

from tests.unit.adapters.documents.made import parts_of, presentation, run, saved, word

PLAIN, RAISED, STRUCK = "", "raised", "struck"
TAGS = {PLAIN: "span", RAISED: "sup", STRUCK: "del"}
MARKS = {PLAIN: "", RAISED: '<w:vertAlign w:val="superscript"/>', STRUCK: "<w:strike/>"}
BOX = '<w:fldChar w:fldCharType="begin"><w:ffData>{}</w:ffData></w:fldChar>'
LIST = '<w:ddList><w:result w:val="1"/><w:listEntry w:val="Bonn"/><w:listEntry w:val="Kiel"/></w:ddList>'


def of_page(runs: list[tuple[str, str]]) -> bytes:
    return f"<!doctype html><p>{''.join(f'<{TAGS[look]}>{text}</{TAGS[look]}>' for text, look in runs)}".encode()


def of_word(runs: list[tuple[str, str]]) -> bytes:
    def body(document: Any) -> None:
        paragraph = document.add_paragraph()._p
        for text, look in runs:
            paragraph.append(run(f'<w:rPr>{MARKS[look]}</w:rPr><w:t xml:space="preserve">{text}</w:t>'))

    return word(body)


def of_slide(runs: list[tuple[str, str]]) -> bytes:
    made = presentation()
    frame = made.slides.add_slide(made.slide_layouts[6]).shapes.add_textbox(*[Inches(1)] * 4).text_frame
    for text, look in runs:
        added = frame.paragraphs[0].add_run()
        added.text = text
        for name, value in {RAISED: [("baseline", "30000")], STRUCK: [("strike", "sngStrike")]}.get(look, []):
            added.font._element.set(name, value)
    return saved(made)


@pytest.mark.parametrize("made", [of_page, of_word, of_slide])
@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([("10", PLAIN), ("6", RAISED), (" items", PLAIN)], "10^6 items"),
        ([("10", PLAIN), ("\u22126", RAISED)], "10^\u22126"),
        ([("1,234", PLAIN), ("3", RAISED)], "1,234^3"),
        ([("5 m", PLAIN), ("2", RAISED)], "5 m2"),
        ([("1", PLAIN), ("st", RAISED)], "1st"),
        ([("10", PLAIN), ("6", PLAIN)], "106"),
        ([("Price: ", PLAIN), ("90", STRUCK), ("80 EUR", PLAIN)], "Price: 80 EUR"),
    ],
)
def test_a_figure_is_the_one_that_a_reader_sees(
    made: Callable[[list[tuple[str, str]]], bytes], runs: list[tuple[str, str]], expected: str
) -> None:
    part = parts_of(made(runs))[0][-1]
    assert part.text == expected
    assert part.hidden == sum(len(text) for text, look in runs if look == STRUCK)


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ('<w:sym w:font="Symbol" w:char="F0B3"/>', "\u2265"),
        ('<w:sym w:font="Wingdings" w:char="F0FE"/>', "\u2611"),
        ('<w:sym w:font="Wingdings" w:char="F0A8"/>', "\u2610"),
        ('<w:sym w:font="Wingdings" w:char="F04A"/>', ""),
        ('<w:sym w:font="Symbol" w:char="x"/>', ""),
        (BOX.format('<w:checkBox><w:default w:val="0"/><w:checked/></w:checkBox>'), "\u2612"),
        (BOX.format('<w:checkBox><w:default w:val="1"/><w:checked w:val="0"/></w:checkBox>'), "\u2610"),
        (BOX.format('<w:checkBox><w:default w:val="1"/></w:checkBox>'), "\u2612"),
        (BOX.format(LIST), "Kiel"),
        (BOX.format("<w:ddList/>"), ""),
    ],
)
def test_a_sign_of_a_symbol_font_is_text(inner: str, expected: str) -> None:
    part = parts_of(word(lambda document: document.add_paragraph("Limit ")._p.append(run(inner))))[0][0]
    assert part.text == f"Limit {expected}".rstrip()
