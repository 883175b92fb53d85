"""Documents uploaded to the bucket of the local stack: the status and the chunks of each."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import httpx
import pypdf
import pytest
from fpdf import FPDF

from tests.e2e.conftest import Doors

pytestmark = pytest.mark.e2e


def pdf(*pages: str) -> bytes:
    document = FPDF()
    document.set_font("helvetica", size=12)
    for text in pages:
        document.add_page()
        document.multi_cell(0, 6, text)
    return bytes(document.output())


def scanned_pdf() -> bytes:
    document = FPDF()
    document.add_page()
    document.rect(20, 20, 100, 100, style="F")
    return bytes(document.output())


def encrypted_pdf() -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf("A secret text.")))
    writer.encrypt(user_password="open sesame", owner_password="owner")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def texts_in_chroma(doors: Doors, key: str, expected: list[str]) -> list[str]:
    """Return the texts of a document's chunks once they are the expected ones, or after 30 seconds.

    Ingest switches the generation in the ledger before it removes the old chunks.
    """
    deadline = time.monotonic() + 30
    while True:
        texts = [chunk["text"] for chunk in chunks_in_chroma(doors, key)]
        if texts == expected or time.monotonic() > deadline:
            return texts
        time.sleep(0.2)


def chunks_in_chroma(doors: Doors, key: str) -> list[dict[str, Any]]:
    """Return the chunks that the Chroma server has of a document, without docwell's code."""
    base = f"{doors.stack.chroma}/api/v2/tenants/default_tenant/databases/default_database/collections"
    token = {"Authorization": f"Bearer {doors.stack.token}"}
    chunks: list[dict[str, Any]] = []
    for collection in httpx.get(base, params={"limit": 1000}, headers=token, trust_env=False).json():
        answer = httpx.post(
            f"{base}/{collection['id']}/get",
            json={"where": {"document": key}, "include": ["metadatas", "documents"]},
            headers=token,
            trust_env=False,
        ).json()
        chunks += [
            {"text": text, **metadata, **json.loads(metadata["chunk"])}
            for text, metadata in zip(answer["documents"], answer["metadatas"], strict=True)
        ]
    return chunks


def test_a_pdf_is_indexed_with_its_pages(doors: Doors) -> None:
    version = doors.put("e2e/plain.pdf", pdf("The first page speaks of herons.", "The second of otters."))
    document = doors.settled("e2e/plain.pdf", version)
    assert (document["status"], document["pages"], document["pages_done"]) == ("INDEXED", 2, 2)
    chunks = chunks_in_chroma(doors, "e2e/plain.pdf")
    assert {chunk["page_start"]: "otters" in chunk["text"] for chunk in chunks} == {1: False, 2: True}


@pytest.mark.parametrize(
    "key", ["e2e/a+b.pdf", "e2e/100% & more.pdf", "e2e/é 日本 .pdf", "e2e//..//double.pdf", "no folder.pdf"]
)
def test_a_key_of_any_spelling_is_indexed_and_deleted(doors: Doors, key: str) -> None:
    version = doors.put(key, pdf("Some text about badgers."))
    assert doors.settled(key, version)["status"] == "INDEXED"
    assert chunks_in_chroma(doors, key)
    doors.delete(key)
    doors.settled(key, None)
    assert texts_in_chroma(doors, key, []) == []


@pytest.mark.parametrize(
    ("name", "body", "status", "reason"),
    [
        ("encrypted.pdf", encrypted_pdf(), "REJECTED", "encrypted"),
        ("scan.pdf", scanned_pdf(), "EMPTY", "no_text"),
        ("archive.pdf", b"\x00\x01\xfe\xff" * 99, "REJECTED", "unknown_kind"),
        ("zero.pdf", b"", "REJECTED", "empty_file"),
        ("cut.pdf", pdf("x" * 500)[:300], "REJECTED", "corrupt"),
    ],
)
def test_a_file_that_cannot_be_indexed_ends_in_a_named_status(
    doors: Doors, name: str, body: bytes, status: str, reason: str
) -> None:
    key = f"e2e/{name}"
    document = doors.settled(key, doors.put(key, body))
    assert (document["status"], document["reason"]) == (status, reason)
    assert document["detail"] or reason == "empty_file"
    assert chunks_in_chroma(doors, key) == []
