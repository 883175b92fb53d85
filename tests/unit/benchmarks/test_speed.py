"""The page of the speed benchmarks' reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.speed.options import BenchError, write_page


def test_the_page_refuses_reports_of_the_short_form(tmp_path: Path) -> None:
    rows = [
        {"metric": "pages a second", "value": 40, "unit": "pages/s", "goal": None, "ok": True},
        {"metric": "short form", "value": 1},
    ]
    report = {"commit": "abc1234", "machine": "m", "started": "2026-03-04T05:06:07", "seconds": 90, "rows": rows}
    (tmp_path / "bench-ingest.json").write_text(json.dumps(report))
    with pytest.raises(BenchError, match="short form: run `make bench-ingest`"):
        write_page(tmp_path, tmp_path / "page.md")
    assert not (tmp_path / "page.md").exists()
