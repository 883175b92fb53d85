"""Section paths from the lines that typography sets off, and the headings of chunks."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from docwell.ingest.chunking import chunk_pages
from docwell.ingest.outline import Outline, shown
from docwell.models import Heading, Page
from tests.unit.fakes import FakeEmbedder

TITLE, SECTION, PART = 20.0, 14.0, 10.2


def page(number: int, text: str, **sizes: float) -> Page:
    """A page with these headings; `_` is a blank."""
    found = tuple(Heading(name.replace("_", " "), size) for name, size in sizes.items())
    return Page(number, text, headings=found)


def paths(*pages: Page) -> list[tuple[str, ...]]:
    outline = Outline()
    return [section.path for one in pages for section in outline.read(one)]


def test_a_heading_closes_those_of_its_size_and_smaller() -> None:
    first = page(1, "Report\nAims\na\nPart\nb\nEnds\nc", Report=TITLE, Aims=SECTION, Part=PART, Ends=SECTION)
    assert paths(first) == [("Report",), ("Report", "Aims"), ("Report", "Aims", "Part"), ("Report", "Ends")]


def test_a_section_is_forgotten_after_ten_pages() -> None:
    pages = [page(1, "Report\na", Report=TITLE), *(Page(number, "b") for number in range(2, 11))]
    assert paths(*pages, page(10, "Part\nc", Part=PART))[-1] == ("Report", "Part")
    assert paths(*pages, page(11, "Part\nc", Part=PART))[-1] == ("Part",)


def test_a_heading_of_two_lines_is_one() -> None:
    assert paths(page(1, "On the\nMatter\ntext", On_the=TITLE, Matter=TITLE)) == [("On the Matter",)]


@pytest.mark.parametrize("row", ["Net sales 10 12 13", "and so on", "It ends.", "$ 1,200 %", "• a risk"])
def test_rows_and_sentences_are_no_headings(row: str) -> None:
    assert paths(Page(1, f"{row}\ntext", headings=(Heading(row, SECTION),))) == []


def test_a_block_of_large_type_is_text() -> None:
    lines = ["Words in", "large type", "on many", "lines here"]
    assert paths(Page(1, "\n".join(lines), headings=tuple(Heading(text, TITLE) for text in lines))) == []


def test_a_chunk_has_the_path_over_it_without_its_own_first_line() -> None:
    text = "Report\n" + "word " * 12 + "\nEnds\n" + "other " * 12
    found = list(chunk_pages([page(1, text, Report=TITLE, Ends=SECTION)], FakeEmbedder(), 16))
    assert [(chunk.text.split()[0], chunk.heading) for chunk in found] == [("Report", ""), ("Ends", "Report")]
    later = list(chunk_pages([page(1, text, Report=TITLE, Ends=SECTION), Page(2, "more")], FakeEmbedder(), 16))
    assert later[-1].heading == "Report > Ends"


def test_a_heading_has_the_last_three_levels_of_its_path_and_then_the_opening() -> None:
    assert shown(["Report", "Results", "Revenue", "Europe"]) == "Results > Revenue > Europe"
    assert shown(["Assets"], ["Acme", "Balance Sheet"]) == "Assets > Acme Balance Sheet"


STATEMENT = ["Acme Corporation", "Balance Sheet", "(in millions)"]
ROWS = ["Cash and what is held as cash 1 2", "Debts that others are to pay us 3 4", "Goods that wait for sale 5 6"]


def headings(lines: Sequence[str], **sizes: float) -> list[str]:
    return [chunk.heading for chunk in chunk_pages([page(1, "\n".join(lines), **sizes)], FakeEmbedder(), 16)]


def test_the_short_lines_that_a_page_opens_with_are_the_heading_of_its_other_chunks() -> None:
    first, *others = headings([*STATEMENT, *ROWS])
    assert (first, set(others)) == ("", {"Acme Corporation Balance Sheet (in millions)"})


def test_what_a_page_opens_with_stands_behind_its_sections_without_saying_anything_twice() -> None:
    lines = [*STATEMENT, ROWS[0], "Assets", *ROWS[1:]]
    assert headings(lines, Acme_Corporation=TITLE, Assets=SECTION)[-1] == (
        "Acme Corporation > Assets > Balance Sheet (in millions)"
    )


def test_an_opening_has_four_lines_at_most_and_lines_without_a_letter_are_none() -> None:
    opening = ["12", "Acme", "Balance Sheet", "in millions", "31 December", "Assets"]
    assert headings([*opening, *ROWS])[-1] == "Acme Balance Sheet in millions 31 December"


def test_nothing_of_one_page_is_the_opening_of_the_next() -> None:
    pages = [Page(1, "\n".join([*STATEMENT, *ROWS])), Page(2, "\n".join(ROWS))]
    assert {chunk.heading for chunk in chunk_pages(pages, FakeEmbedder(), 16) if chunk.page == 2} == {""}


def test_a_chunk_ends_before_a_heading_that_only_its_type_sets_off() -> None:
    text = "one two three four five six\nEnds as they were seen by all\nsix seven eight nine ten eleven twelve"
    first = next(iter(chunk_pages([page(1, text, Ends_as_they_were_seen_by_all=SECTION)], FakeEmbedder(), 10)))
    assert first.text == "one two three four five six"
