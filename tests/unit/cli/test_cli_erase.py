"""The report of `docwell erase`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from docwell.cli.erase import Erased, remaining_copies
from docwell.cli.settings import Settings

LEFT = Erased("2026-11-26T12:00:00+00:00", ["a.pdf"], dry_run=False, left=["a.pdf"])


@pytest.mark.parametrize(
    ("found", "remains"),
    [
        (LEFT, True),
        (replace(LEFT, chroma_file="log emptied"), True),
        (replace(LEFT, chroma_file="log emptied, file rewritten"), False),
    ],
)
def test_text_remains_in_chromas_file_until_it_is_rewritten(found: Erased, *, remains: bool) -> None:
    copies = [place for place, _ in remaining_copies(Settings(), found)]
    assert ("text in free pages of Chroma's file" in copies) == remains
