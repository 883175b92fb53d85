"""The report of a command that measures something: a table for people, JSON for machines."""

from __future__ import annotations

import json
import operator
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from infra.measuring import Spread

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "build" / "reports"
# The evaluation material is not part of the repository. DOCWELL_EVAL names another folder.
EVALUATION = Path(os.environ.get("DOCWELL_EVAL", ROOT.parent / "shared" / "eval"))

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_GOAL = re.compile(r"(<=|>=|==|<|>) (-?[0-9.]+)")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `goal` is a comparison with a number, such as `<= 50`. Without a goal `ok` is true."""

    metric: str
    value: float
    unit: str
    goal: str | None
    ok: bool
    # The quartiles and the number of repeated measurements.
    low: float | None = None
    high: float | None = None
    repeats: int | None = None


def meets(value: float, goal: str | None) -> bool:
    """Return whether a value meets its goal.

    >>> meets(3, "<= 50"), meets(3, "== 0"), meets(3, None)
    (True, False, True)

    Raises:
        ValueError: the goal is not a comparison with a number.
    """
    if goal is None:
        return True
    match = _GOAL.fullmatch(goal)
    if match is None:
        raise ValueError(f"a goal is a comparison with a number, not {goal!r}")
    return _COMPARISONS[match[1]](value, float(match[2]))


@dataclass
class Report:
    """Rows under one name, and notes for people. `finish` prints and stores them."""

    name: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    _clock: float = field(default_factory=time.monotonic)

    def add(self, metric: str, value: float, unit: str, goal: str | None = None) -> Row:
        """Add a figure and compare it with its goal. Raises `ValueError` for a malformed goal."""
        row = Row(metric, round(value, 3), unit, goal, meets(value, goal))
        self.rows.append(row)
        return row

    def add_spread(self, metric: str, spread: Spread, unit: str, goal: str | None = None) -> Row:
        """Add the median of repeats with the quartiles. Raises as `add` does."""
        value, low, high = (round(figure, 3) for figure in (spread.median, spread.low, spread.high))
        row = Row(metric, value, unit, goal, meets(spread.median, goal), low, high, spread.repeats)
        self.rows.append(row)
        return row

    @property
    def ok(self) -> bool:
        """Return whether there are figures and every goal holds."""
        return bool(self.rows) and all(row.ok for row in self.rows)

    def finish(self, folder: Path = REPORTS) -> int:
        """Write `folder/NAME.json`, print the table and the missed goals, and return the exit status."""
        document = {
            "name": self.name,
            "commit": commit(),
            "machine": machine(),
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._clock, 1),
            "rows": [{k: v for k, v in asdict(row).items() if v is not None or k == "goal"} for row in self.rows],
            "notes": self.notes,
            "ok": self.ok,
        }
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        console = Console(highlight=False)
        console.print(self._table())
        for note in self.notes:
            console.print(note, markup=False, soft_wrap=True)
        console.print(f"{path}", style="dim", soft_wrap=True)
        # Print missed goals last, because people see the end of a long log.
        for line in self.missed():
            console.print(line, style="red", markup=False, soft_wrap=True)
        return 0 if self.ok else 1

    def missed(self) -> list[str]:
        """Return a line for each missed goal."""
        if not self.rows:
            return ["missed: nothing was measured"]
        return [
            " ".join(f"missed: {row.metric}: {row.value:,g} {row.unit}".split()) + f", goal {row.goal}"
            for row in self.rows
            if not row.ok
        ]

    def _table(self) -> Table:
        table = Table(title=f"{self.name}: {machine()}", title_justify="left", title_style="bold")
        table.add_column("figure")
        table.add_column("value", justify="right")
        if spread := any(row.repeats for row in self.rows):
            table.add_column("quartiles")
        table.add_column("unit")
        table.add_column("goal")
        table.add_column("")
        for row in self.rows:
            verdict = "" if row.goal is None else "[green]ok[/]" if row.ok else "[red]missed[/]"
            between = [f"{row.low:,g} to {row.high:,g}" if row.repeats else ""] if spread else []
            table.add_row(row.metric, f"{row.value:,g}", *between, row.unit, row.goal or "", verdict)
        return table


def machine() -> str:
    """Describe processor, cores, memory, system and Python."""
    processor = platform.processor() or platform.machine()
    with_name = Path("/proc/cpuinfo")
    if with_name.exists():
        names = re.findall(r"^model name\s*:\s*(.+)$", with_name.read_text(encoding="utf-8"), re.MULTILINE)
        processor = names[0] if names else processor
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    python = ".".join(map(str, sys.version_info[:3]))
    system = f"{platform.system()} {platform.machine()}"
    return f"{processor}, {os.cpu_count()} cores, {gigabytes:.0f} GB, {system}, Python {python}"


def commit() -> str:
    """Return the short commit, with `+` for a changed working tree; `unknown` outside git.

    Ignore changes of pages that runs write from their reports.
    """
    try:
        short = git("rev-parse", "--short", "HEAD")
        return short + ("+" if git("status", "--porcelain", "--", ".", *_WRITTEN) else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


# `make bench` writes docs/generated/benchmarks.md.
_WRITTEN = (":!docs/generated",)


def git(*arguments: str) -> str:
    """Return what git prints. Raises `CalledProcessError`."""
    result = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return result.stdout.strip()
