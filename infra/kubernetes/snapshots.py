"""The rendered manifests as committed: of `small` in full, of the other profiles what differs from it.

A change of the chart then shows in a review what it changes in a cluster.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped] # ships no types

from infra.container.sam import ROOT
from infra.kubernetes import helm, variants

FOLDER = ROOT / "tests" / "kubernetes" / "snapshots"
FIRST, *FOLLOWING = helm.PROFILES


def text(manifests: list[helm.Manifest]) -> str:
    """Return manifests as compact YAML, by kind and name."""
    ordered = sorted(manifests, key=lambda manifest: (manifest["kind"], manifest["metadata"]["name"]))
    return "---\n".join(
        yaml.safe_dump(manifest, sort_keys=False, default_flow_style=None, width=110) for manifest in ordered
    )


def current() -> dict[Path, str]:
    """Return the content of each snapshot, rendered now. Raises `StepError`."""
    texts = {profile: text(variants.rendered(profile)) for profile in helm.PROFILES}
    files = {FOLDER / f"{FIRST}.yaml": texts[FIRST]}
    for profile in FOLLOWING:
        first, second = (texts[name].splitlines(keepends=True) for name in (FIRST, profile))
        files[FOLDER / f"{profile}.diff"] = "".join(difflib.unified_diff(first, second, FIRST, profile, n=1))
    return files


def write() -> None:
    """Write the snapshots. Raises `StepError`."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, content in current().items():
        path.write_text(content, encoding="utf-8")


def manifests() -> list[dict[str, Any]]:
    """Return the manifests of the full snapshot."""
    return list(yaml.safe_load_all((FOLDER / f"{FIRST}.yaml").read_text(encoding="utf-8")))
