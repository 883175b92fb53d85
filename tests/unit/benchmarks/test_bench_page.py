"""The page of figures, from the reports of one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed.comparisons import compare, missed
from benchmarks.speed.one_run import NotOneRunError, read
from benchmarks.speed.page import render, write
from infra.report import Row


def row(metric: str, value: float, unit: str, goal: str | None = None, **more: Any) -> dict[str, Any]:
    return {"metric": metric, "value": value, "unit": unit, "goal": goal, "ok": True} | more


INGEST = [
    row("noise before", 3.0, "%"),
    row("docwell: pages a second", 40, "pages/s", low=39.0, high=41.0, repeats=3),
    row("LangChain: pages a second", 10, "pages/s", low=9.0, high=11.0, repeats=3),
    row("LlamaIndex: pages a second", 40.5, "pages/s", low=38.0, high=42.0, repeats=3),
    row("over the faster peer", 2.5, "x", ">= 3", ok=False),
]
SIZE = [
    row("docwell: ingest image, added to its base", 244, "MB", "<= 400"),
    row("docwell: query function", 197, "MB"),
    row("sentence-transformers: query function", 98.5, "MB"),
]


def store(
    folder: Path, name: str, rows: list[dict[str, Any]], commit: str = "abc1234", machine: str = "one"
) -> None:
    document = {"name": f"bench-{name}", "commit": commit, "machine": machine, "rows": rows, "ok": True}
    document |= {"started": "2026-03-04T05:06:07+00:00", "seconds": 90.0}
    (folder / f"bench-{name}.json").write_text(json.dumps(document))


@pytest.fixture
def page(tmp_path: Path) -> str:
    store(tmp_path, "size", SIZE)
    store(tmp_path, "ingest", INGEST)
    return write(tmp_path, tmp_path / "page.md").read_text()


def part(page: str, title: str) -> str:
    """The lines below a title, to the next empty line after the first item."""
    return page.split(f"{title}\n\n", 1)[1].split("\n\n", 1)[0]


def test_it_names_the_commit_the_machine_and_the_day(page: str) -> None:
    assert "Measured with commit abc1234 on one, on 2026-03-04." in page


def test_changes_that_are_not_committed_are_said(tmp_path: Path) -> None:
    store(tmp_path, "size", SIZE, commit="abc1234+")
    assert "commit abc1234 with changes not committed on" in render(read(tmp_path, ["size"]))


def test_a_missed_goal_stands_at_the_top_with_by_how_much(page: str) -> None:
    assert "Goals: 1 of 2 are held." in page
    assert part(page, "Missed:") == "- ingest: over the faster peer: 2.5 x, the goal is >= 3, 1.20 times off"


def test_where_another_is_better_is_said_as_plainly_as_where_docwell_is(page: str) -> None:
    assert part(page, "Another is better:") == (
        "- size: query function: docwell 197 MB, sentence-transformers 98.5 MB: 2.00 times"
    )
    assert part(page, "docwell is better:") == (
        "- ingest: pages a second: docwell 40 pages/s, LangChain 10 pages/s: 4.00 times"
    )


def test_quartiles_that_overlap_are_no_win_and_no_loss(page: str) -> None:
    assert "LlamaIndex 40.5 pages/s" in part(page, "Too close to tell, since the quartiles overlap:")


def test_each_benchmark_has_its_words_and_its_table(page: str) -> None:
    section = page.split("## ingest", 1)[1]
    assert "| figure | value | quartiles | unit | goal |  |" in section
    assert "| LangChain: pages a second | 10 | 9 to 11, of 3 | pages/s |  |  |" in section
    assert "| over the faster peer | 2.5 |  | x | >= 3 | **missed** |" in section
    assert "by the very\nscripts" in page.split("## size", 1)[1].split("## ingest", 1)[0]


def test_noise_is_told_apart_from_the_figures(page: str) -> None:
    ingest = page.split("## ingest", 1)[1]
    assert "It took 1.5 minutes; noise before 3 %." in ingest
    assert "| noise before" not in ingest


def test_noise_that_was_not_looked_at_is_said_where_something_is_timed(tmp_path: Path) -> None:
    store(tmp_path, "size", SIZE)
    store(tmp_path, "ingest", INGEST[1:])
    size, ingest = render(read(tmp_path, ["size", "ingest"])).split("## size", 1)[1].split("## ingest", 1)
    assert "It took 1.5 minutes; nothing in it is timed." in size
    assert "was not looked at" in ingest


def test_figures_of_a_noisy_machine_are_to_be_taken_with_care(tmp_path: Path) -> None:
    store(tmp_path, "size", [row("noise before", 3.0, "%"), row("noise after", 40.0, "%"), *SIZE])
    assert "noise after 40 %. Take these figures with care." in render(read(tmp_path, ["size"]))


def test_what_was_not_measured_is_named(page: str) -> None:
    assert "Not measured in this run: encode, coldstart," in page


@pytest.mark.parametrize("other", [{"commit": "def5678"}, {"machine": "another"}])
def test_reports_of_two_runs_are_refused_and_the_page_stays(tmp_path: Path, other: dict[str, str]) -> None:
    store(tmp_path, "size", SIZE)
    store(tmp_path, "ingest", INGEST, **other)
    page = tmp_path / "page.md"
    page.write_text("as it was")
    with pytest.raises(NotOneRunError, match=rf"not of one {next(iter(other))}.*run `make bench` again"):
        write(tmp_path, page)
    assert page.read_text() == "as it was"


@pytest.mark.parametrize("content", ["", "[]", '{"rows": [{"metric": "x"}]}'])
def test_what_is_no_report_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "bench-size.json").write_text(content)
    with pytest.raises(NotOneRunError, match=r"bench-size\.json is no report"):
        read(tmp_path, ["size"])


def test_without_reports_it_is_said_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(NotOneRunError, match="run `make bench` first"):
        write(tmp_path, tmp_path / "page.md")


def test_less_is_better_of_times_sizes_and_failures_and_more_of_rates_but_chunks_say_nothing() -> None:
    rows = [
        Row("docwell: p50", 10, "ms", None, ok=True),
        Row("LangChain: p50", 20, "ms", None, ok=True),
        Row("docwell: tokens", 10, "tokens/s", None, ok=True),
        Row("raw: tokens", 20, "tokens/s", None, ok=True),
        Row("docwell: 1,000 pages", 3, "USD cents", None, ok=True),
        Row("managed: 1,000 pages", 0, "USD cents", None, ok=True),
        Row("docwell: PDFs that it did not index", 1, "PDFs", None, ok=True),
        Row("LangChain: PDFs that it did not index", 3, "PDFs", None, ok=True),
        Row("docwell: pages", 3, "pages", None, ok=True),
        Row("LangChain: pages", 4, "pages", None, ok=True),
        Row("docwell: chunks", 3, "chunks/s", None, ok=True),
        Row("LangChain: chunks", 4, "chunks/s", None, ok=True),
    ]
    assert [(pair.what, pair.verdict, pair.times) for pair in compare(rows)] == [
        ("p50", "wins", 2.0),
        ("tokens", "loses", 2.0),
        ("1,000 pages", "loses", None),
        ("PDFs that it did not index", "wins", 3.0),
    ]


def test_a_count_that_had_to_be_none_is_missed_by_no_number_of_times() -> None:
    (miss,) = missed([Row("errors", 3, "errors", "== 0", ok=False), Row("p50", 1, "ms", "<= 20", ok=True)])
    assert (miss.row.metric, miss.times) == ("errors", None)
