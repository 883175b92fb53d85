"""The numbers of a Word document's paragraphs, from its lists and from the styles that use them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from docx.oxml import parse_xml
from docx.oxml.ns import qn

from docwell.adapters.documents.formats.numbering import DECIMAL, Counter, Level

# Styles may be based on each other in a circle.
MAX_BASE_STYLES = 10
_NUMBERED = f"{qn('w:pPr')}/{qn('w:numPr')}"
# What a property says that is there and does not hold.
OFF = frozenset({"0", "false", "off"})


class Numbers:
    """Counts the paragraphs of each list. `definitions` is the numbering part, None where there is none."""

    def __init__(self, definitions: bytes | None, styles: Iterable[Any]) -> None:
        root: Iterable[Any] = [] if definitions is None else parse_xml(definitions)
        self._lists: dict[str, Counter] = {}
        # The list of each number, and the first numbers that it sets for its levels.
        self._numbers: dict[str, tuple[str, dict[int, int]]] = {}
        self._levels_of_styles: dict[str, int] = {}
        self._styles = {style.style_id: style for style in styles}
        for element in root:
            if element.tag == qn("w:abstractNum"):
                levels = {_whole(level, "w:ilvl"): level for level in element.iterchildren(qn("w:lvl"))}
                self._lists[element.get(qn("w:abstractNumId"), "")] = Counter(
                    {at: _level(level) for at, level in levels.items()}
                )
                for at, level in levels.items():
                    self._levels_of_styles[_value(level, "w:pStyle")] = at
            elif element.tag == qn("w:num"):
                starts = {
                    _whole(one, "w:ilvl"): int(start)
                    for one in element.iterchildren(qn("w:lvlOverride"))
                    if (start := _value(one, "w:startOverride")).isdecimal()
                }
                self._numbers[element.get(qn("w:numId"), "")] = _value(element, "w:abstractNumId"), starts

    def of(self, paragraph: Any, style: str | None) -> str:
        """Return the number of the next paragraph, "" for one without."""
        properties = paragraph.find(_NUMBERED)
        number, level = _value(properties, "w:numId"), _value(properties, "w:ilvl")
        if not number:
            number, level = self._of_style(style, level)
        name, starts = self._numbers.get(number, ("", {}))
        if name not in self._lists:
            return ""
        at = int(level) if level.isdecimal() else 0
        # A number begins its levels once.
        return self._lists[name].next(at, starts.pop(at, None))

    def _of_style(self, style: str | None, level: str) -> tuple[str, str]:
        found, seen = self._styles.get(style or ""), 0
        while found is not None and seen < MAX_BASE_STYLES:
            properties = found.element.find(_NUMBERED)
            if number := _value(properties, "w:numId"):
                own = _value(properties, "w:ilvl") or str(self._levels_of_styles.get(found.style_id, 0))
                return number, level or own
            found, seen = found.base_style, seen + 1
        return "", ""


def _level(element: Any) -> Level:
    start = _value(element, "w:start")
    legal = element.find(qn("w:isLgl"))
    return Level(
        int(start) if start.isdecimal() else 1,
        _value(element, "w:numFmt") or DECIMAL,
        _value(element, "w:lvlText"),
        legal is not None and legal.get(qn("w:val")) not in OFF,
    )


def _whole(element: Any, name: str) -> int:
    value = element.get(qn(name), "")
    return int(value) if value.isdecimal() else 0


def _value(element: Any, name: str) -> str:
    """Return the value of an element's child, "" for none."""
    found = None if element is None else element.find(qn(name))
    return "" if found is None else str(found.get(qn("w:val"), ""))
