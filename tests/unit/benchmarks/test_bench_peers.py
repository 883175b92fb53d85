"""The comparisons with peers: the best settings of the faster one come first and have goals."""

from __future__ import annotations

import pytest

from benchmarks.peers.run import BEST, DEFAULTS
from benchmarks.speed import encode, find, ingest
from benchmarks.speed.options import BenchError, Options
from infra.report import Report


def _rows(report: Report) -> list[tuple[str, float, str | None]]:
    return [(row.metric, row.value, row.goal) for row in report.rows]


def test_ingest_is_compared_with_the_faster_peer_of_each_slice() -> None:
    report = Report("bench-ingest")
    speeds = {"docwell": [40.0, 40.0]}
    speeds |= dict(zip(DEFAULTS, ([10.0, 4.0], [5.0, 8.0]), strict=True))
    speeds |= dict(zip(BEST, ([20.0, 10.0], [10.0, 25.0]), strict=True))
    ingest._add_comparison(report, Options(), speeds)
    metric = "docwell's characters a second over the faster peer's"
    assert _rows(report) == [(f"{metric}, best settings", 1.8, ">= 2"), (f"{metric}, defaults", 4.5, ">= 4")]


def test_finding_is_compared_with_the_faster_retriever_of_each_round() -> None:
    report = Report("bench-find")
    medians = {find._OWN: [20.0], find._BARE: [8.0]} | dict(zip(DEFAULTS, ([16.0], [20.0]), strict=True))
    medians |= dict(zip(BEST, ([10.0], [12.5]), strict=True))
    find._add_comparison(report, Options(), medians)
    assert [(value, goal) for _, value, goal in _rows(report)] == [
        (2.0, "<= 1.2"),
        (0.8, "<= 0.8"),
        (1.25, "<= 1.2"),
        (0.5, "<= 0.8"),
    ]
    assert [row.ok for row in report.rows] == [False, True, False, True]


def test_few_pdfs_make_a_round_of_finding_smaller_until_they_are_too_few() -> None:
    assert [find.round_size(questions, 4, 60) for questions in (1_000, 250, 249, 50)] == [60, 60, 59, 10]
    with pytest.raises(BenchError, match="the PDFs give 49 questions, and 50 are needed"):
        find.round_size(49, 4, 60)


@pytest.mark.parametrize("short", [True, False])
def test_the_short_form_judges_no_time_of_a_peer(short: bool) -> None:
    report = Report("bench-find")
    medians = {find._OWN: [1.0], find._BARE: [1.0], **{name: [1.0] for name in (*DEFAULTS, *BEST)}}
    find._add_comparison(report, Options(short=short), medians)
    assert all((row.goal is None) is short for row in report.rows)


def test_encoding_is_compared_with_the_limit_before_the_peers() -> None:
    report = Report("bench-encode")
    seconds = {f"raw {runtime}": [0.9] for runtime in encode.RUNTIMES}
    seconds |= {f"docwell, {runtime}": [1.0] for runtime in encode.RUNTIMES}
    seconds |= dict(zip(encode.PEERS, ([4.0], [1.5]), strict=True))
    encode._add_comparison(report, Options(), seconds)
    limits, peers = report.rows[: len(encode.RUNTIMES)], report.rows[len(encode.RUNTIMES) :]
    assert not any(row.ok for row in limits)
    assert [row.value for row in peers[:2]] == [1.5, 4.0]
