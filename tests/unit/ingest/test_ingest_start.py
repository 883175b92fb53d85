"""The entry point of the ingest image."""

from __future__ import annotations

import importlib
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import aws_lambda_powertools.utilities.batch  # noqa: F401 - its own imports must not meet the tests' import_module
import pytest

from docwell.adapters.documents import process
from docwell.config import SettingsError
from docwell.wiring import ingest as wiring

pytestmark = pytest.mark.usefixtures("cold_wiring")

START = Path(__file__).parents[3] / "functions" / "ingest" / "start.py"


def test_an_error_of_the_start_is_left_to_the_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "fork_server", lambda *_: SimpleNamespace(start=lambda: None))
    monkeypatch.setenv("DOCWELL_LEASE_S", "soon")
    monkeypatch.setattr(importlib, "import_module", lambda _: SimpleNamespace(handler="the handler"))
    assert runpy.run_path(str(START))["handler"] == "the handler"
    with pytest.raises(SettingsError, match="DOCWELL_LEASE_S"):
        wiring.begin()


def test_a_start_imports_no_models_of_other_event_sources() -> None:
    code = "import sys, start; print(*(name for name in sys.modules if 'powertools.utilities.parser' in name))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=START.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
