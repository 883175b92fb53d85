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
EACH_KIND = pytest.mark.parametrize("data", DOCUMENTS, ids=["docx", "xlsx", "pptx"])


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


@EACH_KIND
def test_a_document_without_properties_has_none(data: bytes) -> None:
    assert parts_of(changed(data, None))[1] == Metadata()


@EACH_KIND
def test_a_property_that_is_not_stated_is_not_made_up(data: bytes) -> None:
    assert parts_of(changed(data, stating("<dc:title>Pumps</dc:title>")))[1] == Metadata("Pumps")


@EACH_KIND
def test_the_stated_properties_are_read(data: bytes) -> None:
    created = '<dcterms:created xsi:type="dcterms:W3CDTF">2026-03-02T10:00:00Z</dcterms:created>'
    found = parts_of(changed(data, stating(f"<dc:creator>Ann</dc:creator>{created}")))[1]
    assert found == Metadata(None, "Ann", "D:20260302")
