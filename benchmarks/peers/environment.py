"""The environment of the peers, made when it is first needed."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.report import ROOT


def python() -> Path:
    """Its Python. Raises `PeerError` when it cannot be made."""
    return Path(sys.executable)  # replaced by the real one


ENVIRONMENT = ROOT / ".venv-peers"
