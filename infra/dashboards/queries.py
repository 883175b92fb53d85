"""The saved Logs Insights queries of queries.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path

from infra.dashboards.parts import SavedQuery

_ROWS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
NAMED = {name: SavedQuery(name, row["function"], row["text"]) for name, row in _ROWS.items()}
