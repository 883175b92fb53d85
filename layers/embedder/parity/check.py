"""Hold the built embedder to sentence-transformers: cosine >= 0.9999 on 200 texts.

    python layers/embedder/parity/check.py [MODEL_FOLDER]

Prints a table, writes build/reports/parity.json, and exits with 0 only when the goal holds.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.table import Table

from docwell.adapters.onnx_embedder import OnnxEmbedder
from docwell.errors import DocwellError
from layers.embedder.parity.compare import GOAL, Parity, compare

_ROOT = Path(__file__).resolve().parents[3]


def main() -> int:
    """Exit status: 0 the goal holds, 1 it does not or there is no model."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else _ROOT / "layers" / "embedder" / "model"
    started, clock = datetime.now(UTC), perf_counter()
    try:
        embedder = OnnxEmbedder(folder)
        loaded = perf_counter() - clock
        parity = compare(embedder)
    except DocwellError as error:
        sys.stderr.write(f"error: {error.detail}\n")
        return 1
    rows = _rows(parity, loaded)
    ok = all(row["ok"] for row in rows)
    report = {
        "name": "parity",
        "commit": _commit(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}, {parity.reference}",
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(perf_counter() - clock, 1),
        "rows": rows,
        "ok": ok,
    }
    path = _ROOT / "build" / "reports" / "parity.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    _print(embedder.manifest.name, parity, rows)
    return 0 if ok else 1


def _rows(parity: Parity, loaded: float) -> list[dict[str, Any]]:
    lowest = min(parity.cosines.values())
    return [
        {"metric": "lowest cosine", "value": lowest, "unit": "", "goal": f">= {GOAL}", "ok": lowest >= GOAL},
        {"metric": "mean cosine", "value": mean(parity.cosines.values()), "unit": "", "goal": None, "ok": True},
        {"metric": "largest difference", "value": parity.difference, "unit": "", "goal": None, "ok": True},
        {"metric": "texts", "value": len(parity.cosines), "unit": "texts", "goal": None, "ok": True},
        {"metric": "loading the model", "value": round(loaded, 3), "unit": "s", "goal": None, "ok": True},
        {"metric": "embedding", "value": round(parity.seconds, 3), "unit": "s", "goal": None, "ok": True},
    ]


def _print(name: str, parity: Parity, rows: list[dict[str, Any]]) -> None:
    table = Table("what", "value", "goal", "holds", title=f"{name} against {parity.reference}")
    for row in rows:
        value = f"{row['value']:.8g} {row['unit']}".strip()
        table.add_row(row["metric"], value, row["goal"] or "", "yes" if row["ok"] else "NO")
    console = Console()
    console.print(table)
    for text_id, cosine in sorted(parity.cosines.items(), key=lambda item: item[1])[:3]:
        console.print(f"lowest: {text_id} {cosine:.8f}")


def _commit() -> str:
    command = ["git", "-C", str(_ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
