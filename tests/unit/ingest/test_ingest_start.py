"""The entry point of the ingest image: slow parts begin before the imports of the handler."""

from __future__ import annotations

import gc
import importlib
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import aws_lambda_powertools.utilities.batch  # noqa: F401 - its own imports must not meet the tests' import_module
import pytest

from docwell.adapters.documents import process
from docwell.config import SettingsError
from docwell.wiring import ingest as wiring
from tests.fresh_wiring import clear_caches

START = Path(__file__).parents[3] / "functions" / "ingest" / "start.py"


@pytest.fixture(autouse=True)
def _nothing_made_yet() -> Iterator[None]:
    clear_caches()
    yield
    clear_caches()
    gc.unfreeze()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parts that have begun."""
    parts: list[str] = []
    server = SimpleNamespace(start=lambda: parts.append("fork server"))
    monkeypatch.setattr(process, "fork_server", lambda *_: server)
    monkeypatch.setattr(
        "docwell.wiring.pipelines.embedder_loading", lambda _, folder: parts.append(f"model {folder}")
    )
    return parts


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings that ingest needs."""
    for name in ("BUCKET", "QUEUE_URL", "DEAD_LETTER_QUEUE_URL", "PARKED_QUEUE_URL"):
        monkeypatch.setenv(f"DOCWELL_{name}", "documents")
    monkeypatch.setenv("DOCWELL_CHROMA_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("DOCWELL_MODEL_DIR", "/the/model")


@pytest.mark.usefixtures("settings")
def test_the_model_and_the_fork_server_begin_before_the_handler_is_imported(
    begun: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def imported(name: str) -> SimpleNamespace:
        begun.append(f"import {name}")
        return SimpleNamespace(handler="the handler")

    monkeypatch.setattr(importlib, "import_module", imported)
    found = runpy.run_path(str(START))
    assert begun == ["fork server", "model /the/model", "import handler"]
    assert found["handler"] == "the handler"


@pytest.mark.usefixtures("begun")
def test_an_error_of_the_start_is_left_to_the_handler(monkeypatch: pytest.MonkeyPatch) -> None:
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
