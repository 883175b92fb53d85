"""The figures that the benchmarks of ingest compute from their measurements."""

from __future__ import annotations

from pathlib import Path

from benchmarks.pdfs import pages_of_words
from benchmarks.retrieval.measures import length, merged
from benchmarks.speed import ingest
from benchmarks.speed.uploads import Indexed
from benchmarks.speed.worker_memory import Peak


def test_slices_have_each_pdf_once_and_about_as_many_pages(tmp_path: Path) -> None:
    pages = {"a": 9, "b": 5, "c": 4, "d": 4, "e": 3, "f": 2}
    for name, count in pages.items():
        (tmp_path / f"{name}.pdf").write_bytes(pages_of_words(count, 10))
    pdfs = sorted(tmp_path.glob("*.pdf"))
    slices = ingest.slices_of(pdfs, 3)
    assert sorted(pdf for one in slices for pdf in one.pdfs) == pdfs
    assert sorted(one.pages for one in slices) == [8, 9, 10]


def test_a_pdf_that_cannot_be_read_is_in_a_slice_all_the_same(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.4 and nothing else")
    assert ingest.slices_of([broken], 3) == [ingest.Slice((broken,), 1)]


def test_time_in_which_a_stage_is_at_work_twice_counts_once() -> None:
    assert length(merged([(5.0, 6.0), (0.0, 2.0), (1.0, 3.0), (1.5, 1.75)])) == 4.0


def test_only_what_is_indexed_counts_as_indexed() -> None:
    rows = {
        "a": {"status": "INDEXED", "pages": "2", "chunks": "3", "characters": "40"},
        "b": {"status": "REJECTED", "pages": "7", "characters": "9"},
    }
    indexed = Indexed(1.0, rows)
    assert [indexed.total(field) for field in ("pages", "chunks", "characters")] == [2, 3, 40]
    assert indexed.not_indexed == ["b"]


def test_the_peak_together_is_of_one_moment() -> None:
    peak = Peak().or_more(worker=300, children=0).or_more(worker=250, children=80)
    assert peak == Peak(worker=300, children=80, together=330)
