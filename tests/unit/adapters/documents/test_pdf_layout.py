"""A page's text from the places of its lines, without a PDF."""

from __future__ import annotations

from docwell.adapters.documents.pdf_layout import Line, edges, headings, lay_out, rows

LOW, HIGH = 0.0, 800.0


def line(text: str, y: float, x: float = 50.0, size: float = 10.0, *, bold: bool = False) -> Line:
    """A line whose letters are half as wide as they are high."""
    return Line(text, x, x + len(text) * size / 2, y, size, bold)


def page(head: str, *body: str, foot: str = "") -> list[Line]:
    lines = [line(head, 760), *(line(text, 700 - 12 * at) for at, text in enumerate(body))]
    return [*lines, line(foot, 40)] if foot else lines


def texts(*pages: list[Line]) -> list[str]:
    """Return each page's text, laid out after its two predecessors."""
    seen: list[list[Line]] = []
    found = []
    for lines in pages:
        earlier = {back: seen[-back] for back in (1, 2) if back <= len(seen)}
        found.append(lay_out(lines, LOW, HIGH, earlier).text)
        seen.append(edges(rows(lines), LOW, HIGH))
    return found


def test_what_an_earlier_page_has_at_the_same_place_is_left_out() -> None:
    first = page("Annual report", "One thing.", "And more.", foot="page 1 of 9")
    second = page("Annual report", "Another thing.", "And more.", foot="page 2 of 9")
    assert texts(first, second) == [
        "Annual report\n\nOne thing.\nAnd more.\n\npage 1 of 9",
        "Another thing.\nAnd more.",
    ]


def test_left_and_right_pages_have_heads_of_their_own() -> None:
    pages = [page(head, f"Text {at}.", "More.") for at, head in enumerate(["Left", "Right", "Left", "Right"])]
    assert [text.split("\n")[0] for text in texts(*pages)] == ["Left", "Right", "Text 2.", "Text 3."]


def test_a_number_that_does_not_grow_with_the_page_is_text() -> None:
    pages = [page("Total 1200", "a", "b"), page("Total 1300", "a", "b")]
    assert texts(*pages)[1].startswith("Total 1300")


def test_a_line_in_larger_type_is_no_running_head() -> None:
    slides = [[line("Revenue", 760, size=24), line(f"Slide {at}.", 700), line("Text.", 688)] for at in (1, 2)]
    assert texts(*slides)[1].startswith("Revenue")


def test_a_bold_line_is_no_running_head() -> None:
    pages = [[line("Acme Inc.", 760, bold=True), line(f"Balance {at}.", 700), line("Text.", 688)] for at in (1, 2)]
    assert texts(*pages)[1].startswith("Acme Inc.")


def test_lines_that_no_gap_sets_apart_stay() -> None:
    table = [line(f"Name and value {at}", 780 - 12 * at) for at in range(30)]
    assert texts(table, table)[1] == texts(table)[0]


def test_a_page_that_says_only_what_was_said_keeps_it() -> None:
    assert texts(page("Blank on purpose"), page("Blank on purpose")) == ["Blank on purpose"] * 2


def test_a_superscript_stays_in_its_line() -> None:
    lines = [line("area in km", 500), line("2", 504, x=101, size=7), line(" of land", 500, x=105)]
    assert lay_out(lines, LOW, HIGH, {}).text == "area in km2 of land"


def test_cells_of_a_row_are_one_line_and_columns_are_not() -> None:
    row = [line("Net sales", 500), line("10.2", 500, x=130)]
    assert lay_out(row, LOW, HIGH, {}).text == "Net sales 10.2"
    columns = [line("left", 500), line("right", 500, x=400)]
    assert lay_out(columns, LOW, HIGH, {}).text == "left\nright"


def test_a_gap_begins_a_paragraph() -> None:
    body = [line(text, 700 - 12 * at) for at, text in enumerate(["One", "two.", "Three", "four."])]
    gap = [*body, *(moved._replace(baseline=moved.baseline - 60) for moved in body)]
    assert lay_out(gap, LOW, HIGH, {}).text == "One\ntwo.\nThree\nfour.\n\nOne\ntwo.\nThree\nfour."


def test_a_wider_gap_in_a_table_begins_no_paragraph() -> None:
    table = [line("Cash 10", 500), line("Debt 12", 488), line("Total 22", 470), line("Note", 440)]
    assert lay_out(table, LOW, HIGH, {}).text == "Cash 10\nDebt 12\nTotal 22\n\nNote"


def test_a_word_cut_at_a_line_end_goes_on_below_or_in_the_next_column() -> None:
    for y in (688, 750):
        lines = [line("the informa\ufffe", 700), line("tion", y)]
        assert lay_out(lines, LOW, HIGH, {}).text == "the informa\ufffetion"
    foot = [line("the informa\ufffe", 700), line("page 7", 40)]
    assert lay_out(foot, LOW, HIGH, {}).text == "the informa-\n\npage 7"


def test_a_line_up_the_page_joins_nothing() -> None:
    stamp = line("arXiv", 500)._replace(level=False)
    assert lay_out([line("Text", 500, x=20), stamp], LOW, HIGH, {}).text == "Text\narXiv"


def test_headings_are_larger_or_bold() -> None:
    lines = [
        line("The report", 700, size=18),
        line("Results", 660, bold=True),
        line("Plain text.", 648),
        line("small print", 600, size=7, bold=True),
        line("1,234", 580, size=18),
    ]
    assert headings(lines, 10.0) == [("The report", 18), ("Results", 10.2)]


def test_a_watermark_or_a_large_first_letter_is_no_heading() -> None:
    slanted = line("DRAFT", 300, size=60)._replace(level=False)
    assert headings([slanted, line("T", 600, size=40), line("he text", 620)], 10.0) == []
    column = line("第一章", 600, size=20)._replace(level=False)
    assert headings([column, line("序", 600, size=20)], 10.0) == [("第一章", 20), ("序", 20)]


def test_a_table_written_by_column_is_read_by_row() -> None:
    names = [line(text, 500 - 12 * at) for at, text in enumerate(("Net sales", "Costs", "Profit"))]
    values = [line(text, 500 - 12 * at, x=300) for at, text in enumerate(("1,200", "900", "300"))]
    assert lay_out([*values, *names], LOW, HIGH, {}).text == "Net sales 1,200\nCosts 900\nProfit 300"


def test_lines_of_two_columns_of_prose_stay_apart() -> None:
    words = "the rate of each sample depends on it"
    left = [line(words, 700 - 12 * at, size=8) for at in range(6)]
    right = [line(f"{words} in {at}", 700 - 12 * at, x=320, size=8) for at in range(6)]
    row = [line("Note here", 700 - 12 * 6, size=8), line("4,711", 700 - 12 * 6, x=320, size=8)]
    text = lay_out([*left, *right, *row], LOW, HIGH, {}).text
    assert text.split() == " ".join([*[words] * 6, *(line.text for line in right), "Note here 4,711"]).split()
