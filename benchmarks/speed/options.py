"""The options of every speed benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.progress import CONSOLE
from infra.report import EVALUATION, ROOT

# Each is a module here with `measure(report, options)`, and `make bench-NAME`. `cost` reads the others' reports.
NAMES = ("size", "encode", "coldstart", "stream", "query", "memory", "ingest", "scale", "cost")

# The row that marks a report of the short form.
SHORT = "short form"


class BenchError(Exception):
    """A benchmark cannot run; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """`short` is the form that CI runs: less of everything, no peers, and no goals for timings.

    `pdfs` are folders of PDFs that replace those of the evaluation set.
    """

    short: bool = False
    peers: bool = True
    pdfs: tuple[Path, ...] = ()

    def goal(self, text: str) -> str | None:
        """Return the goal of a timing; the short form measures too little to have one."""
        return None if self.short else text

    def folders(self, *sets: str) -> list[Path]:
        """Return the folders of PDFs: those given, else these evaluation sets, else the examples."""
        found = [folder for name in sets if (folder := EVALUATION / name / "pdf").is_dir()]
        chosen = list(self.pdfs) or found or [ROOT / "examples"]
        CONSOLE.print(f"PDFs: {', '.join(map(str, chosen))}")
        return chosen
