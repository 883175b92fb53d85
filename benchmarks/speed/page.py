"""``python -m benchmarks.speed.page``: write docs/benchmarks.md from the reports of one run.

No figure on that page is typed by hand: tables and verdicts are the reports' rows, and what a benchmark compares
and how is said by the docstring of its module. Exit status: 0 written, 2 the reports are not those of one run.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.speed.comparisons import Comparison, Miss, Verdict, compare, missed
from benchmarks.speed.one_run import Bench, NotOneRunError, read
from benchmarks.speed.options import NAMES, SHORT, UNTIMED
from benchmarks.speed.quiet import MOST_BUSY
from infra.report import REPORTS, ROOT, Row

PAGE = ROOT / "docs" / "benchmarks.md"
# Rows on the machine, which every report has beside its figures; the first three are shares that others took.
_NOISE = ("noise before", "processor taken by others meanwhile", "noise after")
_MACHINE_ROWS = (*_NOISE, "speed of the processor after, of that before")

_TITLES: dict[str, Verdict] = {
    "Another is better:": "loses",
    "docwell is better:": "wins",
    "Too close to tell, since the quartiles overlap:": "level",
}

_HEAD = """\
<!-- Written by `python -m benchmarks.speed.page` from build/reports: change the benchmarks, not this page. -->

# Benchmarks

Measured with commit {commit} on {machine}, on {day}.

What is compared was measured in one run, in turns, and repeated; figures are medians, with their quartiles where
there are repeats. Each peer has an environment of its own (`requirements/peers.txt`), is used as its documentation
shows, and gets the same PDFs, model files and Chroma server. Peers run on Python 3.11 where there is one; their
torch should be the build for CPUs, as that for CUDA is larger and starts later.

Run again: `make bench` measures all of it in an hour and writes this page; `make bench-NAME` measures one part,
and `ARGS="--pdfs DIR"` takes other documents. A machine on which other work takes the processor
before a benchmark is refused; what it took during and after is written beside the figures.

## Where docwell wins and where it loses
"""


def render(run: dict[str, Bench]) -> str:
    """The page, of reports of one commit and machine by name. Raises `NotOneRunError` where there are none."""
    if not run:
        raise NotOneRunError("there are no reports: run `make bench` first")
    if short := [name for name, bench in run.items() if bench.has(SHORT)]:
        raise NotOneRunError(f"measured in the short form: {', '.join(short)}: run `make bench` again")
    first = next(iter(run.values()))
    commit = first.commit.rstrip("+") + (" with changes not committed" if first.commit.endswith("+") else "")
    parts = [_HEAD.format(commit=commit, machine=first.machine, day=first.started[:10])]
    parts += _verdicts(run)
    parts += [_section(bench) for bench in run.values()]
    return "\n".join(parts)


def write(reports: Path = REPORTS, page: Path = PAGE) -> Path:
    """Write the page of the reports in a folder. Raises `NotOneRunError`; then the page stays as it was."""
    page.write_text(render(read(reports, NAMES)), encoding="utf-8")
    return page


def _verdicts(run: dict[str, Bench]) -> Iterator[str]:
    judged = sum(row.goal is not None for bench in run.values() for row in bench.rows)
    misses = [(name, miss) for name, bench in run.items() for miss in missed(bench.rows)]
    yield f"Goals: {judged - len(misses)} of {judged} are held.\n"
    if misses:
        yield _list("Missed:", [_miss(name, miss) for name, miss in misses])
    pairs = [(name, pair) for name, bench in run.items() for pair in compare(bench.rows)]
    for title, verdict in _TITLES.items():
        if found := [_pair(name, pair) for name, pair in pairs if pair.verdict == verdict]:
            yield _list(title, found)
    if absent := [name for name in NAMES if name not in run]:
        yield f"Not measured in this run: {', '.join(absent)}.\n"


def _section(bench: Bench) -> str:
    rows = [row for row in bench.rows if row.metric not in _MACHINE_ROWS]
    spread = any(row.repeats for row in rows)
    head = ["figure", "value", *(["quartiles"] if spread else []), "unit", "goal", ""]
    table = [_line(head), _line(["---", "---:", *["---"] * (len(head) - 2)])]
    table += [_line(_cells(row, spread=spread)) for row in rows]
    return "\n\n".join([f"## {bench.name}", _prose(bench.name), _noise(bench), "\n".join(table)]) + "\n"


def _prose(name: str) -> str:
    """What the module says of itself: read, not imported, since a benchmark may need what is not installed."""
    source = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    text = ast.get_docstring(ast.parse(source)) or ""
    return text.replace("``", "`").strip()


def _noise(bench: Bench) -> str:
    took = f"It took {bench.seconds / 60:.1f} minutes"
    if not bench.has(_NOISE[0]):
        if bench.name in UNTIMED:
            return f"{took}; nothing in it is timed."
        return f"{took}. Whether the machine was quiet was not looked at (`--noisy` or `--short`)."
    shares = {metric: bench.figure(metric) for metric in _NOISE if bench.has(metric)}
    said = ", ".join(f"{metric} {share:.0f} %" for metric, share in shares.items())
    warning = " Take these figures with care." if max(shares.values()) > MOST_BUSY * 100 else ""
    return f"{took}; {said}.{warning}"


def _cells(row: Row, *, spread: bool) -> list[str]:
    verdict = "" if row.goal is None else "held" if row.ok else "**missed**"
    between = ""
    if row.repeats and row.low is not None and row.high is not None:
        between = f"{_number(row.low)} to {_number(row.high)}, of {row.repeats}"
    return [row.metric, _number(row.value), *([between] if spread else []), row.unit, row.goal or "", verdict]


def _miss(name: str, miss: Miss) -> str:
    row = miss.row
    by = f", {_times(miss.times)} off" if miss.times is not None else ""
    return f"{name}: {row.metric}: {_number(row.value)} {row.unit}, the goal is {row.goal}{by}"


def _pair(name: str, pair: Comparison) -> str:
    by = f": {_times(pair.times)}" if pair.times is not None else ""
    own, theirs = (f"{_number(row.value)} {row.unit}" for row in (pair.own, pair.theirs))
    return f"{name}: {pair.what}: docwell {own}, {pair.other} {theirs}{by}"


def _times(times: float) -> str:
    return f"{times:,.2f} times" if times < 10 else f"{times:,.0f} times"


def _number(value: float) -> str:
    """Three digits or more, with no exponent.

    >>> _number(12345.678), _number(0.5), _number(123.456), _number(7.0)
    ('12,346', '0.5', '123.5', '7')
    """
    size = abs(value)
    digits = 0 if size >= 1000 else 1 if size >= 100 else 3
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _list(title: str, items: list[str]) -> str:
    return f"{title}\n\n" + "\n".join(f"- {item}" for item in items) + "\n"


def main() -> int:
    """Write the page."""
    try:
        print(write())
    except NotOneRunError as error:
        print(f"docs/benchmarks.md is not written: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
