"""`make up` with other settings than those of the index in its data folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from docwell.config import IngestSettings
from docwell.pipeline import ACTIVE_PIPELINE
from docwell.wiring.pipelines import pipelines
from infra.local.stack import StackOptions, own_settings
from infra.local.supervisor import is_rebuilt
from tests.unit.cases import rows

pytestmark = pytest.mark.usefixtures("no_settings")


def row(document: str, pipeline: str, **more: Any) -> dict[str, Any]:
    return {"document": {"S": document}, "pipeline": {"S": pipeline}, **more}


def fingerprint(data: Path, **settings: Any) -> str:
    read = IngestSettings.read(**own_settings(StackOptions(data)), **settings)
    return next(iter(pipelines(read)))


@pytest.mark.parametrize(("settings", "switched", "rebuilt"), rows(__file__, "index_changes"), ids=str)
def test_an_index_is_rebuilt_for_other_chunks_but_not_for_ocr(
    tmp_path: Path, settings: dict[str, Any], *, switched: bool, rebuilt: bool
) -> None:
    old, new = fingerprint(tmp_path, **settings), fingerprint(tmp_path)
    rows = [row("a.pdf", old), row("b.pdf", old)]
    if switched:
        fact = row(ACTIVE_PIPELINE, "#state", values={"M": {"fingerprint": {"S": new}}})
        rows += [row("a.pdf", new), fact]
    (tmp_path / "aws").mkdir(parents=True)
    (tmp_path / "aws" / "ledger.json").write_text(json.dumps(rows))
    assert is_rebuilt(StackOptions(tmp_path)) is rebuilt
