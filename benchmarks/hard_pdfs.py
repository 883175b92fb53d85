"""``make hard-pdfs``: check that every broken or hostile file of a folder ends in a named status in time.

It reads each file as ingest does. The manifest of the evaluation set has the results of PDFium and pypdf. Then it
makes and reads hostile and damaged files of the other kinds of document. `--folder` reads another folder instead.
"""

import argparse
import csv
import os
import random
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic

from benchmarks.reading import UNEXPECTED, Reading, read_all
from infra.progress import bar
from infra.report import EVALUATION, Report

SLOWEST = 8
SEED = 7
# These files have only a placeholder page: it asks for another viewer, or lists attached files.
PLACEHOLDERS = frozenset({"REJECTED(dynamic_form)", "REJECTED(portfolio)"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Read every file, print tables, write the report. Return the exit status."""
    parser = argparse.ArgumentParser(prog="hard_pdfs", description=__doc__)
    parser.add_argument("--folder", type=Path, help="another folder of documents")
    parser.add_argument("--n", type=int, help="a sample of the files (default: all)")
    options = parser.parse_args(arguments)
    evaluation = EVALUATION / "hard_pdfs"
    folder: Path = options.folder or evaluation / "pdf"
    paths = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    if not paths:
        print(f"No files in {folder}: set DOCWELL_EVAL or give --folder.", file=sys.stderr)
        return 2
    if options.n and options.n < len(paths):
        paths = sorted(random.Random(SEED).sample(paths, options.n))
    report, started, readings = Report("hard-pdfs"), monotonic(), list[Reading]()
    with bar("docwell", len(paths)) as step:
        for reading in read_all(paths, os.cpu_count() or 1):
            readings.append(reading)
            step()
    report.add("time for all files", monotonic() - started, "s", "<= 900")
    for outcome, count in Counter(reading.outcome for reading in readings).most_common():
        print(f"{outcome}: {count} files")
    for reading in sorted(readings, key=lambda reading: -reading.cpu_s)[:SLOWEST]:
        print(f"{reading.cpu_s:5.1f} s, {reading.peak_bytes / 1e6:4.0f} MB:", reading.path.name, reading.outcome)
    _add_readings(report, "files", readings)
    if refused := [reading for reading in readings if reading.status == "REJECTED"]:
        _add_costs(report, "a refused file's", refused)
    _add_costs(report, "a file's", readings)
    losing = [reading for reading in readings if reading.status == "INDEXED" and reading.unreadable]
    report.add("files that are indexed without some of their pages", len(losing), "files")
    if folder == evaluation / "pdf":
        _compare(report, readings, evaluation / "manifest_dev.csv")
        _read_formats(report)
    return report.finish()


def _add_readings(report: Report, title: str, readings: Sequence[Reading]) -> None:
    """Add the share of files with a named status."""
    unnamed = [reading for reading in readings if reading.status == UNEXPECTED]
    for reading in unnamed:
        print(f"{reading.path.name}: {reading.outcome}", file=sys.stderr)
    share = 1 - len(unnamed) / len(readings)
    report.add(f"share of {len(readings)} {title} that end in a named status", share, "", "== 1")


def _add_costs(report: Report, title: str, readings: Sequence[Reading]) -> None:
    median = statistics.median(reading.cpu_s for reading in readings)
    report.add(f"{title} processor time, median", median, "s", "<= 5")
    report.add(f"{title} processor time, worst", max(reading.cpu_s for reading in readings), "s", "<= 30")
    peak = max(reading.peak_bytes for reading in readings) / 1e6
    report.add(f"{title} memory, worst", peak, "MB", "<= 1000")


def _read_formats(report: Report) -> None:
    """Read hostile and damaged files of each kind that is no PDF."""
    # Import it here: the workers import this module, and the Office libraries would count as memory of every file.
    from benchmarks.poison.formats import format_poison

    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, make in format_poison().items():
            path = Path(folder) / name
            path.write_bytes(make())
            paths.append(path)
        readings = list(read_all(paths, os.cpu_count() or 1))
    _add_readings(report, "hostile files of other kinds", readings)
    _add_costs(report, "their", readings)


def _compare(report: Report, readings: Sequence[Reading], manifest: Path) -> None:
    """Add the pages and text that docwell lost in files that both libraries read."""
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    comparable = {row["file"] for row in rows if all(_has_text(row, tool) for tool in ("pdfium", "pypdf"))}
    readable = [reading for reading in readings if reading.path.name in comparable]
    # Hidden text and placeholder pages do not count as lost.
    lost = [
        reading
        for reading in readable
        if reading.status != "INDEXED" and not reading.hidden and reading.outcome not in PLACEHOLDERS
    ]
    for reading in lost:
        print(f"{reading.path.name}: {reading.outcome}, and both libraries read it", file=sys.stderr)
    report.add("files that PDFium and pypdf both read as text", len(readable), "files", ">= 1")
    report.add("files that PDFium and pypdf both read as text and docwell does not", len(lost), "files", "== 0")


def _has_text(row: Mapping[str, str], tool: str) -> bool:
    failed = row[f"{tool}_error"] or not row[f"pages_{tool}"]
    return not failed and float(row.get(f"text_letters_{tool}") or 0) >= 1


if __name__ == "__main__":
    sys.exit(main())
