"""Made-up statements, forms, tables and papers as PDFs, with the rows that a reader sees.

Each layout is drawn in several orders, because programs write a page's cells by row, by column or as they please.
All text is made up. The same number gives the same page.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fpdf import FPDF

WIDTH, HEIGHT = 600.0, 800.0
SIZE, LEADING = 9.0, 13.0
# Marks a line of prose.
PROSE = "\u00b6"
ORDERS = ("by row", "by column", "numbers first", "shuffled", "from below", "by row, digits apart")
_NOUNS = [
    "Card",
    "Cheque",
    "Transfer",
    "Rent",
    "Salary",
    "Water",
    "Insurance",
    "Repair",
    "Grocery",
    "Fuel",
    "Pension",
    "Travel",
    "Fee",
]
_PLACES = ["Northgate", "Harbour", "Millbrook", "Eastfield", "Riverside", "Oakham", "Station", "Market", "Bridge"]
_ITEMS = "Net sales|Cost of sales|Gross profit|Selling expenses|Research and development|Operating income|"
_ITEMS += "Interest expense, net|Income before taxes|Provision for taxes|Net income|Other current assets|Goodwill"
_FUNDS = "Global Equity Fund|Short Bond Index|Income Trust|Small Companies|Treasury Notes 2031|Emerging Markets"
_LINES = "Wages, tips and other pay|Taxable interest|Ordinary dividends|Pensions and annuities|Total income|"
_LINES += "Adjustments to income|Standard deduction|Taxable income|Tax withheld|Amount you owe"
_SENTENCE = (
    "the measured rate of each sample depends on how the surface was prepared before the second trial began and "
    "on the time that the chamber needed to settle at the given pressure while the sensors were read"
)


@dataclass(frozen=True, slots=True)
class Cell:
    """A text that begins at `x`, or ends there, `y` points below the page's top, with a `raised` one behind it."""

    x: float
    y: float
    text: str
    ends: bool = False
    size: float = SIZE
    raised: str = ""


@dataclass
class Sheet:
    """One page: its name, its cells, and the texts of its `rows`, each of which a reader sees on one line."""

    name: str
    cells: list[Cell] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)

    def row(self, y: float, cells: Sequence[tuple[float, str, bool]]) -> None:
        """Add the cells of a row, given from left to right."""
        self.cells += [Cell(x, y, text, ends) for x, text, ends in cells if text]
        self.rows.append(" ".join(text for _, text, _ in cells if text))


def sheets() -> Iterator[tuple[Sheet, bytes]]:
    """Yield each of the 60 layouts, and its PDF: ten kinds of pages, drawn in six orders."""
    for kind, make in KINDS.items():
        for number, order in enumerate(ORDERS):
            chooser = random.Random(f"{kind} {order}")
            sheet = Sheet(f"{kind}, {order}")
            make(sheet, chooser)
            yield sheet, _drawn(_in_order(sheet, order, chooser), apart=order.endswith("apart"), seed=number)


def _in_order(sheet: Sheet, order: str, chooser: random.Random) -> list[Cell]:
    cells = list(sheet.cells)
    if order == "by column":
        cells.sort(key=lambda cell: (cell.x, cell.y))
    elif order == "numbers first":
        cells.sort(key=lambda cell: not cell.text[-1:].isdigit())
    elif order == "shuffled":
        chooser.shuffle(cells)
    elif order == "from below":
        cells.sort(key=lambda cell: (-cell.y, -cell.x))
    # Columns of prose are written one after the other by any program.
    prose = sorted((cell for cell in cells if cell.text.endswith(PROSE)), key=lambda cell: (cell.x, cell.y))
    return prose + [cell for cell in cells if cell not in prose]


def _drawn(cells: Sequence[Cell], *, apart: bool, seed: int) -> bytes:
    """Return the page; `apart` writes the digits before a number's first comma as a separate text."""
    pdf = FPDF(unit="pt", format=(WIDTH, HEIGHT))
    pdf.set_auto_page_break(auto=False)
    pdf.set_creation_date(datetime(2026, 1, 1, tzinfo=UTC))
    pdf.add_page()
    chooser = random.Random(seed)
    for cell in cells:
        pdf.set_font("Helvetica", size=cell.size)
        text = cell.text.rstrip(PROSE)
        x = cell.x - (pdf.get_string_width(text) if cell.ends else 0.0)
        y = cell.y + chooser.choice((0.0, 0.0, 0.3))  # programs round
        cut = 1 if apart and cell.ends and "," in text and text[0].isdigit() else 0
        if cut:
            pdf.text(x, y, text[:cut])
            x += pdf.get_string_width(text[:cut])
        pdf.text(x, y, text[cut:])
        if cell.raised:
            pdf.set_font("Helvetica", size=0.7 * cell.size)
            pdf.text(cell.x + 0.3, y - 0.4 * cell.size, cell.raised)
    return bytes(pdf.output())


def _amount(chooser: random.Random, most: int = 90_000) -> str:
    return f"{chooser.randint(100, most):,}.{chooser.randint(0, 99):02}"


def _whole(chooser: random.Random) -> str:
    value = f"{chooser.randint(100, 99_999):,}"
    return f"({value})" if chooser.random() < 0.2 else value


def _statement(sheet: Sheet, chooser: random.Random) -> None:
    """A bank's statement: date, description, money out or in, balance."""
    for number in range(22):
        y = 150 + LEADING * number
        text = f"{chooser.choice(_NOUNS)} {chooser.choice(_PLACES)} {chooser.randint(100, 999)}"
        out = chooser.random() < 0.7
        amount = _amount(chooser, 4000)
        cells = [(50.0, f"{number + 1:02}/03/2026", False), (115.0, text, False)]
        sheet.row(y, [*cells, (420.0 if out else 490.0, amount, True), (560.0, _amount(chooser), True)])


def _two_lines(sheet: Sheet, chooser: random.Random) -> None:
    """A statement whose descriptions have a second line, which belongs to no amount."""
    for number in range(13):
        y = 150 + 2 * LEADING * number
        text = f"{chooser.choice(_NOUNS)} {chooser.choice(_PLACES)} branch"
        cells = [(50.0, f"{number + 1:02} Mar", False), (100.0, text, False)]
        sheet.row(y, [*cells, (430.0, _amount(chooser, 4000), True), (550.0, _amount(chooser), True)])
        sheet.cells.append(Cell(100.0, y + LEADING - 2, f"reference {chooser.choice(_PLACES)} office", size=8.0))


def _earnings(sheet: Sheet, chooser: random.Random) -> None:
    """A company's results of two quarters and two years."""
    sheet.row(120, [(330.0, "2025", True), (400.0, "2024", True), (480.0, "2025", True), (560.0, "2024", True)])
    for number, item in enumerate(_ITEMS.split("|")):
        values = [(end, _whole(chooser), True) for end in (330.0, 400.0, 480.0, 560.0)]
        sheet.row(140 + LEADING * number, [(50.0, item, False), *values])


def _dollars(sheet: Sheet, chooser: random.Random) -> None:
    """A balance sheet whose currency signs are in separate columns."""
    for number, item in enumerate(_ITEMS.split("|")):
        signs = [(end - 60, "$", False) for end in (420.0, 540.0)]
        values = [(end, f"{chooser.randint(10_000, 99_999):,}", True) for end in (420.0, 540.0)]
        pairs = [cell for pair in zip(signs, values, strict=True) for cell in pair]
        sheet.row(160 + LEADING * number, [(50.0, item, False), *pairs])


def _tax(sheet: Sheet, chooser: random.Random) -> None:
    """A tax form: the line's number, its label, its number again at the box, the amount."""
    for number, item in enumerate(_LINES.split("|"), 1):
        cells = [(40.0, str(number), False), (60.0, item, False), (450.0, str(number), False)]
        sheet.row(140 + 18 * number, [*cells, (560.0, f"{chooser.randint(1000, 99_999):,}", True)])


def _holdings(sheet: Sheet, chooser: random.Random) -> None:
    """A broker's statement: fund, symbol, units, price, value, gain in smaller type."""
    for number, item in enumerate(_FUNDS.split("|") * 2):
        symbol = "".join(chooser.choices("ABCDEFGHKLMNPRSTVWXZ", k=4))
        cells = [(40.0, item, False), (190.0, symbol, False), (300.0, f"{chooser.randint(10, 900)}.000", True)]
        values = [(370.0, _amount(chooser, 300), True), (460.0, _amount(chooser), True)]
        sheet.row(150 + LEADING * number, [*cells, *values, (560.0, f"{chooser.uniform(-9, 30):.1f}%", True)])


def _invoice(sheet: Sheet, chooser: random.Random) -> None:
    """An invoice with quantities before the descriptions, and totals at the right."""
    for number in range(10):
        cells = [(50.0, str(chooser.randint(1, 40)), False), (90.0, f"{chooser.choice(_NOUNS)} service", False)]
        values = [(430.0, _amount(chooser, 200), True), (550.0, _amount(chooser, 9000), True)]
        sheet.row(200 + LEADING * number, [*cells, *values])
    for number, item in enumerate(("Subtotal", "Tax 20%", "Total due")):
        sheet.row(350 + LEADING * number, [(360.0, item, False), (550.0, _amount(chooser, 9000), True)])


def _side_by_side(sheet: Sheet, chooser: random.Random) -> None:
    """Two tables beside each other, whose rows a reader sees apart from each other or as one line."""
    for number in range(12):
        y = 150 + LEADING * number
        left = [(40.0, f"{chooser.choice(_PLACES)} {number}", False), (270.0, _amount(chooser), True)]
        right = [(310.0, f"{chooser.choice(_PLACES)} {number + 40}", False), (560.0, _amount(chooser), True)]
        sheet.row(y, left)
        sheet.row(y, right)


def _paper(sheet: Sheet, chooser: random.Random) -> None:
    """A page of two columns of prose at the same heights, with a table at the foot of the left one."""
    words = _SENTENCE.split()
    for number in range(40):
        y = 80 + 12 * number
        for x in (40.0, 315.0):
            if x > 300 or number < 30:
                text = " ".join(chooser.choices(words, k=9))
                sheet.cells.append(Cell(x, y, f"{text}{PROSE}"))
                sheet.rows.append(f"\n{text}\n")
    for number in range(8):
        values = [(200.0, _amount(chooser, 900), True), (280.0, _amount(chooser, 900), True)]
        sheet.row(80 + 12 * (31 + number), [(40.0, f"Trial {number + 1}", False), *values])


def _powers(sheet: Sheet, chooser: random.Random) -> None:
    """Quantities with raised exponents, which a reader does not take for digits."""
    for number in range(12):
        y, exponent = 150 + 16 * number, chooser.randint(2, 19)
        name, unit = f"{chooser.choice(_PLACES)} count", chooser.choice(("per litre", "per day"))
        power = Cell(260.0, y, "10", ends=True, raised=str(exponent))
        sheet.cells += [Cell(50.0, y, name), power, Cell(280.0, y, unit)]
        sheet.rows.append(f"{name} 10^{exponent} {unit}")


KINDS: dict[str, Callable[[Sheet, random.Random], None]] = {
    "statement of account": _statement,
    "statement with second lines": _two_lines,
    "earnings": _earnings,
    "balance sheet": _dollars,
    "tax form": _tax,
    "holdings": _holdings,
    "invoice": _invoice,
    "two tables": _side_by_side,
    "paper": _paper,
    "powers of ten": _powers,
}


def found(sheet: Sheet, text: str) -> int:
    """Return how many of a sheet's rows a text has on one line; prose must be on a separate line."""
    lines = "\n".join(" ".join(line.split()).replace("$ ", "$") for line in text.split("\n"))
    return sum(row.replace("$ ", "$") in f"\n{lines}\n" for row in sheet.rows)
