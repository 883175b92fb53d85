"""Run Helm on the chart: lint it, and render it with values."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped] # ships no types

from infra.container.sam import ROOT, StepError

CHART = Path(__file__).with_name("docwell")
VALUES = Path(__file__).with_name("values")
PROFILES = ("small", "team", "large")
# Example names, which a user replaces.
EXAMPLE = VALUES / "example.yaml"
# The first and the last supported version: the last is the newest in the package of schemas.
KUBERNETES = ("1.30.0", "1.37.0")

Manifest = dict[str, Any]


@cache
def helm() -> str:
    """Return the path of Helm, installed if needed. Raises `StepError`."""
    return _run([str(ROOT / "scripts" / "helm")]).strip()


def lint(profile: str) -> list[str]:
    """Return Helm's findings in the chart with the values of a profile."""
    command = [helm(), "lint", "--strict", "--quiet", str(CHART), *_values(profile)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    return [done.stdout.strip() + done.stderr.strip()] if done.returncode else []


def render(
    profile: str,
    values: Mapping[str, Any] | None = None,
    release: str = "docwell",
    kubernetes: str = KUBERNETES[-1],
) -> list[Manifest]:
    """Return the manifests of a profile with the names of `EXAMPLE`, and with further values.

    Raises `StepError` with Helm's message for values that the chart refuses.
    """
    options = ["--values=-"] if values else []
    command = [
        helm(),
        "template",
        release,
        str(CHART),
        f"--kube-version={kubernetes}",
        *_values(profile),
        *options,
    ]
    text = _run(command, json.dumps(values) if values else "")
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


def _values(profile: str) -> list[str]:
    """Return the options for the values of a profile and the names of `EXAMPLE`."""
    return [f"--values={path}" for path in (VALUES / f"{profile}.yaml", EXAMPLE)]


def _run(command: list[str], stdin: str = "") -> str:
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, check=False, cwd=ROOT, env=_environment()
    )
    if done.returncode:
        raise StepError(f"{Path(command[0]).name} failed:\n{(done.stdout + done.stderr)[-3000:].strip()}")
    return done.stdout


def _environment() -> dict[str, str]:
    """Return an environment without a cluster, so that the result is the same everywhere."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))}
    return environ | {"KUBECONFIG": os.devnull}
