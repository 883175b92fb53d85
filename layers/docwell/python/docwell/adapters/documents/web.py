"""Web pages and Markdown: the text that a browser would show. No script runs and no reference is fetched."""

from __future__ import annotations

import contextlib
import re
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from markdown_it import MarkdownIt
from selectolax.lexbor import LexborHTMLParser, SelectolaxError

from docwell.adapters.documents.parts import Cell, Level, Metadata, Numbering, Parts, Rows, is_head, raised, whole

# Text to add at the beginning and at the end of elements that a browser draws apart.
_APART = {"br": ("", "\n"), **dict.fromkeys(("button", "option", "optgroup", "select"), (" ", " "))}
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))", re.DOTALL)
_RULE, _NESTED = re.compile(r"([^{}]+)\{([^{}]*)\}?"), re.compile(r"\{[^{}]*\{")
_NAME, _WORD, _STYLE = re.compile(r"[.#]([\w-]+)"), re.compile(r"[\w-]+"), re.compile(r"(?is)<style.*?</style>")
# The processor time for the rules of a page, of 20 s for a document, and the most characters of its styles: a
# framework has 250,000. The library takes quadratic time for some selectors on a wide page.
STYLES_S, MAX_STYLE, MAX_NESTING, MAX_WIDE = 3.0, 300_000, 3, 20_000
_Values = dict[str, tuple[bool, str]]  # whether the rule is important, and the value
_TEXT = "-text"
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"^title:\s*[\"']?(.*?)[\"']?\s*$", re.MULTILINE)


def read(text: str, parts: Parts) -> Metadata:
    """Add the text of a page that a browser shows."""
    tree = LexborHTMLParser(text)
    title, author = tree.css_first("head title"), tree.css_first('meta[name="author" i]')
    is_over_picture = re.search("(?i)position", text) and tree.css(tables()["pictures"])
    is_shaded = is_over_picture or tree.css(tables()["links"]) or re.search(tables()["grounds"], text)
    _Page(parts, _cascade(tree, text), "shaded" if is_shaded else "white").add(tree.root)
    return Metadata(title.text(deep=True) if title else None, author.attributes.get("content") if author else None)


def read_markdown(text: str, parts: Parts) -> Metadata:
    """Add a Markdown text as a viewer shows it, without its front matter, of which only the title is used."""
    front = _FRONT_MATTER.match(text)
    title = _TITLE.search(front[1]) if front else None
    markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    metadata = read(markdown.render(text[front.end() :] if front else text), parts)
    return metadata._replace(title=title[1]) if title else metadata


@cache
def tables() -> Any:
    """Return the tables of `styles.toml`. The child loads them before its sandbox closes."""
    text = files("docwell.adapters.documents").joinpath("styles.toml").read_text(encoding="utf-8")
    patterns = tomllib.loads(text)["patterns"]
    return tomllib.loads(re.sub(r"<([a-z-]+)>", lambda name: patterns[name[1]], text))


def _cascade(tree: LexborHTMLParser, page: str) -> dict[int, _Values]:
    """Return the values that style rules give the elements of a page on a screen; over a limit, the browser's."""
    sheets = (node for node in tree.css(tables()["sheets"]) if not (node.parent and node.parent.tag == "noscript"))
    style = "".join(f"@media {node.attributes.get('media') or 'all'}{{{node.text()}}}}}" for node in sheets)
    is_over = len(style) > MAX_STYLE or (len(tree.css("*")) > MAX_WIDE and re.search(tables()["wide"], style))
    for _ in range(0 if is_over else MAX_NESTING):
        style = re.sub(tables()["conditional"], _inner, re.sub(tables()["comments"], r"\1", style))
    words = set(_WORD.findall(_STYLE.sub("", page)))
    return _matched(tree, "" if is_over or _NESTED.search(style) else style, words) or _matched(tree, "", words)


def _matched(tree: LexborHTMLParser, style: str, words: set[str]) -> dict[int, _Values]:
    """Return the values that the rules of a browser, and over them those of a page, give its elements."""
    values, matches = dict[int, _Values](), dict[str, list[int]]()
    rules = [*_rules(tables()["browser"]), *sorted(_rules(style))]
    ends = time.process_time() + STYLES_S
    for (is_important, *_), selectors, selector, name, value in rules:
        for part in {selectors, selector} - matches.keys():
            matches[part] = []
            # Skip a name that the page does not have. A browser drops a rule with an unknown selector.
            is_used = re.search(r"[(,\\]", part) or words.issuperset(_NAME.findall(part))
            with contextlib.suppress(SelectolaxError, ValueError, RuntimeError):
                if is_used and time.process_time() < ends:
                    matches[part] = [node.mem_id for node in tree.css(part)]
        for number in matches[selector] if matches.get(selectors) else ():
            values.setdefault(number, {})[name] = bool(is_important), value
    return values if time.process_time() < ends else {}


def _inner(rule: re.Match[str]) -> str:
    """Return the rules under a condition that holds on a screen; under an unknown one, without values."""
    queries, inner = "".join((rule[1] or "").lower().split()).split(","), rule[2] or ""
    holds = any(re.fullmatch(tables()["screen"], query) for query in queries)
    fails = all(re.fullmatch(tables()["paper"], query) for query in queries)
    return "" if fails or "{" not in inner else inner if holds else re.sub(":[^;{}]*(?=[;}])", ":", inner)


def _rules(style: str) -> Iterator[tuple[tuple[int, ...], str, str, str, str]]:
    """Yield the declarations: rank, selectors of the rule, selector, property, and value.

    The largest rank wins: importance, specificity (CSS Selectors, 17) and place.
    """
    for place, (selectors, body) in enumerate(_RULE.findall(style)):
        for selector in re.split(r",(?![^(]*\))", selectors):
            heavy = re.sub(r":where\([^()]*\)", "", selector)
            weight = *(len(re.findall(kind, heavy)) for kind in tables()["specificity"]), place
            for name, (is_important, value) in _declared(body).items():
                yield (is_important, *weight), selectors.strip(), selector.strip(), name, value


@lru_cache(maxsize=10_000)
def _declared(style: str) -> _Values:
    """Return the properties in a style that can hide an element."""
    declared: _Values = {}
    for declaration in _ESCAPE.sub(lambda code: code[2] or chr(int(code[1], 16) % 0x110000), style).split(";"):
        name, _, text = declaration.lower().partition(":")
        value, _, important = " ".join(text.split()).partition("!")
        for longhand in tables()["properties"].get(name.strip().removeprefix("-webkit-"), "").split():
            if not value or re.fullmatch(tables()["valid"].get(longhand, ".*"), value.strip()):
                declared[longhand] = important.strip() == "important", value.strip()
    return declared


@lru_cache(maxsize=10_000)
def _hides(values: tuple[tuple[str, str], ...], table: str) -> bool:
    """Return whether properties hide an element and all in it in one of the ways of a table, unless it moves."""
    known = defaultdict(str, values)
    ways = [] if known["animation"] else tables()[table]
    return any(all(re.fullmatch(way[key], known[name]) for key in way for name in key.split()) for way in ways)


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
        texts = [*filter(None, (cell.text for cell in self.cells)), *(self.blocks or ())]
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
        heads = is_head([(cell.text, cell.is_set_off) for cell in cells])
        line = self.rows.line([Cell(cell.text, cell.across, cell.down) for cell in cells], heads=heads)
        filled = [cell for cell in cells if cell.text]
        return list(filled[0].blocks) if len(filled) == 1 and line == filled[0].text else [line]


class _Page:
    """Joins the texts between the borders of two blocks, and the cells of a row."""

    def __init__(self, parts: Parts, styles: dict[int, _Values], paper: str) -> None:
        self._parts, self._styles = parts, styles
        # The values that hide text on this paper, and the inherited properties that hide the text of each element.
        self._inherited, self._unseen = tables()[paper], dict[int, set[str]]()
        self._texts, self._tables = list[str](), list[_Table]()
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
            elif tag in tables()["table"]:
                self._flush()
                self._set_off += step if tag == "th" else 0
                self._table(node, enters=enters)
            elif tag in _HEADINGS:
                if enters:
                    self._interrupt()
                else:
                    self._flush(_HEADINGS[tag])
            elif tag not in tables()["inline"]:
                self._flush()
                self._list(node, enters=enters)
            else:
                self._set_off += step if tag in tables()["bold"] else 0
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
                form = tables()["forms"].get(node.attributes.get("type"), tables()["forms"][node.tag])
                start = whole(node.attributes.get("start"), 1)
                self._lists.append(Numbering({0: Level(start, form, "%1.")}))
            else:
                self._lists.pop()
        elif node.tag == "li":
            restart = whole(value, 1) if (value := node.attributes.get("value")) else None
            self._mark = self._lists[-1].next(0, restart) if enters and self._lists else ""

    def _is_shown(self, node: Any) -> bool:
        unseen = set(self._unseen.get(node.parent.mem_id, ())) if node.parent else set[str]()
        if node.tag == _TEXT:
            self._parts.hide((node.text_content or "") * bool(unseen))
            return not unseen
        if node.tag in tables()["unseen"] or node.tag.startswith(("-", "!", "_")):
            return bool(node.tag == "-document")
        values, declared = self._styles.get(node.mem_id, {}), _declared(node.attributes.get("style") or "").items()
        values = values | {name: style for name, style in declared if style[0] or not values.get(name, style)[0]}
        texts = {name: value for name, (_, value) in values.items()}
        for name in (name for name in texts.keys() & self._inherited if texts[name] not in tables()["keeps"]):
            (unseen.add if re.fullmatch(self._inherited[name], texts[name]) else unseen.discard)(name)
        self._unseen[node.mem_id] = unseen
        place = {"display": "inline" if node.tag in tables()["inline"] else "block", **texts}
        box = " ".join(place.get(name, "") for name in ("display", "position", "float"))
        is_boxed = node.tag not in tables()["unboxed"] and re.fullmatch(tables()["boxed"], box)
        key = tuple(sorted({**texts, "box": "block" if is_boxed else ""}.items()))
        is_away = _hides(key, "away") and not any(
            "style" in inner.attributes or self._styles.get(inner.mem_id, {}).keys() & tables()["places"]
            for inner in node.css("*")
            if inner.mem_id != node.mem_id
        )
        if hidden := node.tag in tables()["struck"] or _hides(key, "ways") or is_away:
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
        lines = lines if self._preformatted else [" ".join(line.split()) for line in lines]
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
        if enters and not is_shown(node):
            continue
        yield node, enters
        if enters and node.tag != _TEXT:
            stack.append((node, False))
            stack += [(child, True) for child in node.iter(include_text=True)][::-1]
