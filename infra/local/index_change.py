"""Keep the index of a data folder in use when the stack starts with another OCR setting."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from docwell.config import IngestSettings, Ocr
from docwell.pipeline import ACTIVE_PIPELINE
from docwell.wiring.pipelines import pipelines
from infra.local.stack import StackOptions, own_settings

if TYPE_CHECKING:
    from pathlib import Path

_STATE = "#state"
SWITCH = (
    "the index was built with DOCWELL_OCR={before} and answers until a new one is complete: run"
    " `docwell reindex --start`, and `docwell reindex --switch` when `docwell reindex --status` shows it complete"
)
REBUILT = (
    "the settings differ from those of the index: every document is indexed again, and answers nothing until it is"
    " INDEXED; `docwell status --watch` follows them"
)


def with_old_index(options: StackOptions, say: Callable[[str], None]) -> StackOptions:
    """Return the options with which the old index answers while the new one is built. Tells what happens to it."""
    settings = IngestSettings.read(**own_settings(options))
    fingerprints = pipelines(settings)
    stored = _pipeline_of(options.data / "aws" / "ledger.json", next(iter(fingerprints)))
    if stored is None or stored in fingerprints:
        return options
    for ocr in get_args(Ocr):
        if len(fingerprints) == 1 and stored in pipelines(settings.model_copy(update={"ocr": ocr})):
            say(SWITCH.format(before=ocr))
            change = {"DOCWELL_OCR": ocr, "DOCWELL_NEXT_OCR": settings.ocr}
            return replace(options, environment={**options.environment, **change})
    say(REBUILT)
    return options


def _pipeline_of(ledger: Path, current: str) -> str | None:
    """Return the fingerprint of the index that answers, or None without documents.

    Where the facts name none, that is the wanted one if it has documents: an older one is left of another release.
    """
    try:
        rows = json.loads(ledger.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    rows = [row for row in rows if "pipeline" in row]  # as the AWS server, which skips rows of an older docwell
    used: Counter[str] = Counter(row["pipeline"]["S"] for row in rows if row["pipeline"]["S"] != _STATE)
    facts = {row["document"]["S"]: row for row in rows if row["pipeline"]["S"] == _STATE}
    values = facts.get(ACTIVE_PIPELINE, {}).get("values", {}).get("M", {})
    active: str | None = values.get("fingerprint", {}).get("S")
    if active in used or not used:
        return active
    return current if current in used else used.most_common(1)[0][0]
