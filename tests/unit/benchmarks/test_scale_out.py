"""The document whose workers die in `make scale-out`."""

from __future__ import annotations

from pathlib import Path

import pypdf
import pytest

from benchmarks import scale_out
from benchmarks.scale_out import DEATH_PAGES, DEATH_RANGES, Document


def test_without_the_evaluation_set_the_document_of_the_deaths_has_a_range_for_each_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale_out, "files", lambda: [Document(tmp_path / "example.pdf", 14)])
    document = scale_out.document_of_deaths(tmp_path)
    assert len(pypdf.PdfReader(document.path).pages) == document.pages
    assert document.pages >= DEATH_PAGES
    assert document.pages % DEATH_RANGES == 0


def test_the_document_of_the_deaths_is_the_first_file_with_enough_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = [Document(tmp_path / f"{pages}.pdf", pages) for pages in (DEATH_PAGES - 1, DEATH_PAGES, 300)]
    monkeypatch.setattr(scale_out, "files", lambda: real)
    assert scale_out.document_of_deaths(tmp_path) == real[1]
