"""The text of a page that is mostly a picture, by what a recogniser finds on it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from docwell.adapters.documents import ocr
from docwell.models import DocumentInfo, Page

OWN = Page(1, "stamp of May", label="iv", picture=True)


@dataclass
class OnePage:
    """A reader of a document of one page."""

    own: Page

    def inspect(self, path: Path) -> DocumentInfo:
        return DocumentInfo(1)

    def pages(self, path: Path, first: int, last: int) -> Generator[Page]:
        yield self.own


@dataclass
class Finding:
    """A recogniser's child that finds one text on each page."""

    text: str
    confidence: float | None
    cpu_s: float = 1.0

    def ask(self, request: str, cpu_s: float, deadline: float) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "kind": "page",
            "label": None,
            "hidden": 0,
            "headings": [],
            "units": [],
            "picture": False,
        }
        return answer | {"text": self.text, "confidence": self.confidence}

    def close(self) -> None:
        pass


def read(monkeypatch: pytest.MonkeyPatch, child: Finding, own: Page = OWN) -> Page:
    monkeypatch.setattr(ocr, "Child", lambda *_: child)
    limits: dict[str, Any] = {"page_cpu_s": 5.0, "page_timeout_s": 60.0, "memory_bytes": 1, "min_confidence": 0.75}
    reader = ocr.RecognisingReader(OnePage(own), max_page_characters=1000, **limits)
    (page,) = reader.pages(Path("scan.pdf"), 1, 1)
    return page


@pytest.mark.parametrize(
    ("found", "text", "picture"),
    [
        (
            Finding("The minutes of the meeting, stamp of May", 0.9),
            "The minutes of the meeting, stamp of May",
            False,
        ),
        (Finding("Th3 m1nut3s of th3 me3ting", 0.5), "stamp of May", True),
        (Finding("", None), "stamp of May", True),
        (Finding("LOGO", 0.98), "stamp of May", False),
    ],
    ids=["a scan", "doubtful", "a photograph", "the ground of a slide"],
)
def test_a_picture_keeps_its_own_text_unless_as_much_is_recognised_well(
    monkeypatch: pytest.MonkeyPatch, found: Finding, text: str, picture: bool
) -> None:
    page = read(monkeypatch, found)
    assert (page.text, page.picture, page.label) == (text, picture, "iv")
