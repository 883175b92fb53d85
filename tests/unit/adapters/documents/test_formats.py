"""The text and the citation units of each kind of document that is no PDF."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest

from docwell.adapters.documents.formats import add, kind_of
from docwell.adapters.documents.kinds import Kind
from docwell.adapters.documents.parts import PART_CHARACTERS, Parts
from docwell.adapters.documents.quality import tidy
from docwell.errors import Refused
from tests.unit.adapters.documents.made import (
    cited,
    image,
    message,
    parts_of,
    presentation,
    revision,
    run,
    saved,
    word,
    workbook,
)


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04" + bytes(100),
        b"MZ\x90\x00" + bytes(60),
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
        rb"{\rtf1\ansi Hello}",
        b"%!PS-Adobe-3.0\nshowpage\n%%EOF",
        b"<?xml version='1.0'?><invoice/>",
        b"<svg xmlns='http://www.w3.org/2000/svg'><text>Hi</text></svg>",
        b"GIF89a" + bytes(20),
    ],
)
def test_other_content_is_refused(data: bytes) -> None:
    with pytest.raises(Refused) as refused:
        kind_of(data)
    assert refused.value.reason == "unknown_kind"


def test_an_office_document_with_a_password_is_encrypted() -> None:
    with pytest.raises(Refused) as refused:
        kind_of(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512) + "EncryptedPackage".encode("utf-16-le"))
    assert refused.value.reason == "encrypted"


def test_a_paragraph_is_cited_below_its_headings() -> None:
    def body(document: Any) -> None:
        document.add_heading("Pumps", 1)
        document.add_heading("Oil", 2)
        document.add_paragraph("Use 3 litres.")
        document.add_heading("Valves", 1)
        document.add_paragraph("Close them.")

    parts, _ = parts_of(word(body))
    assert cited(parts)["Pumps > Oil > paragraph 3"] == "Use 3 litres."
    assert cited(parts)["Valves > paragraph 5"] == "Close them."
    assert parts[0].headings == [("Pumps", 99.0), ("Oil", 98.0), ("Valves", 99.0)]


def test_word_text_is_the_text_after_all_changes() -> None:
    def body(document: Any) -> None:
        paragraph = document.add_paragraph("The price is ")
        for change in (
            revision("del", "90"),
            revision("ins", "80"),
            revision("moveFrom", "old"),
            revision("moveTo", " EUR"),
        ):
            paragraph._p.append(change)
        paragraph._p.append(run("<w:rPr><w:vanish/></w:rPr><w:t>secret</w:t>"))
        paragraph._p.append(run('<w:rPr><w:vanish w:val="0"/></w:rPr><w:t> net</w:t>'))

    parts, _ = parts_of(word(body))
    assert parts[0].text == "The price is 80 EUR net"
    assert parts[0].hidden == len("90") + len("secret")


def test_word_comments_tables_and_heads_are_text() -> None:
    def body(document: Any) -> None:
        document.sections[0].header.paragraphs[0].text = "Acme, ref 7-B"
        paragraph = document.add_paragraph("Check the seal.")
        document.add_comment(paragraph.runs, "Monthly?", author="Ann")
        table = document.add_table(2, 2)
        for place, text in {(0, 0): "Part", (0, 1): "Mass", (1, 0): "Rotor", (1, 1): "3 kg"}.items():
            table.cell(*place).text = text

    parts, _ = parts_of(word(body))
    expected = "Acme, ref 7-B\n\nCheck the seal.\n[Comment by Ann: Monthly?]\n\nPart | Mass\n\nRotor | 3 kg"
    assert parts[0].text == expected


def test_a_slide_has_its_text_table_and_marked_notes() -> None:
    parts, _ = parts_of(saved(presentation()))
    table, notes = "Step | Days\n\nStep: Build | Days: 12", "[Speaker notes: Thank the team]"
    assert cited(parts) == {"slide 1": f"Plan\n\nBuild it\nTest it\n\n{table}\n\n{notes}"}


def test_a_hidden_slide_is_no_text_and_keeps_its_number() -> None:
    shown_slides = presentation()
    shown_slides.slides[0]._element.set("show", "0")
    second = shown_slides.slides.add_slide(shown_slides.slide_layouts[1])
    second.shapes.title.text = "Costs"
    assert cited(parts_of(saved(shown_slides))[0]) == {"slide 2": "Costs"}


def test_markdown_is_read_as_a_viewer_shows_it() -> None:
    front = "---\ntitle: Manual\n---\n"
    text = front + "# Pumps\n\nSome **bold** [link](http://example.org)\n\n| a | b |\n|--|--|\n| 1 | 2 |\n"
    parts, metadata = parts_of(text.encode())
    assert metadata.title == "Manual"
    assert cited(parts) == {
        "Pumps > paragraph 1": "Pumps",
        "Pumps > paragraph 2": "Some bold link",
        "Pumps > paragraph 3": "a | b",
        "Pumps > paragraph 4": "a: 1 | b: 2",
    }


def test_a_message_has_its_attachments_as_parts() -> None:
    inner = message(("note.txt", b"Inner note"))
    made = message(
        ("budget.xlsx", saved(workbook())),
        ("photo.png", image("PNG")),
        ("bad.docx", b"PK\x03\x04word/document.xml"),
    )
    made.add_attachment(inner)
    parts, metadata = parts_of(bytes(made))
    found = cited(parts)
    assert found["message header"].endswith("Attachments: budget.xlsx, photo.png, bad.docx, Pump order")
    assert found["message text"] == "The pumps arrive on Friday.\n\nRegards"
    assert found["attachment budget.xlsx, Budget!A4:C4"] == "Region: West | Sales: 7 | Share: 0"
    assert found["attachment Pump order, attachment note.txt, line 1"] == "Inner note"
    assert found["attachment photo.png"] == "[This attachment is not read: no_text]"
    assert found["attachment bad.docx"] == "[This attachment is not read: corrupt]"
    assert metadata[:3] == ("Pump order", "ann@example.org", "D:20260302")


@pytest.mark.parametrize(
    ("sent", "line"),
    [("2026-03-02T10:00+00:00", "Date: 2026-03-02 10:00+00:00\n"), ("1601-01-01T00:00+00:00", "")],
)
def test_a_message_of_outlook_has_its_header_text_and_attachments(
    monkeypatch: pytest.MonkeyPatch, sent: str, line: str
) -> None:
    made = SimpleNamespace(
        sender="Ann <ann@example.org>",
        subject="Pump order",
        sent_date=dt.datetime.fromisoformat(sent),
        recipients=[SimpleNamespace(name="Bob", email_address="bob@example.org")],
        body="The pumps arrive.\n",
        html_body=None,
        attachments=[SimpleNamespace(attached_by_value=True, file_bytes=b"Note\n", file_name="note.txt")],
    )
    monkeypatch.setattr("docwell.adapters.documents.mail.Message.load", lambda _: made)
    parts = Parts()
    add(Kind.OUTLOOK, b"", parts)
    header = "From: Ann <ann@example.org>\nTo: Bob <bob@example.org>\n" + line
    assert cited(parts.end()) == {
        "message header": f"{header}Subject: Pump order\nAttachments: note.txt",
        "message text": "The pumps arrive.",
        "attachment note.txt, line 1": "Note",
    }


def test_each_picture_of_an_image_is_a_part_without_text() -> None:
    parts, _ = parts_of(image("TIFF", frames=2))
    assert [(part.text, part.units[0][2]) for part in parts] == [("", "image 1"), ("", "image 2")]


def test_a_long_text_is_cut_into_parts_whose_units_stay_in_place() -> None:
    parts = Parts()
    for number in range(200):
        parts.paragraph(f"{number}: " + "word " * 40)
    parts.paragraph("x" * (2 * PART_CHARACTERS + 5))
    made = parts.end()
    assert all(0 < len(part.text) <= PART_CHARACTERS + 2 for part in made)
    assert all(tidy(part.text) == part.text for part in made)
    found = cited(made)
    assert all(found[f"paragraph {number + 1}"].startswith(f"{number}: word") for number in range(200))
    assert sum(part.text.count("x") for part in made) == 2 * PART_CHARACTERS + 5
