"""Make one small example of each kind of document that is no PDF, with the same content each time.

    python examples/make_formats.py [FOLDER]

All of them mention the pump P-204, each in one place.
"""

from __future__ import annotations

import io
import re
import sys
import zipfile
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pptx

HERE = Path(__file__).parent
FOLDER = "pump-station"
_DATE = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
_ZIP_DATE = (2026, 1, 15, 12, 0, 0)
_TIMES = re.compile(rb"(<dcterms:(?:created|modified)[^>]*>)[^<]*")


def word() -> bytes:
    """A service manual."""
    document = docx.Document()
    document.core_properties.title = "Service manual"
    document.add_heading("Service manual", 0)
    document.add_heading("Yearly service", 1)
    document.add_paragraph("Switch the pump off and close both valves before you open the housing.")
    document.add_heading("Seals", 2)
    document.add_paragraph("Replace the shaft seal of the pump P-204 every 8,000 hours.")
    return _settled(document)


def workbook() -> bytes:
    """A list of spare parts."""
    book = openpyxl.Workbook()
    book.active.title = "Parts"
    for row in (
        ["Part", "Fits", "Price"],
        ["Shaft seal", "pump P-204", 148.5],
        ["Impeller", "pump P-110", 612],
        ["Coupling", "pump P-110", 95],
    ):
        book.active.append(row)
    return _settled(book)


def slides() -> bytes:
    """A talk of two slides."""
    talk = pptx.Presentation()
    for title, text in (
        ("Pump station in 2026", "Two pumps\nOne new control cabinet"),
        ("Plans", "The pump P-204 gets a speed control in May\nThe old cabinet is removed in June"),
    ):
        slide = talk.slides.add_slide(talk.slide_layouts[1])
        slide.shapes.title.text, slide.placeholders[1].text = title, text
    talk.slides[1].notes_slide.notes_text_frame.text = "Say that the station stays in operation."
    return _settled(talk)


def message() -> bytes:
    """An order, with its items as an attachment."""
    made = EmailMessage()
    made["From"], made["To"] = "station@example.org", "orders@example.org"
    made["Subject"], made["Date"] = "Spare parts", _DATE
    made.set_content("Please deliver the attached items before the end of April.")
    items = "item,for,count\nShaft seal,pump P-204,2\nGasket,pump P-110,4\n"
    made.add_attachment(items, subtype="csv", filename="items.csv")
    made.set_boundary("pump-station")
    return bytes(made)


TEXTS = {
    "rounds.txt": "Monday\n\nThe pump P-204 runs at 71 degrees.\n\nTuesday\n\nNo remarks.\n",
    "starting.md": "# Starting\n\n1. Open the inlet valve.\n2. Vent the pump P-204 for 30 seconds.\n",
    "noise.html": "<!doctype html><title>Noise</title><h1>Noise</h1>"
    "<p>Stop the pump P-204 when its bearing is loud."
    "<p style='display: none'>This paragraph is not shown.\n",
    "hours.csv": "pump,hours,last service\nP-110,12040,2025-11-02\nP-204,6310,2025-06-17\n",
}


def _settled(document: Any) -> bytes:
    """Return the saved file with fixed times in place of now."""
    saved, out = io.BytesIO(), io.BytesIO()
    document.save(saved)
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = _TIMES.sub(rb"\g<1>2026-01-15T12:00:00Z", old.read(name))
            new.writestr(zipfile.ZipInfo(name, _ZIP_DATE), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def files() -> dict[str, bytes]:
    """Return the content of each file by its name."""
    made = {"service.docx": word(), "parts.xlsx": workbook(), "plans.pptx": slides(), "order.eml": message()}
    return made | {name: text.encode() for name, text in TEXTS.items()}


def main(folder: Path) -> None:
    """Write the files under `folder`."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    for name, data in files().items():
        (folder / FOLDER / name).write_bytes(data)
        print(f"{folder / FOLDER / name}: {len(data) / 1024:.0f} KiB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
