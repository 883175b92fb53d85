"""Make the example PDFs from `texts/`: the same bytes each time, so that a change shows up as one.

    python examples/make_examples.py [FOLDER]

The texts are written in a little Markdown: `# ` opens a page and a chapter, `## ` a section, `- ` is a list,
`| ` a table whose first row is the header. Lines such as `labels: roman` are for this script. The handbook
and the report use the standard PDF fonts; the guide needs two font files, which are embedded as subsets:

    apt-get install fonts-dejavu-core fonts-droid-fallback
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from fpdf import FPDF
from fpdf.enums import WrapMode, XPos, YPos
from fpdf.fonts import FontFace

HERE = Path(__file__).parent
FONT_FOLDERS = (
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path.home() / ".local" / "share" / "fonts",
)
# family and style in the document -> file. Both licences let a document embed them (see README.md).
FONT_FILES = {
    ("DejaVu", ""): "DejaVuSans.ttf",
    ("DejaVu", "B"): "DejaVuSans-Bold.ttf",
    ("Droid", ""): "DroidSansFallbackFull.ttf",
}
# What is made: a text, and the path under this folder (the key that `docwell put examples` gives it).
HANDBOOK = ("mlops-llmops-handbook.md", "handbooks/mlops-llmops-handbook.pdf")
REPORT = ("data-centre-report.md", "reports/data-centre-2025-q3.pdf")
GUIDE = ("household-guide.md", "guides/when-the-lights-go-out.pdf")
EXAMPLES = (HANDBOOK, REPORT, GUIDE)

_DATE = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
_BLUE, _GREY, _SHADE = (24, 66, 110), (105, 105, 105), (226, 234, 243)
_MARGIN_MM, _BODY_PT, _LINE_MM = 22, 11.5, 6.2
_CJK = re.compile(r"[　-鿿＀-￯]")
# Characters that must not begin a line (JIS X 4051 and GB/T 15834 agree on these).
_NOT_FIRST = "，。；：、？！）」』》"  # noqa: RUF001 - full width is what is meant


class FontsMissing(Exception):  # noqa: N818 - says what it is
    """A font file that the guide needs was not found; the message says what to install."""


def find_fonts() -> dict[tuple[str, str], Path]:
    """The font files by family and style. Raises `FontsMissing`."""
    wanted = set(FONT_FILES.values())
    found = {
        path.name: path
        for folder in FONT_FOLDERS
        for path in sorted(folder.rglob("*.ttf"), reverse=True)
        if path.name in wanted
    }
    if missing := sorted(wanted - set(found)):
        raise FontsMissing(
            f"fonts not found: {', '.join(missing)}; apt-get install fonts-dejavu-core fonts-droid-fallback"
        )
    return {face: found[name] for face, name in FONT_FILES.items()}


class Document(FPDF):
    """One PDF: headings, paragraphs, lists and tables on A4, with the page's label at its foot."""

    def __init__(
        self, title: str, subject: str, fonts: dict[tuple[str, str], Path], listed: list[tuple[str, str]]
    ) -> None:
        super().__init__(format="A4")
        self.family = "DejaVu" if fonts else "Helvetica"
        for (family, style), path in fonts.items():
            self.add_font(family, style, path)
        # Deflate differs from one zlib to the other; without it the bytes are the same everywhere.
        self.set_compression(False)
        self.set_creation_date(_DATE)
        self.set_title(title)
        self.set_subject(subject)
        self.set_margin(_MARGIN_MM)
        self.set_auto_page_break(auto=True, margin=_MARGIN_MM + 2)
        # (name, label of its page): of this pass, and of the pass before, for the table of contents.
        self.chapters: list[tuple[str, str]] = []
        self._listed = listed
        self._fresh = False

    def footer(self) -> None:
        """The title and the label of each page; called by fpdf2."""
        self.set_y(-16)
        self.set_font(self.family, "", 8.5)
        self.set_text_color(*_GREY)
        self.cell(self.epw - 25, 5, str(self.title))
        self.cell(25, 5, self.get_page_label(), align="R")

    def start_labels(self, style: str) -> None:
        """Open a page from which on labels count anew, in roman or decimal numbers."""
        self.add_page(label_style={"roman": "r", "decimal": "D"}[style], label_start=1)
        self._fresh = True

    def text_block(self, text: str, size: float = _BODY_PT, style: str = "", indent: float = 0) -> None:
        """A paragraph that wraps at the right margin; Chinese wraps between any two characters."""
        cjk = bool(_CJK.search(text))
        self.set_font("Droid" if cjk else self.family, "" if cjk else style, size)
        self.set_x(self.l_margin + indent)
        self.multi_cell(
            self.epw - indent,
            _LINE_MM * size / _BODY_PT,
            self._keep_punctuation(text, self.epw - indent) if cjk else text,
            align="L",
            wrapmode=WrapMode.CHAR if cjk else WrapMode.WORD,
            new_x=XPos.LMARGIN,
            new_y=YPos.NEXT,
        )

    def _keep_punctuation(self, text: str, width: float) -> str:
        """Break lines by hand, so that none begins with a closing mark."""
        lines, line = [], ""
        for character in text:
            if line and self.get_string_width(line + character) > width - 2 * self.c_margin:
                carried = line[-1] if character in _NOT_FIRST else ""
                lines.append(line[: len(line) - len(carried)])
                line = carried
            line += character
        return "\n".join([*lines, line])

    def paragraph(self, text: str) -> None:
        """Running text."""
        self.text_block(text)
        self.ln(1.5)

    def caption(self, text: str) -> None:
        """The line below a table."""
        self.ln(1.5)
        self.text_block(text, 9)

    def chapter(self, text: str) -> None:
        """The heading of a chapter, which opens a page."""
        if not self._fresh:
            self.add_page()
        self._fresh = False
        self.chapters.append((text, self.get_page_label()))
        self._heading(text, 18, 3)

    def section(self, text: str) -> None:
        """The heading of a section."""
        self.ln(3)
        self._heading(text, 12.5, 1)

    def _heading(self, text: str, size: float, gap_mm: float) -> None:
        self.set_text_color(*_BLUE)
        self.text_block(text, size, "B")
        self.ln(gap_mm)
        self.set_text_color(0)

    def bullet(self, text: str) -> None:
        """One item of a list; the dot is drawn, so that it is no part of the text."""
        self.set_fill_color(*_BLUE)
        self.ellipse(self.l_margin + 1.5, self.get_y() + 2.1, 1.3, 1.3, style="F")
        self.text_block(text, indent=5)
        self.ln(1)

    def table_block(self, text: str) -> None:
        """A table; columns of numbers stand right."""
        rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in text.split("\n")]
        numeric = [
            all(re.fullmatch(r"[\d,.]+", row[column]) for row in rows[1:]) for column in range(len(rows[0]))
        ]
        self.set_font(self.family, "B", 9.5)
        # In proportion to the longest cell, with room for the padding: no cell has to wrap.
        widths = [max(self.get_string_width(row[column]) for row in rows) + 5 for column in range(len(rows[0]))]
        self.set_font(self.family, "", 9.5)
        self.set_fill_color(255)
        self.ln(1)
        with self.table(
            col_widths=widths,
            text_align=["RIGHT" if right else "LEFT" for right in numeric],
            headings_style=FontFace(emphasis="BOLD", fill_color=_SHADE),
            line_height=6,
            padding=(0.6, 1.5),
            borders_layout="HORIZONTAL_LINES",
        ) as table:
            for row in rows:
                table.row(row)

    def contents(self, _: str) -> None:
        """A table of contents: chapter and label of its page."""
        self.set_font(self.family, "", 11)
        for name, label in self._listed:
            self.cell(self.epw - 15, 8, name)
            self.cell(15, 8, label, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def cover(self, title: str) -> None:
        """The upper half of a title page."""
        self.set_fill_color(*_BLUE)
        self.rect(0, 0, self.w, 8, style="F")
        self._fresh = False
        self.set_y(85)
        self.set_text_color(*_BLUE)
        self.text_block(title, 28, "B")
        self.ln(8)
        self.set_text_color(0)


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """(kind, content) of each line; a table's lines come as one block. Blank lines are dropped.

    Raises:
        ValueError: a text has no known form.
    """
    table: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            table.append(line)
            continue
        if table:
            yield "table", "\n".join(table)
            table = []
        if directive := re.match(r"(title|subject|labels|cover|contents|caption):\s*(.*)", line):
            yield directive[1], directive[2]
        elif marked := re.match(r"(##?|-) (.*)", line):
            yield marked[1], marked[2]
        elif line.strip():
            yield "text", line


def write(document: Document, text: str) -> None:
    """Put a text on pages."""
    writers: dict[str, Callable[[str], None]] = {
        "labels": document.start_labels,
        "cover": document.cover,
        "contents": document.contents,
        "#": document.chapter,
        "##": document.section,
        "-": document.bullet,
        "text": document.paragraph,
        "table": document.table_block,
        "caption": document.caption,
    }
    for kind, content in blocks(text):
        if kind in writers:
            writers[kind](content)


def make(source: str, fonts: dict[tuple[str, str], Path]) -> bytes:
    """The PDF of one text. It is set twice: the first time finds the labels for the table of contents."""
    text = (HERE / "texts" / source).read_text("utf-8")
    head = dict(block for block in blocks(text) if block[0] in {"title", "subject"})
    chapters: list[tuple[str, str]] = []
    for _ in range(2):
        document = Document(head["title"], head["subject"], fonts, chapters)
        write(document, text)
        chapters = document.chapters
    return bytes(document.output())


def main(folder: Path) -> None:
    """Write the three PDFs under `folder`."""
    for source, target in EXAMPLES:
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make(source, find_fonts() if source == GUIDE[0] else {}))
        print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
    except FontsMissing as missing:
        sys.exit(str(missing))
