"""Hidden text, and the same text when the page shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.hidden_text import SEEN, SENTENCE, heavy_kinds, kinds
from benchmarks.poison.kinds import Make, one_page, stream
from benchmarks.reading import default_reader
from docwell.models import Page

LETTERS = {"keys", "vault", "nine", "opens"}


def read(make: Make, tmp_path: Path) -> Page:
    path = tmp_path / "a.pdf"
    path.write_bytes(make())
    return next(default_reader().pages(path, 1, 1))


@pytest.mark.parametrize("make", kinds("hidden").values(), ids=kinds("hidden").keys())
def test_hidden_text_is_left_out(make: Make, tmp_path: Path) -> None:
    page = read(make, tmp_path)
    assert SEEN in page.text
    assert not LETTERS & set(page.text.replace(".", "").split())


@pytest.mark.parametrize("make", kinds("shown").values(), ids=kinds("shown").keys())
def test_visible_text_is_kept(make: Make, tmp_path: Path) -> None:
    text = " ".join(read(make, tmp_path).text.split())
    assert SEEN in text
    assert SENTENCE in text


@pytest.mark.parametrize("make", heavy_kinds().values(), ids=heavy_kinds().keys())
def test_a_page_that_takes_too_long_to_draw_keeps_all_its_text_and_is_marked(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(make())
    page = next(default_reader(parse_cpu_s=2.0).pages(path, 1, 1))
    assert page.unreadable is None
    assert page.text.split("\n\n") == [SEEN, SENTENCE, "Low."]
    assert (page.hidden, page.unchecked) == (0, True)


def test_hidden_characters_are_counted(tmp_path: Path) -> None:
    page = read(kinds("hidden")["white on white"], tmp_path)
    assert page.hidden == len(SENTENCE.replace(" ", ""))


def test_text_under_visible_words_is_found_among_many_colours(tmp_path: Path) -> None:
    lines = "".join(
        f"BT /F 9 Tf .9 .{number}5 .9 rg 72 {500 - 12 * number} Td (Row {number}.) Tj ET\n" for number in range(10)
    )
    secret = f"BT /F 12 Tf 1 g 72 600 Td ({SENTENCE}) Tj ET\n"
    over = "BT /F 12 Tf .8 g 72 600 Td (The door is locked.) Tj ET"
    text = read(lambda: one_page(stream((lines + secret + over).encode())), tmp_path).text
    assert "locked" in text
    assert not LETTERS & set(text.replace(".", "").split())
