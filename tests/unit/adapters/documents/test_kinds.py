"""The kind and the encoding of documents whose content invites a confusion."""

from __future__ import annotations

import io
import tomllib
import zipfile
from pathlib import Path

import pytest

from docwell.adapters.documents.kinds import Kind, binary_kind, declared, decoded, is_locked, text_kind
from tests.unit.adapters.documents.made import cited, parts_of, presentation, saved, word, workbook

UMLAUTS = "Größe und Höhe müssen täglich geprüft werden.\n"
CASES = tomllib.loads(Path(__file__).with_name("texts.toml").read_text(encoding="utf-8"))
ENGLISH = "The pump runs at a steady rate and the valve stays closed until the tank is full.\n" * 50
WINDOWS = ENGLISH + "It costs £5 at 40 °C.\n" + ENGLISH, ENGLISH + "Señor Núñez\u2019s café is “open”.\n"
LONG = "".join(f'{at},"Line of {at},\n{"word " * 300}\nend."\n' for at in range(90))
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def packed(outer: bytes, name: str, inner: bytes) -> bytes:
    """A zip with another in it that is not compressed again."""
    made = io.BytesIO(outer)
    with zipfile.ZipFile(made, "a") as file:
        file.writestr(name, inner, zipfile.ZIP_STORED)
    return made.getvalue()


def zipped(name: str, data: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr(name, data)
    return made.getvalue()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (packed(saved(presentation()), "ppt/embeddings/a.xlsx", saved(workbook())), Kind.SLIDES),
        (packed(saved(workbook()), "xl/embeddings/a.docx", word(lambda _: None)), Kind.SHEETS),
        (zipped("a.docx", word(lambda _: None)), None),
        (zipped("word/document2.xml", b""), Kind.WORD),
    ],
)
def test_a_document_inside_an_office_file_does_not_tell_its_kind(data: bytes, kind: Kind | None) -> None:
    assert binary_kind(data) == kind


def test_a_message_with_a_locked_attachment_is_not_locked() -> None:
    names = "__properties_version1.0".encode("utf-16-le"), "EncryptedPackage".encode("utf-16-le")
    assert is_locked(OLE + names[1])
    assert not is_locked(OLE + names[0] + names[1])


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain line\n" * 7000 + UMLAUTS.encode("cp1252"), "plain line\n" * 7000 + UMLAUTS),
        (UMLAUTS.encode() * 50 + b"\xff end", UMLAUTS * 50 + "\ufffd end"),
        (("日本語の文章です。\n" * 50).encode()[:-2], "日本語の文章です。\n" * 49 + "日本語の文章です\ufffd"),
        (b"plain line\n" * 7000 + UMLAUTS.encode() + b"\xff", "plain line\n" * 7000 + UMLAUTS + "\ufffd"),
        ("x请每天检查油位。\n".encode("gbk") * 6000, "x请每天检查油位。\n" * 6000),
        (b"Read me.\r\n\x1a", "Read me.\n"),
        (b"one\x0btwo", "one\x0btwo"),
        ("Höhe".encode("utf-32"), "Höhe"),
        (b"\xff\xfe" + bytes(range(32)) + bytes(64), None),
        *((case["text"].encode(case["encoding"]), case["text"]) for case in CASES["encoded"]),
        *((text.encode("cp1252"), text) for text in WINDOWS),
    ],
)
def test_a_text_of_any_encoding_is_decoded_even_if_a_part_of_it_misleads(data: bytes, text: str | None) -> None:
    assert decoded(data) == text


def test_a_form_feed_and_other_separators_end_no_line() -> None:
    assert list(cited(parts_of("one\n\x0c\nthree\u2028still\nfour\n".encode())[0])) == [
        "line 1",
        "line 3",
        "line 4",
    ]
    assert cited(parts_of("name,note\nAnn,x\u2028y\nBob,z\n".encode())[0])["A2:B2"] == "name: Ann | note: x y"


@pytest.mark.parametrize("piece", ["=", "-", ":-", ":-|", "- ", "| ", ": ", "-\n", "| -", "#", "a,", ", "])
def test_a_long_repetitive_text_is_text_or_markdown(piece: str) -> None:
    for start in ("|", "<a "):
        assert text_kind(start + piece * (200_000 // len(piece)) + "x") in {Kind.TEXT, Kind.MARKDOWN}


def test_a_very_wide_table_is_a_table_of_values() -> None:
    assert text_kind("|a" * 60 + "|\n" + "|-" * 60 + "|\n" + ("|b" * 60 + "|\n") * 9) == Kind.MARKDOWN
    assert text_kind("|a" * 5_000 + "|\n" + "|-" * 5_000 + "|\n" + ("|b" * 5_000 + "|\n") * 9) == Kind.TABLE


@pytest.mark.parametrize("case", CASES["text"], ids=[case["text"][:40] for case in CASES["text"]])
def test_the_content_of_a_text_tells_its_kind(case: dict[str, str]) -> None:
    assert text_kind(case["text"]) == case["kind"]


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ('<meta charset="windows-1250"><p>Łódź'.encode("cp1250"), "cp1250"),
        ('<?xml version="1.0" encoding="shift_jis"?>毎日'.encode("shift_jis"), "shift_jis"),
        ('<meta content="text/html; charset=ISO-8859-1">5 €'.encode("cp1252"), "cp1252"),
        ('<meta charset="utf-8">Höhe'.encode("cp1252"), None),
        (b'<meta charset="none such">', None),
        ('charset = "cp1250": Łódź'.encode("cp1250"), None),
    ],
)
def test_a_page_is_read_as_it_declares_where_it_can_be(data: bytes, encoding: str | None) -> None:
    assert declared(data) == encoding


@pytest.mark.parametrize(
    ("text", "last"),
    [
        *((case["text"], case["last"]) for case in CASES["table"]),
        ("id,text\n" + LONG, f"id: 89 | text: Line of 89, {'word ' * 300}end."),
    ],
)
def test_a_row_has_its_header_whatever_surrounds_the_table(text: str, last: str) -> None:
    assert parts_of(text.encode())[0][-1].text.split("\n\n")[-1] == last
