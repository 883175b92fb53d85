"""`make bench-chroma` fills a folder with the embedded engine. An interrupted run keeps its figures."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import chroma_size
from benchmarks.chroma_corpus import Corpus
from benchmarks.chroma_size import Figures, fill
from infra.report import Report

pytestmark = pytest.mark.integration


def test_a_server_finds_all_that_was_written_in_two_runs_without_it(tmp_path: Path) -> None:
    for first, stop in ((0, 120), (120, 300)):
        assert fill(tmp_path, first, stop) > 0
    wanted = {f"{number:032x}" for number in range(300)}
    with chroma_size.serving(tmp_path) as (index, _):
        names = index.collections()
        assert {id_ for name in names for id_, _, _ in index.page(name, 0, 1000)} == wanted
        asked = Corpus().question(np.random.default_rng(0), 0)
        assert "/0.pdf" in {one.document.removeprefix("c0") for one in index.search(None, asked, 5)}


def test_an_interrupted_run_reports_the_sizes_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(_folder: Path, _first: int, stop: int) -> float:
        if stop == 400:
            raise KeyboardInterrupt
        return 1.0

    def measured(figures: Figures, _folder: Path, chunks: int) -> None:
        figures.add(f"{chunks} chunks: memory", chunks / 100, "GB")
        figures.chunks.append(chunks)
        figures.memory.append(chunks / 100)

    reports = list[Report]()

    def finished(report: Report) -> int:
        reports.append(report)
        return 0

    monkeypatch.setattr(chroma_size, "fill", interrupted)
    monkeypatch.setattr(chroma_size, "_measure", measured)
    monkeypatch.setattr(Report, "finish", finished)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["chroma_size", "--chunks", "400"])
    assert chroma_size.main() == 1
    rows = {row.metric: row.value for row in reports[0].rows}
    assert (rows["100 chunks: memory"], rows["200 chunks: memory"]) == (1.0, 2.0)
    assert rows["1,000,000 chunks: memory, extrapolated from 100 to 200"] == pytest.approx(10_000)
    assert reports[0].notes == ["Ended early (KeyboardInterrupt): of 3 sizes it has 2."]
