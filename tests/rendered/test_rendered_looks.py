"""Chromium, LibreOffice and Poppler judge the rows of `looks.toml` and `hidden_text.toml`.

A renderer shows a text where a document with other letters in its place gives another picture.
"""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from benchmarks import hidden_text
from benchmarks.chromium import chromium
from tests.unit.adapters.documents.test_looks import ROWS, made_with

TEXTS, PAGE_TEXTS = ("7305", "4186"), (hidden_text.SENTENCE, hidden_text.SENTENCE[::-1])
SUFFIXES = {"word": "docx", "sheets": "xlsx", "slides": "pptx"}
PAGES = {"hidden": hidden_text.kinds("hidden"), "shown": hidden_text.kinds("shown")}
Picture = npt.NDArray[np.int_]


def rows_of(kind: str) -> dict[str, tuple[dict[str, Any], str]]:
    """Return the rows that a renderer can judge, each with its verdict, by a name of its documents."""
    rows = [row for row in ROWS[kind] if "value" in row or "SENTENCE" in str(row) or kind == "sheets"]
    verdicts = [row.get("judge", row.get("is", "hidden" if row["hidden"] else "shown")) for row in rows]
    return {str(at): pair for at, pair in enumerate(zip(rows, verdicts, strict=True)) if pair[1]}


def verdict(pictures: list[Picture]) -> str:
    """Return whether a reader sees a difference: a channel differs as docwell's darkest white from white."""
    first, second = pictures
    return "shown" if first.shape != second.shape or np.max(np.abs(first - second)) >= 255 - 236 else "hidden"


def drawn(pdf: Path) -> Picture:
    """Return the pages of a PDF."""
    pages = subprocess.run(["pdftoppm", "-cropbox", "-r", "96", pdf], capture_output=True, check=True).stdout
    return np.frombuffer(pages, np.uint8).astype(int)


def test_chromium_shows_what_the_rows_of_web_pages_say() -> None:
    wrong = []
    with chromium() as browser:
        page = browser.new_page()
        for row, expected in rows_of("web").values():
            pictures = []
            for text in TEXTS:
                page.set_content(made_with("web", row, text).decode())
                pictures.append(np.asarray(Image.open(io.BytesIO(page.screenshot(full_page=True)))).astype(int))
            wrong += [row] if verdict(pictures) != expected else []
    assert wrong == []


@pytest.mark.parametrize("kind", SUFFIXES)
def test_libreoffice_shows_what_the_rows_of_office_documents_say(kind: str, tmp_path: Path) -> None:
    rows = rows_of(kind)
    for name, (row, _) in rows.items():
        values: list[dict[str, Any]] = [{}, {"value": None} if "value" in row else {}]
        for text, value in zip(TEXTS, values, strict=True):
            (tmp_path / f"{name}-{text}.{SUFFIXES[kind]}").write_bytes(made_with(kind, row | value, text))
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    command = ["soffice", profile, "--headless", "--convert-to", "pdf", "--outdir", str(tmp_path)]
    subprocess.run([*command, *tmp_path.glob(f"*.{SUFFIXES[kind]}")], capture_output=True, check=True)
    verdicts = {name: verdict([drawn(tmp_path / f"{name}-{text}.pdf") for text in TEXTS]) for name in rows}
    assert [row for name, (row, expected) in rows.items() if verdicts[name] != expected] == []


@pytest.mark.parametrize(("look", "name"), [(look, name) for look, makers in PAGES.items() for name in makers])
def test_poppler_shows_what_the_rows_of_pdfs_say(look: str, name: str, tmp_path: Path) -> None:
    make, pictures = PAGES[look][name], []
    for text in PAGE_TEXTS:
        (tmp_path / "a.pdf").write_bytes(make().replace(PAGE_TEXTS[0].encode(), text.encode()))
        pictures.append(drawn(tmp_path / "a.pdf"))
    # A scan's text layer is text that the picture shows, so it is not drawn.
    assert verdict(pictures) == ("hidden" if "scan" in name else look)
