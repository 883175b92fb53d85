"""docwell's dashboard of contents.toml, and the saved Logs Insights queries of queries.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from infra.dashboards.parts import MINUTES_5, Formula, Graph, Line, SavedQuery, Section, Table, metric

_QUERIES = tomllib.loads(Path(__file__).with_name("queries.toml").read_text(encoding="utf-8"))
NAMED = {name: SavedQuery(name, row["function"], row["text"]) for name, row in _QUERIES.items()}


def _line(row: list[str]) -> Line | Formula:
    source, label, statistic, *options = [*row, "Sum"][: max(3, len(row))]
    if source.startswith("= "):
        return Formula(source.removeprefix("= "), label)
    return Line(metric(source), label, statistic, hidden="hidden" in options)


def _panel(row: dict[str, Any]) -> Graph | Table:
    if "query" in row:
        return Table(row["title"], NAMED[row["query"]])
    lines, period = tuple(map(_line, row["lines"])), row.get("period", MINUTES_5)
    of_aws = row.get("of_aws", False)
    return Graph(row["title"], lines, row.get("unit", "count"), row.get("stacked", False), period, of_aws)


_ROWS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))["sections"]
SECTIONS = tuple(Section(row["question"], row["explanation"], tuple(map(_panel, row["panels"]))) for row in _ROWS)
