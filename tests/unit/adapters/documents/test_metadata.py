"""The title, author and date of Office documents that state none."""

from __future__ import annotations

import io
import re
import zipfile

import pytest

from docwell.adapters.documents.parts import Metadata
from tests.unit.adapters.documents.made import parts_of, presentation, saved, word, workbook

PROPERTIES = "docProps/core.xml"
DOCUMENTS = [word(lambda document: document.add_paragraph("a")), saved(workbook()), saved(presentation())]


def changed(data: bytes, properties: bytes | None) -> bytes:
    """A document with other properties, or without them, as some programs write it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as before, zipfile.ZipFile(out, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == PROPERTIES:
                content = properties or b""
            elif properties is None:
                content = re.sub(
                    rb"<(?:Relationship|Override) [^>]*core(?:-properties|\.xml)[^>]*/>", b"", content
                )
            if content:
                after.writestr(name, content)
    return out.getvalue()


def stating(properties: str) -> bytes:
    names = (
        'xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    )
    return f"<cp:coreProperties {names}>{properties}</cp:coreProperties>".encode()


CREATED = '<dcterms:created xsi:type="dcterms:W3CDTF">2026-03-02T10:00:00Z</dcterms:created>'


@pytest.mark.parametrize("data", DOCUMENTS, ids=["docx", "xlsx", "pptx"])
@pytest.mark.parametrize(
    ("properties", "metadata"),
    [
        (None, Metadata()),
        (stating("<dc:title>Pumps</dc:title>"), Metadata("Pumps")),
        (stating(f"<dc:creator>Ann</dc:creator>{CREATED}"), Metadata(None, "Ann", "D:20260302")),
    ],
    ids=["none", "title", "author and day"],
)
def test_stated_properties_are_read_and_no_other_is_made_up(
    data: bytes, properties: bytes | None, metadata: Metadata
) -> None:
    assert parts_of(changed(data, properties))[1] == metadata
