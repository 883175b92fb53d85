"""Web pages and Markdown: the text that a browser would show. No script runs and no reference is fetched."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from markdown_it import MarkdownIt
from selectolax.lexbor import LexborHTMLParser, SelectolaxError

from docwell.adapters.documents.parts import (
    DECIMAL,
    Cell,
    Level,
    Metadata,
    Numbering,
    Parts,
    Rows,
    are_heads,
    raised,
    whole,
)

_UNSEEN_TAGS = "script style template noscript head title iframe object svg math datalist audio video canvas"
# Any other element begins a block.
_INLINE_TAGS = (
    "a abbr acronym b bdi bdo big button cite code data del dfn em font i img input ins kbd label mark meter nobr "
    "output q rp rt ruby s samp select option small span strike strong sub sup time tt u var wbr"
)
_UNSEEN, _INLINE = frozenset(_UNSEEN_TAGS.split()), frozenset(_INLINE_TAGS.split())
# Text to add at the beginning and at the end of elements that a browser draws apart.
_APART = {"br": ("", "\n"), **dict.fromkeys(("button", "option", "optgroup", "select"), (" ", " "))}
_BOLD = frozenset({"b", "strong"})
# Struck-out text is no longer valid: without the stroke it would read like the new text beside it.
_STRUCK = frozenset({"del", "s", "strike"})
_TABLE_TAGS = frozenset({"table", "tr", "td", "th"})
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
# The prefix check skips "backface-visibility", which hides nothing.
_DECLARATION = re.compile(r"(?<![\w-])(display|visibility)\s*:\s*([\w-]+)\s*(!\s*important)?", re.IGNORECASE)
_HIDING = frozenset({("display", "none"), ("visibility", "hidden"), ("visibility", "collapse")})
_CLASSES = re.compile(r"\.[\w-]|\[|(?<!:):[a-z]", re.IGNORECASE)
_TYPES = re.compile(r"(?:^|[\s>+~(])[a-z]", re.IGNORECASE)
_COMMENTS = re.compile(r"/\*.*?\*/", re.DOTALL)
# Skip rules under a condition: a rule for printers may hide what a screen shows.
_CONDITIONAL = re.compile(r"@[^{};]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}")
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
# The most selectors to apply: each one is compared with all elements.
MAX_SELECTORS = 200
_TEXT = "-text"
# Word's names for the number forms of lists, by HTML's list types.
_FORMS = {"a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"^title:\s*[\"']?(.*?)[\"']?\s*$", re.MULTILINE)


def read(text: str, parts: Parts) -> Metadata:
    """Add the text of a page that a browser shows."""
    tree = LexborHTMLParser(text)
    title, author = tree.css_first("head title"), tree.css_first('meta[name="author" i]')
    _Page(parts, _hidden(tree)).add(tree.root)
    return Metadata(title.text(deep=True) if title else None, author.attributes.get("content") if author else None)


def read_markdown(text: str, parts: Parts) -> Metadata:
    """Add a Markdown text as a viewer shows it, without its front matter, of which only the title is used."""
    front = _FRONT_MATTER.match(text)
    title = _TITLE.search(front[1]) if front else None
    markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    metadata = read(markdown.render(text[front.end() :] if front else text), parts)
    return metadata._replace(title=title[1]) if title else metadata


def _hidden(tree: LexborHTMLParser) -> dict[str, set[int]]:
    """Return the ids of the elements that the page's own style rules hide, by the property that hides them."""
    style = _COMMENTS.sub("", "\n".join(node.text(deep=True) for node in tree.css("style")))
    hidden: dict[str, set[int]] = {"display": set(), "visibility": set()}
    for _, selector, name, hides in sorted(islice(_rules(_CONDITIONAL.sub("", style)), MAX_SELECTORS)):
        change = hidden[name].update if hides else hidden[name].difference_update
        change(node.mem_id for node in _matches(tree, selector))
    return hidden


def _rules(style: str) -> Iterator[tuple[tuple[bool, int, int, int, int], str, str, bool]]:
    """Yield the declarations that hide or show: rank, selector, property, and whether it hides.

    The largest rank wins: importance, specificity (CSS Selectors, 17) and place.
    """
    for place, (selectors, body) in enumerate(_RULE.findall(style)):
        for selector in [selectors] if "(" in selectors else selectors.split(","):
            plain = selector.strip()
            weight = (plain.count("#"), len(_CLASSES.findall(plain)), len(_TYPES.findall(plain)), place)
            for name, (hides, important) in _declared(body).items():
                yield (important, *weight), plain, name, hides


def _declared(style: str) -> dict[str, tuple[bool, bool]]:
    """Return, for each property that can hide, whether it hides and whether it is marked as important."""
    return {
        name.lower(): ((name.lower(), value.lower()) in _HIDING, bool(important))
        for name, value, important in _DECLARATION.findall(style)
    }


def _matches(tree: LexborHTMLParser, selector: str) -> list[Any]:
    try:
        return list(tree.css(selector))
    except (SelectolaxError, ValueError, RuntimeError):  # a selector that the library does not know
        return []


class _Cell(NamedTuple):
    """A cell being read: its blocks, whether it is set off as a head, and the columns and rows that it spans."""

    blocks: Sequence[str]
    is_set_off: bool
    across: int
    down: int

    @property
    def text(self) -> str:
        """The text on one line."""
        return " ".join(" ".join(self.blocks).split())


class _Table:
    """A table being read: its rows so far, and the cells and blocks of the open row."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.cells: list[_Cell] = []
        # The blocks of the open cell; None while no cell is open.
        self.blocks: list[str] | None = None
        self.has_plain_text = False

    def pop_texts(self) -> list[str]:
        """Return and clear the texts of the open row so far: a heading or a table in the row interrupts it."""
        texts = [text for cell in self.cells if (text := cell.text)]
        texts += self.blocks or []
        self.cells = [cell._replace(blocks=()) for cell in self.cells]
        self.blocks = []
        return texts

    def end_cell(self, node: Any) -> None:
        """End the open cell; the element gives its spans and whether it is a head."""
        across, down = (whole(node.attributes.get(name), 1) for name in ("colspan", "rowspan"))
        self.cells.append(_Cell(self.blocks or (), not self.has_plain_text, across, down))
        self.blocks = None

    def end_row(self) -> list[str]:
        """Return the row as one text; a single cell, as in tables for layout, as its blocks."""
        cells, self.cells = self.cells, []
        heads = are_heads([(cell.text, cell.is_set_off) for cell in cells])
        line = self.rows.line([Cell(cell.text, cell.across, cell.down) for cell in cells], heads=heads)
        filled = [cell for cell in cells if cell.text]
        return list(filled[0].blocks) if len(filled) == 1 and line == filled[0].text else [line]


class _Page:
    """Joins the texts between the borders of two blocks, and the cells of a row."""

    def __init__(self, parts: Parts, hidden: dict[str, set[int]]) -> None:
        self._parts = parts
        self._hidden = hidden
        self._texts: list[str] = []
        self._tables: list[_Table] = []
        # The open lists, and the number of an item that has no text yet.
        self._lists: list[Numbering] = []
        self._mark = ""
        self._preformatted = self._set_off = self._raised = 0

    def add(self, root: Any) -> None:
        """Add the text of all nodes below an element."""
        for node, enters in _walk(root, self._is_shown):
            tag, step = node.tag, 1 if enters else -1
            if tag == _TEXT:
                self._text(node.text_content or "")
            elif tag in _APART:
                self._texts.append(_APART[tag][enters])
            elif tag == "pre":
                self._flush()
                self._preformatted += step
            elif tag in _TABLE_TAGS:
                self._flush()
                self._set_off += step if tag == "th" else 0
                self._table(node, enters=enters)
            elif tag in _HEADINGS:
                if enters:
                    self._interrupt()
                else:
                    self._flush(_HEADINGS[tag])
            elif tag not in _INLINE:
                self._flush()
                self._list(node, enters=enters)
            else:
                self._set_off += step if tag in _BOLD else 0
                self._raised += step if tag == "sup" else 0
        self._flush()

    def _text(self, text: str) -> None:
        text = text if self._preformatted else re.sub(r"\s+", " ", text)
        if self._mark and text.strip():
            text, self._mark = f"{self._mark} {text.lstrip()}", ""
        self._texts.append(raised(text, self._texts) if self._raised else text)
        if self._tables and not self._set_off and text.strip():
            self._tables[-1].has_plain_text = True

    def _list(self, node: Any, *, enters: bool) -> None:
        """Begin or end a list or an item."""
        if node.tag in {"ol", "ul"}:
            if enters:
                form = _FORMS.get(node.attributes.get("type") or "", DECIMAL if node.tag == "ol" else "bullet")
                start = whole(node.attributes.get("start"), 1)
                self._lists.append(Numbering({0: Level(start, form, "%1.")}))
            else:
                self._lists.pop()
        elif node.tag == "li":
            value = node.attributes.get("value")
            restart = whole(value, 1) if value else None
            self._mark = self._lists[-1].next(0, restart) if enters and self._lists else ""

    def _is_shown(self, node: Any) -> bool:
        if node.tag == _TEXT:
            return True
        if node.tag in _UNSEEN or node.tag.startswith(("-", "!", "_")):
            return bool(node.tag == "-document")
        attributes = node.attributes
        declared = _declared(attributes.get("style") or "")
        styled = [declared.get(name, (node.mem_id in ids,))[0] for name, ids in self._hidden.items()]
        is_closed = node.tag == "dialog" and "open" not in attributes
        hidden = node.tag in _STRUCK or "hidden" in attributes or is_closed or any(styled)
        if hidden:
            self._parts.hide(node.text(deep=True))
        return not hidden

    def _table(self, node: Any, *, enters: bool) -> None:
        """Begin or end a table, a row or a cell."""
        if node.tag == "table":
            if enters:
                self._interrupt()
                self._tables.append(_Table())
            else:
                self._tables.pop()
        elif self._tables:
            table = self._tables[-1]
            if node.tag != "tr" and enters:
                table.blocks, table.has_plain_text = [], False
            elif node.tag != "tr":
                table.end_cell(node)
            elif not enters:
                for text in filter(None, table.end_row()):
                    self._parts.paragraph(text)

    def _interrupt(self) -> None:
        """Add the text so far of the open cell and of the cells beside it."""
        self._flush()
        if self._tables and self._tables[-1].blocks is not None:
            self._parts.paragraph(" | ".join(self._tables[-1].pop_texts()))

    def _flush(self, level: int | None = None) -> None:
        """End the block. Inside a row, the block goes into its cell."""
        lines = "".join(self._texts).split("\n")
        if not self._preformatted:
            lines = [" ".join(line.split()) for line in lines]
        text = "\n".join(lines).strip("\n")
        self._texts = []
        if not text.strip():
            return
        blocks = self._tables[-1].blocks if self._tables else None
        if level is not None:
            self._parts.heading(text, level)
        elif blocks is not None:
            blocks.append(text)
        else:
            self._parts.paragraph(text)


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
