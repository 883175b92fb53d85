"""The place in a document that a citation names."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class UnitKind(StrEnum):
    """The kind of place that a citation names."""

    PAGE = "page"
    SLIDE = "slide"
    PARAGRAPH = "paragraph"
    LINE = "line"
    RANGE = "range"
    PART = "part"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class CitationUnit:
    """The place that a citation names: `label` for people, `anchor` for programs.

    The label of a paragraph has its heading path, that of a range is `sheet!range`.
    """

    kind: UnitKind
    label: str
    anchor: str


FIRST_PAGE = CitationUnit(UnitKind.PAGE, "1", "page=1")
