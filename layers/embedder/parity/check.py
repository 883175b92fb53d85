"""Compare the built embedder with sentence-transformers on 200 texts, in onnxruntime and OpenVINO.

    python layers/embedder/parity/check.py [MODEL_FOLDER]

The cosine must be >= 0.999999 in single precision, >= 0.9999 in bfloat16 where the processor has it,
and >= 0.999 with the model for questions.
Prints a table, writes build/reports/parity.json, and exits with 0 only when every goal holds.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.table import Table

from docwell.adapters.embedding.model_manifest import QUESTIONS_FILE, ModelManifest
from docwell.adapters.embedding.onnx_embedder import OnnxEmbedder
from docwell.adapters.embedding.onnxruntime_session import OnnxruntimeSession
from docwell.errors import DocwellError
from layers.embedder.parity.compare import GOAL, GOAL_QUESTIONS, GOAL_SINGLE, Parity, compare

_Load = Callable[[Path, int], OnnxEmbedder]

_ROOT = Path(__file__).resolve().parents[3]


def main() -> int:
    """Return the exit status: 0 the goals hold, 1 a goal fails or there is no model."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else _ROOT / "layers" / "embedder" / "model"
    started, clock = datetime.now(UTC), perf_counter()
    rows: list[dict[str, Any]] = []
    console, reference = Console(), ""
    try:
        for name, (load, goal) in _runtimes(folder).items():
            began = perf_counter()
            embedder = load(folder, 0)
            loaded = perf_counter() - began
            parity = compare(embedder)
            reference = parity.reference
            rows += _rows(name, parity, goal, loaded)
            for text_id, cosine in sorted(parity.cosines.items(), key=lambda item: item[1])[:3]:
                console.print(f"{name}, lowest: {text_id} {cosine:.8f}")
    except DocwellError as error:
        sys.stderr.write(f"error: {error.detail}\n")
        return 1
    ok = all(row["ok"] for row in rows)
    report = {
        "name": "parity",
        "commit": _commit(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}, {reference}",
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(perf_counter() - clock, 1),
        "rows": rows,
        "ok": ok,
    }
    path = _ROOT / "build" / "reports" / "parity.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    console.print(_table(f"{embedder.manifest.name} against {reference}", rows))
    return 0 if ok else 1


def _runtimes(folder: Path) -> dict[str, tuple[_Load, float]]:
    """Return each installed runtime in each precision of this processor, with its least allowed cosine."""
    onnxruntime = partial(OnnxEmbedder, open_session=OnnxruntimeSession)
    runtimes: dict[str, tuple[_Load, float]] = {"onnxruntime": (onnxruntime, GOAL_SINGLE)}
    if QUESTIONS_FILE in ModelManifest.read(folder).stored:
        runtimes["onnxruntime, for questions"] = partial(onnxruntime, for_questions=True), GOAL_QUESTIONS
    if not find_spec("openvino"):
        return runtimes
    from docwell.adapters.embedding.openvino_session import OpenvinoSession, native_precision

    f32, bf16 = (partial(OpenvinoSession, precision=one) for one in ("f32", "bf16"))
    runtimes["openvino f32"] = partial(OnnxEmbedder, open_session=f32), GOAL_SINGLE
    if native_precision() == "bf16":
        runtimes["openvino bf16"] = partial(OnnxEmbedder, open_session=bf16), GOAL
    return runtimes


def _rows(name: str, parity: Parity, goal: float, loaded: float) -> list[dict[str, Any]]:
    lowest = min(parity.cosines.values())
    figures = [
        ("lowest cosine", lowest, "", f">= {goal}"),
        ("mean cosine", mean(parity.cosines.values()), "", None),
        ("largest difference", parity.difference, "", None),
        ("texts", len(parity.cosines), "texts", None),
        ("loading the model", round(loaded, 3), "s", None),
        ("embedding", round(parity.seconds, 3), "s", None),
    ]
    return [
        {
            "metric": f"{name}: {what}",
            "value": value,
            "unit": unit,
            "goal": held_to,
            "ok": held_to is None or lowest >= goal,
        }
        for what, value, unit, held_to in figures
    ]


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table("metric", "value", "goal", "ok", title=title)
    for row in rows:
        value = f"{row['value']:.8g} {row['unit']}".strip()
        table.add_row(row["metric"], value, row["goal"] or "", "yes" if row["ok"] else "NO")
    return table


def _commit() -> str:
    command = ["git", "-C", str(_ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
