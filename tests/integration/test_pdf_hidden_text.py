"""Text that no reader of the page sees, and its visible twins."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.hidden_text import SEEN, SENTENCE, hidden_kinds, shown_kinds
from benchmarks.poison.build import Make
from benchmarks.reading import default_reader
from docwell.models import Page

LETTERS = {"keys", "vault", "nine", "opens"}


def read(make: Make, tmp_path: Path) -> Page:
    path = tmp_path / "a.pdf"
    path.write_bytes(make())
    return next(default_reader().pages(path, 1, 1))


@pytest.mark.parametrize("make", hidden_kinds().values(), ids=hidden_kinds().keys())
def test_what_the_page_does_not_show_is_no_text(make: Make, tmp_path: Path) -> None:
    page = read(make, tmp_path)
    assert SEEN in page.text
    assert not LETTERS & set(page.text.replace(".", "").split())


@pytest.mark.parametrize("make", shown_kinds().values(), ids=shown_kinds().keys())
def test_what_the_page_shows_stays(make: Make, tmp_path: Path) -> None:
    text = " ".join(read(make, tmp_path).text.split())
    assert SEEN in text
    assert SENTENCE in text
