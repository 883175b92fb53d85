"""Every hostile or damaged file ends in a named status, within 30 s of processor time and 1 GB."""

from __future__ import annotations

import os
import statistics
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.poison.formats import format_poison
from benchmarks.poison.kinds import AMPLIFIERS, poison_kinds
from benchmarks.reading import Reading, read_all

# All files together take minutes.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CASES = tomllib.loads(Path(__file__).with_name("poison.toml").read_text())
OUTCOMES = {
    "pdf": CASES["pdf"] | dict.fromkeys(AMPLIFIERS, "REJECTED(too_much_text)"),
    "other": CASES["other"],
}
TYPICAL_S = {"pdf": 5, "other": 30}


@pytest.fixture(scope="module", params=list(OUTCOMES))
def kind(request: pytest.FixtureRequest) -> str:
    """PDFs, or files of other kinds."""
    return str(request.param)


@pytest.fixture(scope="module")
def readings(kind: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reading]:
    folder, workers = tmp_path_factory.mktemp("poison"), os.cpu_count() or 1
    files = poison_kinds() if kind == "pdf" else format_poison()

    def write(name: str) -> Path:
        path = folder / name
        path.write_bytes(files[name]())
        return path

    with ThreadPoolExecutor(workers) as pool:
        paths = list(pool.map(write, files))
    return {reading.path.name: reading for reading in read_all(paths, workers)}


def test_every_file_ends_in_a_named_status(readings: dict[str, Reading]) -> None:
    assert len(readings) >= 40
    assert {name: reading.outcome for name, reading in readings.items() if reading.status == "UNEXPECTED"} == {}


def test_no_file_costs_more_than_the_budget(kind: str, readings: dict[str, Reading]) -> None:
    dear = [reading for reading in readings.values() if reading.cpu_s > 30 or reading.peak_bytes > 1_000_000_000]
    assert dear == []
    assert statistics.median(reading.cpu_s for reading in readings.values()) < TYPICAL_S[kind]


def test_a_file_is_read_or_refused_for_its_reason(kind: str, readings: dict[str, Reading]) -> None:
    assert {name: readings[name].outcome for name in OUTCOMES[kind]} == OUTCOMES[kind]


def test_one_bad_page_among_a_hundred_is_lost_for_its_reason(kind: str, readings: dict[str, Reading]) -> None:
    lost = {name: readings[name].unreadable for name in CASES["lost"] if kind == "pdf"}
    assert all(reasons == (CASES["lost"][name],) for name, reasons in lost.items())
