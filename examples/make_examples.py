"""Make the example PDFs from `scripts/example-texts/`, with the same bytes each time.

    python examples/make_examples.py [FOLDER]

The texts are simple Markdown: `# ` starts a page and a chapter, `## ` a section, `- ` a list item, `| ` a table
row; a table's first row is its header. Lines such as `labels: roman` are directives for this script. The
handbook and the report use the standard PDF fonts. The guide embeds subsets of two font files:

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
# Outside the examples: `docwell put examples` would upload them too.
TEXTS = HERE.parent / "scripts" / "example-texts"
FONT_FOLDERS = (
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path.home() / ".local" / "share" / "fonts",
)
# Family and style in the document, and the file. Both licences allow embedding (README.md).
FONT_FILES = {
    ("DejaVu", ""): "DejaVuSans.ttf",
    ("DejaVu", "B"): "DejaVuSans-Bold.ttf",
    ("Droid", ""): "DroidSansFallbackFull.ttf",
}
# Each text and the path of its PDF, which is also its key after `docwell put examples`.
HANDBOOK = ("mlops-llmops-handbook.md", "handbooks/mlops-llmops-handbook.pdf")
REPORT = ("data-centre-report.md", "reports/data-centre-2025-q3.pdf")
GUIDE = ("household-guide.md", "guides/when-the-lights-go-out.pdf")
EXAMPLES = (HANDBOOK, REPORT, GUIDE)
# The document of the canary (docwell.upkeep.canary), which is part of the package.
CANARY = "canary.md"
CANARY_PDF = HERE.parent / "layers" / "docwell" / "python" / "docwell" / "upkeep" / "canary.pdf"

_DATE = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
_BLUE, _GREY, _SHADE = (24, 66, 110), (105, 105, 105), (226, 234, 243)
_MARGIN_MM, _BODY_PT, _LINE_MM = 22, 11.5, 6.2
_CJK = re.compile(r"[　-鿿＀-￯]")
# Closing marks in full width, which must not begin a line (JIS X 4051, GB/T 15834).
_NOT_FIRST = "\uff0c\u3002\uff1b\uff1a\u3001\uff1f\uff01\uff09\u300d\u300f\u300b"


class FontsMissingError(Exception):
    """The fonts of the guide are missing; the message says what to install."""


def find_fonts() -> dict[tuple[str, str], Path]:
    """Return the font files by family and style. Raises `FontsMissingError`."""
    wanted = set(FONT_FILES.values())
    found = {
        path.name: path
        for folder in FONT_FOLDERS
        for path in sorted(folder.rglob("*.ttf"), reverse=True)
        if path.name in wanted
    }
    if missing := sorted(wanted - set(found)):
        raise FontsMissingError(
            f"fonts not found: {', '.join(missing)}; apt-get install fonts-dejavu-core fonts-droid-fallback"
        )
    return {face: found[name] for face, name in FONT_FILES.items()}


class Document(FPDF):
    """One PDF on A4: headings, paragraphs, lists and tables, with the page label in the footer."""

    def __init__(
        self, title: str, subject: str, fonts: dict[tuple[str, str], Path], listed: list[tuple[str, str]]
    ) -> None:
        super().__init__(format="A4")
        self.family = "DejaVu" if fonts else "Helvetica"
        for (family, style), path in fonts.items():
            self.add_font(family, style, path)
        # Compressed bytes depend on the version of zlib.
        self.set_compression(False)
        self.set_creation_date(_DATE)
        self.set_title(title)
        self.set_subject(subject)
        self.set_margin(_MARGIN_MM)
        self.set_auto_page_break(auto=True, margin=_MARGIN_MM + 2)
        # Names and page labels: this pass collects them, the table of contents has those of the last pass.
        self.chapters: list[tuple[str, str]] = []
        self._listed = listed
        self._fresh = False

    def footer(self) -> None:
        """Write the title and the page label; fpdf2 calls this for each page."""
        self.set_y(-16)
        self.set_font(self.family, "", 8.5)
        self.set_text_color(*_GREY)
        self.cell(self.epw - 25, 5, str(self.title))
        self.cell(25, 5, self.get_page_label(), align="R")

    def start_labels(self, style: str) -> None:
        """Start a page whose label is 1, in roman or decimal numbers."""
        self.add_page(label_style={"roman": "r", "decimal": "D"}[style], label_start=1)
        self._fresh = True

    def text_block(self, text: str, size: float = _BODY_PT, style: str = "", indent: float = 0) -> None:
        """Write a paragraph. Chinese text wraps between any two characters, other text between words."""
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
        """Break lines so that none begins with a closing mark."""
        lines, line = [], ""
        for character in text:
            if line and self.get_string_width(line + character) > width - 2 * self.c_margin:
                carried = line[-1] if character in _NOT_FIRST else ""
                lines.append(line[: len(line) - len(carried)])
                line = carried
            line += character
        return "\n".join([*lines, line])

    def paragraph(self, text: str) -> None:
        """Write running text."""
        self.text_block(text)
        self.ln(1.5)

    def caption(self, text: str) -> None:
        """Write the line below a table."""
        self.ln(1.5)
        self.text_block(text, 9)

    def chapter(self, text: str) -> None:
        """Write the heading of a chapter on a new page."""
        if not self._fresh:
            self.add_page()
        self._fresh = False
        self.chapters.append((text, self.get_page_label()))
        self._heading(text, 18, 3)

    def section(self, text: str) -> None:
        """Write the heading of a section."""
        self.ln(3)
        self._heading(text, 12.5, 1)

    def _heading(self, text: str, size: float, gap_mm: float) -> None:
        self.set_text_color(*_BLUE)
        self.text_block(text, size, "B")
        self.ln(gap_mm)
        self.set_text_color(0)

    def bullet(self, text: str) -> None:
        """Write a list item. The dot is drawn, so that it is not part of the text."""
        self.set_fill_color(*_BLUE)
        self.ellipse(self.l_margin + 1.5, self.get_y() + 2.1, 1.3, 1.3, style="F")
        self.text_block(text, indent=5)
        self.ln(1)

    def table_block(self, text: str) -> None:
        """Write a table; columns of numbers are right-aligned."""
        rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in text.split("\n")]
        numeric = [
            all(re.fullmatch(r"[\d,.]+", row[column]) for row in rows[1:]) for column in range(len(rows[0]))
        ]
        self.set_font(self.family, "B", 9.5)
        # In proportion to the longest cell plus padding, so that no cell wraps.
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
        """Write the table of contents: chapters and page labels."""
        self.set_font(self.family, "", 11)
        for name, label in self._listed:
            self.cell(self.epw - 15, 8, name)
            self.cell(15, 8, label, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def cover(self, title: str) -> None:
        """Write the upper half of a title page."""
        self.set_fill_color(*_BLUE)
        self.rect(0, 0, self.w, 8, style="F")
        self._fresh = False
        self.set_y(85)
        self.set_text_color(*_BLUE)
        self.text_block(title, 28, "B")
        self.ln(8)
        self.set_text_color(0)


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield the kind and the content of each line; the lines of a table are one block. Blank lines are dropped."""
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
    """Write a text to the document."""
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
    """Return the PDF of one text. The first of two passes finds the page labels for the table of contents."""
    text = (TEXTS / source).read_text("utf-8")
    head = dict(block for block in blocks(text) if block[0] in {"title", "subject"})
    chapters: list[tuple[str, str]] = []
    for _ in range(2):
        document = Document(head["title"], head["subject"], fonts, chapters)
        write(document, text)
        chapters = document.chapters
    return bytes(document.output())


def main(folder: Path) -> None:
    """Write the three PDFs under `folder`, and the canary's to its place."""
    CANARY_PDF.write_bytes(make(CANARY, {}))
    for source, target in EXAMPLES:
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make(source, find_fonts() if source == GUIDE[0] else {}))
        print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
    except FontsMissingError as missing:
        sys.exit(str(missing))
