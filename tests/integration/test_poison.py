"""Every kind of poison ends in a named status, within 30 s of processor time (typically 5 s) and 1 GB."""

from __future__ import annotations

import os
import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.poison.kinds import AMPLIFIERS, poison_kinds
from benchmarks.reading import Reading, read_all

# All files together take minutes.
pytestmark = pytest.mark.slow

BUDGET_S, TYPICAL_S, BUDGET_BYTES = 30, 5, 1_000_000_000
# Files with only one right outcome, for any version of the readers.
REFUSED = {
    "empty_file": "empty_file",
    "random_after_header": "corrupt",
    "truncated_in_the_page_tree": "corrupt",
    "flate_bomb": "too_much_memory",
    "one_page_a_hundred_thousand_times": "too_many_pages",
    "cyclic_page_tree": "corrupt",
    "text_of_private_characters": "unreadable",
    "form_of_xml_only": "dynamic_form",
    "locked_with_a_password": "encrypted",
    "locked_by_a_stranger": "encrypted",
    **dict.fromkeys(AMPLIFIERS, "too_much_text"),
}
# Files of a hundred pages, of which one cannot be read.
BAD_PAGES = {"bomb_among_a_hundred_pages": "too_much_memory", "long_page_among_a_hundred": "too_much_text"}
# Files with a good page beside an odd one: a reader that gives up loses a document.
READ = {
    "polyglot",
    "web_page",
    "hundreds_of_filters",
    "two_billion_pages_claimed",
    "cyclic_page_labels",
    "cyclic_outline",
    "table_before_itself",
    "length_that_is_the_stream_itself",
    "length_beyond_the_end",
    "unended_string",
    "giant_array",
    "deep_arrays",
    "million_objects",
}
EMPTY = {"script_only", "content_elsewhere"}


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reading]:
    folder = tmp_path_factory.mktemp("poison")
    workers = os.cpu_count() or 1

    def write(name: str) -> Path:
        path = folder / f"{name}.pdf"
        path.write_bytes(poison_kinds()[name]())
        return path

    with ThreadPoolExecutor(workers) as pool:
        paths = list(pool.map(write, poison_kinds()))
    return {reading.path.stem: reading for reading in read_all(paths, workers)}


def test_every_kind_ends_in_a_named_status(readings: dict[str, Reading]) -> None:
    assert len(readings) == len(poison_kinds()) >= 40
    odd = {name: reading.outcome for name, reading in readings.items() if reading.status == "UNEXPECTED"}
    assert odd == {}


def test_no_kind_costs_more_than_the_budget(readings: dict[str, Reading]) -> None:
    dear = [
        reading for reading in readings.values() if reading.cpu_s > BUDGET_S or reading.peak_bytes > BUDGET_BYTES
    ]
    assert dear == []
    assert statistics.median(reading.cpu_s for reading in readings.values()) < TYPICAL_S


def test_what_must_be_refused_is_refused_for_its_reason(readings: dict[str, Reading]) -> None:
    assert {name: readings[name].outcome for name in REFUSED} == {
        name: f"REJECTED({reason})" for name, reason in REFUSED.items()
    }


def test_a_good_page_beside_an_oddity_is_read(readings: dict[str, Reading]) -> None:
    assert {name: readings[name].outcome for name in READ} == dict.fromkeys(READ, "INDEXED")


def test_one_bad_page_among_a_hundred_is_lost_for_its_reason(readings: dict[str, Reading]) -> None:
    found = {name: (readings[name].outcome, readings[name].unreadable) for name in BAD_PAGES}
    assert found == {name: ("INDEXED", (reason,)) for name, reason in BAD_PAGES.items()}


def test_documents_without_text_are_empty_and_nothing_else_is_read_for_them(readings: dict[str, Reading]) -> None:
    assert {name: readings[name].outcome for name in EMPTY} == dict.fromkeys(EMPTY, "EMPTY(no_text)")
