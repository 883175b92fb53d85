"""`make hard-pdfs`: every broken, odd or hostile PDF of a folder ends in a named status, in bounded time.

`python -m benchmarks.hard_pdfs [--folder DIR | --poison]` reads each file as ingest does. What pdfinfo,
PDFium and pypdf make of it comes from the evaluation set's manifest; for another folder, and with `--live`, the
two libraries are run alone, in bounded processes of their own. `--poison` reads the kinds of `benchmarks.poison`
instead.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.reader_alone import read_alone
from benchmarks.reading import UNEXPECTED, Reading, read_all
from infra.report import EVALUATION, Report

TOOLS = ("pdfinfo", "pdfium", "pypdf")
SLOWEST = 8

T = TypeVar("T")
# What a tool makes of a file: "text", "no text", "opens", "locked" or "fails".
Verdicts = Mapping[str, Mapping[str, str]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Read every file, print tables, write the report. Gives the exit status."""
    options = _options(arguments)
    evaluation = EVALUATION / "hard_pdfs"
    with tempfile.TemporaryDirectory(prefix="docwell-poison-") as scratch:
        if options.poison:
            from benchmarks.poison import poison_kinds

            for name, make in poison_kinds().items():
                (Path(scratch) / f"{name}.pdf").write_bytes(make())
        folder = Path(scratch) if options.poison else options.folder or evaluation / "pdf"
        paths = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
        if not paths:
            print(f"No files in {folder}: set DOCWELL_EVAL or give --folder.", file=sys.stderr)
            return 2
        report = Report("poison" if options.poison else "hard-pdfs")
        started = monotonic()
        readings = _watched(read_all(paths, options.workers), len(paths), "docwell")
        seconds = monotonic() - started
        verdicts: Verdicts = {}
        source = "as the manifest has them"
        if options.live or options.folder:
            verdicts, source = _run_live(paths, options.workers), "run alone just now"
        elif not options.poison:
            verdicts = _from_manifest(evaluation / "manifest_dev.csv")
    console = Console(highlight=False)
    console.print(_by_outcome(readings, verdicts, source))
    console.print(_slowest(readings))
    _figures(report, readings, seconds)
    if verdicts:
        # A folder of the user's own may hold none that can be read.
        _comparison(report, readings, verdicts, None if options.folder else ">= 1")
    return report.finish()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hard_pdfs", description=__doc__)
    parser.add_argument("--folder", type=Path, help="another folder of PDFs; needs no manifest")
    parser.add_argument("--poison", action="store_true", help="the generated kinds of poison")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="files at once (default: cores)")
    parser.add_argument("--live", action="store_true", help="run PDFium and pypdf alone, manifest or not")
    return parser.parse_args(arguments)


def _watched(results: Iterable[T], total: int, name: str) -> list[T]:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        return list(progress.track(results, total=total, description=name))


def _run_live(paths: Sequence[Path], workers: int) -> Verdicts:
    jobs = [(library, path) for path in paths for library in ("pdfium", "pypdf")]
    with ThreadPoolExecutor(workers) as pool:
        said = _watched(pool.map(lambda job: read_alone(*job), jobs), len(jobs), "PDFium and pypdf alone")
    verdicts: dict[str, dict[str, str]] = {path.name: {} for path in paths}
    for (library, path), verdict in zip(jobs, said, strict=True):
        verdicts[path.name][library] = verdict
    return verdicts


def _from_manifest(manifest: Path) -> Verdicts:
    with manifest.open(encoding="utf-8", newline="") as file:
        return {row["file"]: {tool: _verdict(row, tool) for tool in TOOLS} for row in csv.DictReader(file)}


def _verdict(row: Mapping[str, str], tool: str) -> str:
    if "password" in row[f"{tool}_error"].lower():
        return "locked"
    if row[f"{tool}_error"] or not row[f"pages_{tool}"]:
        return "fails"
    letters = row.get(f"text_letters_{'pdftotext' if tool == 'pdfinfo' else tool}") or "0"
    return "text" if int(float(letters)) > 0 else "no text"


def _by_outcome(readings: Sequence[Reading], verdicts: Verdicts, source: str) -> Table:
    """A row for each outcome: how many files, and what the tools make of the same files."""
    beside = f", and the same files by each tool alone ({source})" if verdicts else ""
    table = Table(title=f"docwell's outcomes{beside}", title_justify="left")
    table.add_column("docwell", no_wrap=True)
    table.add_column("files", justify="right")
    tools = [tool for tool in TOOLS if any(tool in verdict for verdict in verdicts.values())]
    for tool in tools:
        table.add_column("pdfinfo + pdftotext" if tool == "pdfinfo" else tool)
    for outcome, count in Counter(reading.outcome for reading in readings).most_common():
        names = [reading.path.name for reading in readings if reading.outcome == outcome]
        cells = []
        for tool in tools:
            found = Counter(verdicts.get(name, {}).get(tool, "unknown") for name in names)
            cells.append("\n".join(f"{number} {verdict}" for verdict, number in found.most_common()))
        table.add_row(outcome, str(count), *cells)
    return table


def _slowest(readings: Sequence[Reading]) -> Table:
    table = Table(title="Slowest files", title_justify="left")
    for name in ("file", "outcome", "pages", "s", "MB"):
        table.add_column(name, justify="left" if name in {"file", "outcome"} else "right")
    for reading in sorted(readings, key=lambda reading: -reading.seconds)[:SLOWEST]:
        cells = (str(reading.pages), f"{reading.seconds:.1f}", f"{reading.peak_bytes / 1e6:.0f}")
        table.add_row(reading.path.name, reading.outcome, *cells)
    return table


def _figures(report: Report, readings: Sequence[Reading], seconds: float) -> None:
    """What the files cost."""
    refused = [reading for reading in readings if reading.status == "REJECTED"]
    unnamed = [reading for reading in readings if reading.status == UNEXPECTED]
    for reading in unnamed:
        print(f"{reading.path.name}: {reading.outcome}", file=sys.stderr)
    share = 1 - len(unnamed) / len(readings)
    report.add(f"share of {len(readings)} files that end in a named status", share, "", "== 1")
    report.add("time for all files", seconds, "s", "<= 900")
    report.add("a file's time, median", statistics.median(reading.seconds for reading in readings), "s", "<= 5")
    if refused:
        times = [reading.seconds for reading in refused]
        report.add("a refused file's time, median", statistics.median(times), "s", "<= 5")
        report.add("a refused file's time, worst", max(times), "s", "<= 30")
        peak = max(reading.peak_bytes for reading in refused) / 1e6
        report.add("a refused file's memory, worst", peak, "MB", "<= 1000")
    report.add("any file's memory, worst", max(reading.peak_bytes for reading in readings) / 1e6, "MB")


def _comparison(report: Report, readings: Sequence[Reading], verdicts: Verdicts, goal: str | None) -> None:
    """What docwell lost that both libraries can read; `goal` is for how many there must be of those."""
    names = {
        name
        for name, verdict in verdicts.items()
        if verdict.get("pdfium") == "text" and verdict.get("pypdf") == "text"
    }
    readable = [reading for reading in readings if reading.path.name in names]
    lost = [reading for reading in readable if reading.status != "INDEXED"]
    for reading in lost:
        print(f"{reading.path.name}: {reading.outcome}, and both libraries read it", file=sys.stderr)
    refused = sum(reading.status == "REJECTED" for reading in lost)
    report.add("files that PDFium and pypdf both read as text", len(readable), "files", goal)
    report.add("files that PDFium and pypdf both read as text and docwell refuses", refused, "files", "== 0")
    report.add("files that PDFium and pypdf both read as text and docwell does not", len(lost), "files", "== 0")


if __name__ == "__main__":
    raise SystemExit(main())
