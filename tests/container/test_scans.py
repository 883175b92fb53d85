"""The ingest image with OCR recognises a scanned page within Lambda's limits."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from io import BytesIO

import pypdfium2
import pytest
from fpdf import FPDF

from infra.container import sam
from tests.container.parts import Cloud, Emulated, ingest_container, status_of, uploaded

pytestmark = pytest.mark.container

IMAGE = "ingestfunction:ocr"
KEY = "scans/boiler.pdf"
TEXT = "The boiler in the cellar has to be drained every 14 weeks.\nClose the main valve before you start."


@pytest.fixture(scope="module")
def recognising(cloud: Cloud) -> Iterator[Emulated]:
    """The image, built with OCR. The classic builder shares no layer with the image without it but the code's."""
    command = ["docker", "build", "--quiet", "--file", "functions/ingest/Dockerfile", "--tag", IMAGE]
    command += ["--build-arg", f"BASE_IMAGE={sam.BASE_IMAGE}", "--build-arg", "OCR=rapidocr", "."]
    subprocess.run(command, cwd=sam.ROOT, check=True, capture_output=True)
    with ingest_container(cloud, IMAGE, DOCWELL_OCR="rapidocr") as running:
        yield running


def scan() -> bytes:
    """A PDF whose one page is a picture of text, at 150 dots an inch."""
    printed = FPDF()
    printed.set_font("helvetica", size=14)
    printed.add_page()
    printed.multi_cell(0, 9, TEXT)
    picture = BytesIO()
    pypdfium2.PdfDocument(bytes(printed.output()))[0].render(scale=150 / 72).to_pil().save(picture, "PNG")
    document = FPDF()
    document.add_page()
    document.image(picture, 0, 0, document.w, document.h)
    return bytes(document.output())


def test_the_image_with_ocr_indexes_a_scanned_page(cloud: Cloud, recognising: Emulated) -> None:
    event = uploaded(cloud, KEY, scan())
    for status in ("PENDING", "INDEXED"):
        assert recognising.invoke(event) == {"batchItemFailures": []}, recognising.logs()
        assert status_of(cloud, KEY) == status, recognising.logs()
        event = cloud.notification() if status == "PENDING" else {}
