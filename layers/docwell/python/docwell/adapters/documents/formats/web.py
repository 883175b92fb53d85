"""Web pages: the text that a browser would show. Scripts never run and references are never fetched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from selectolax.lexbor import LexborHTMLParser, SelectolaxError

from docwell.adapters.documents.formats.parts import Metadata, Parts

_UNSEEN_TAGS = "script style template noscript head title iframe object svg math datalist audio video canvas"
# Any other element begins a block.
_INLINE_TAGS = (
    "a abbr acronym b bdi bdo big button cite code data del dfn em font i img input ins kbd label mark meter nobr "
    "output q rp rt ruby s samp select option small span strike strong sub sup time tt u var wbr"
)
_UNSEEN, _INLINE = frozenset(_UNSEEN_TAGS.split()), frozenset(_INLINE_TAGS.split())
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
# "backface-visibility" hides nothing.
_DECLARATION = re.compile(r"(?<![\w-])(display|visibility)\s*:\s*([\w-]+)\s*(!\s*important)?", re.IGNORECASE)
_HIDING = frozenset({("display", "none"), ("visibility", "hidden"), ("visibility", "collapse")})
_CLASSES = re.compile(r"\.[\w-]|\[|(?<!:):[a-z]", re.IGNORECASE)
_TYPES = re.compile(r"(?:^|[\s>+~(])[a-z]", re.IGNORECASE)
_COMMENTS = re.compile(r"/\*.*?\*/", re.DOTALL)
# A rule under a condition, such as that for printers, may hide what a screen shows.
_CONDITIONAL = re.compile(r"@[^{};]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}")
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
# Each selector is compared with all elements.
MAX_SELECTORS = 200
_TEXT = "-text"


def read(text: str, parts: Parts) -> Metadata:
    """Add the text of a page that a browser shows."""
    tree = LexborHTMLParser(text)
    title, author = tree.css_first("title"), tree.css_first('meta[name="author" i]')
    _Page(parts, _hidden(tree)).add(tree.root)
    return Metadata(title.text(deep=True) if title else None, author.attributes.get("content") if author else None)


class _Rule(NamedTuple):
    """A declaration of a style rule; a larger `rank` wins."""

    rank: tuple[bool, int, int, int, int]
    selector: str
    name: str
    hides: bool


def _hidden(tree: LexborHTMLParser) -> dict[str, set[int]]:
    """Return the ids of the elements that the page's own style rules hide, by the property that hides them."""
    style = _COMMENTS.sub("", "\n".join(node.text(deep=True) for node in tree.css("style")))
    hidden: dict[str, set[int]] = {"display": set(), "visibility": set()}
    for rule in sorted(islice(_rules(_CONDITIONAL.sub("", style)), MAX_SELECTORS)):
        change = hidden[rule.name].update if rule.hides else hidden[rule.name].difference_update
        change(node.mem_id for node in _matches(tree, rule.selector))
    return hidden


def _rules(style: str) -> Iterator[_Rule]:
    """Yield the declarations that hide or show, each with its specificity (CSS Selectors, 17)."""
    for place, (selectors, body) in enumerate(_RULE.findall(style)):
        for selector in [selectors] if "(" in selectors else selectors.split(","):
            own = selector.strip()
            weight = (own.count("#"), len(_CLASSES.findall(own)), len(_TYPES.findall(own)), place)
            for name, (hides, important) in _declared(body).items():
                yield _Rule((important, *weight), own, name, hides)


def _declared(style: str) -> dict[str, tuple[bool, bool]]:
    """Return, of each property that can hide, whether it does and whether it is marked as important."""
    found = ((name.lower(), value.lower(), bool(mark)) for name, value, mark in _DECLARATION.findall(style))
    return {name: ((name, value) in _HIDING, important) for name, value, important in found}


def _matches(tree: LexborHTMLParser, selector: str) -> list[Any]:
    try:
        return list(tree.css(selector))
    except (SelectolaxError, ValueError, RuntimeError):  # a selector that the library does not know
        return []


class _Page:
    """Joins the texts between the borders of two blocks, and the cells of a row."""

    def __init__(self, parts: Parts, hidden: dict[str, set[int]]) -> None:
        self._parts = parts
        self._hidden = hidden
        self._texts: list[str] = []
        self._cells: list[str] | None = None
        self._preformatted = 0

    def add(self, root: Any) -> None:
        """Add all below an element."""
        for node, enters in _walk(root, self._is_shown):
            tag = node.tag
            if tag == _TEXT:
                text = node.text_content or ""
                self._texts.append(text if self._preformatted else re.sub(r"\s+", " ", text))
            elif tag == "br":
                self._texts.append("\n")
            elif tag == "pre":
                self._flush()
                self._preformatted += 1 if enters else -1
            elif tag in {"tr", "td", "th"}:
                self._table(tag, enters=enters)
            elif tag in _HEADINGS:
                if enters:
                    self._flush()
                else:
                    self._flush(_HEADINGS[tag])
            elif tag not in _INLINE:
                self._flush()
        self._flush()

    def _is_shown(self, node: Any) -> bool:
        if node.tag == _TEXT:
            return True
        if node.tag in _UNSEEN or node.tag.startswith(("-", "!", "_")):
            return bool(node.tag == "-document")
        attributes = node.attributes
        own = _declared(attributes.get("style") or "")
        hidden = "hidden" in attributes or any(
            own[name][0] if name in own else node.mem_id in ids for name, ids in self._hidden.items()
        )
        if hidden:
            self._parts.hide(node.text(deep=True))
        return not hidden

    def _table(self, tag: str, *, enters: bool) -> None:
        if tag == "tr":
            self._end_row()
            self._cells = [] if enters else None
        elif not enters and self._cells is not None:
            self._end_cell(self._cells)

    def _end_cell(self, cells: list[str]) -> None:
        cells.append(" ".join("".join(self._texts).split()))
        self._texts = []

    def _end_row(self) -> None:
        """End the row, also one that a table inside a cell interrupts."""
        cells, self._cells = self._cells, None
        if cells is None:
            self._flush()
            return
        self._end_cell(cells)
        if any(cells):
            self._parts.paragraph(" | ".join(filter(None, cells)))

    def _flush(self, level: int | None = None) -> None:
        """End the block. Inside a row, a block is a part of its cell."""
        if self._cells is not None and level is None:
            self._texts.append(" ")
            return
        lines = [line if self._preformatted else line.strip() for line in "".join(self._texts).split("\n")]
        text = "\n".join(lines).strip("\n")
        self._texts = []
        if not text.strip():
            return
        if level is None:
            self._parts.paragraph(text)
        else:
            self._parts.heading(text, level)


def _walk(root: Any, is_shown: Any) -> Iterator[tuple[Any, bool]]:
    """Yield each shown node when it is entered, and each element again when it is left, without recursion."""
    stack: list[tuple[Any, bool]] = [(root, True)]
    while stack:
        node, enters = stack.pop()
        if not enters:
            yield node, False
            continue
        if not is_shown(node):
            continue
        yield node, True
        if node.tag == _TEXT:
            continue
        stack.append((node, False))
        children = []
        child = node.first_child
        while child is not None:
            children.append((child, True))
            child = child.next
        stack += reversed(children)
