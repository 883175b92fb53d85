"""`make up` with other settings than those of the index in its data folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from docwell.config import IngestSettings
from docwell.pipeline import ACTIVE_PIPELINE
from docwell.wiring.pipelines import pipelines
from infra.local.stack import StackOptions, own_settings
from infra.local.supervisor import with_old_index


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DOCWELL_")]:
        monkeypatch.delenv(name)


def row(document: str, pipeline: str, **more: Any) -> dict[str, Any]:
    return {"document": {"S": document}, "pipeline": {"S": pipeline}, **more}


def fingerprint(data: Path, **settings: str) -> str:
    read = IngestSettings.read(**own_settings(StackOptions(data)), **settings)
    return next(iter(pipelines(read)))


def started(data: Path, *rows: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Return the variables that the stack sets because of the ledger, and the lines that it says."""
    (data / "aws").mkdir(parents=True)
    (data / "aws" / "ledger.json").write_text(json.dumps(rows))
    lines: list[str] = []
    return dict(with_old_index(StackOptions(data), lines.append).environment), lines


@pytest.mark.parametrize(("before", "after"), [("off", "rapidocr"), ("rapidocr", "off")])
def test_another_ocr_setting_builds_a_second_index_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    old = fingerprint(tmp_path, ocr=before)
    monkeypatch.setenv("DOCWELL_OCR", after)
    variables, lines = started(tmp_path, row("a.pdf", old))
    assert variables == {"DOCWELL_OCR": before, "DOCWELL_NEXT_OCR": after}
    assert "docwell reindex --start" in lines[0]


def test_after_the_switch_the_new_setting_is_the_only_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = fingerprint(tmp_path, ocr="off"), fingerprint(tmp_path, ocr="rapidocr")
    monkeypatch.setenv("DOCWELL_OCR", "rapidocr")
    fact = row(ACTIVE_PIPELINE, "#state", values={"M": {"fingerprint": {"S": new}}})
    assert started(tmp_path, row("a.pdf", old), row("b.pdf", old), row("a.pdf", new), fact) == ({}, [])
