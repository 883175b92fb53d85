"""The commands and probes of the rendered workers are those of runtime/."""

from __future__ import annotations

import subprocess
import sys

import pytest
from starlette.routing import Route

from infra.container.sam import ROOT
from runtime.metrics import Exporter
from runtime.service import health_app
from tests.kubernetes.manifests import WHOLE, WORKERS, containers

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@pytest.mark.parametrize("component", [*WORKERS, "events"])
def test_the_command_of_a_worker_exists(component: str) -> None:
    (container,) = (entry for name, entry, _ in containers(WHOLE) if name == component)
    program, *arguments = container["command"]
    assert program == "python"
    done = subprocess.run(
        [sys.executable, *arguments, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert component in done.stdout


@pytest.mark.parametrize("component", ["ingest", "query", "events"])
def test_the_runtime_answers_the_paths_that_are_probed(component: str) -> None:
    (container,) = (entry for name, entry, _ in containers(WHOLE) if name == component)
    health = health_app(Exporter(), lambda: True)
    paths = {route.path for route in health.routes if isinstance(route, Route)}
    assert {container[probe]["httpGet"]["path"] for probe in PROBES} | {"/metrics"} <= paths
