"""The values with which the chart is checked, and the manifests that it renders with them.

The manifests of `small` are committed in full; the other profiles as differences from it. So a review shows what a
change of the chart changes in a cluster.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped] # ships no types

from infra.container.sam import ROOT
from infra.kubernetes import helm

FOLDER = ROOT / "tests" / "kubernetes" / "snapshots"
FIRST, *FOLLOWING = helm.PROFILES


@dataclass(frozen=True)
class Variant:
    """A profile with further values, under a release name."""

    profile: str
    values: Mapping[str, Any] = field(default_factory=dict)
    release: str = "docwell"


_ROWS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
VARIANTS = {profile: Variant(profile) for profile in helm.PROFILES} | {
    name: Variant(**row) for name, row in _ROWS.items()
}


@cache
def rendered(name: str) -> list[helm.Manifest]:
    """Return the manifests of a variant. Raises `StepError`."""
    variant = VARIANTS[name]
    return helm.render(variant.profile, variant.values, variant.release)


def text_of(manifests: list[helm.Manifest]) -> str:
    """Return manifests as compact YAML, by kind and name."""
    ordered = sorted(manifests, key=lambda manifest: (manifest["kind"], manifest["metadata"]["name"]))
    return "---\n".join(
        yaml.safe_dump(manifest, sort_keys=False, default_flow_style=None, width=110) for manifest in ordered
    )


def snapshots() -> dict[Path, str]:
    """Return the content of each snapshot, rendered now. Raises `StepError`."""
    texts = {profile: text_of(rendered(profile)) for profile in helm.PROFILES}
    files = {FOLDER / f"{FIRST}.yaml": texts[FIRST]}
    for profile in FOLLOWING:
        first, second = (texts[name].splitlines(keepends=True) for name in (FIRST, profile))
        files[FOLDER / f"{profile}.diff"] = "".join(difflib.unified_diff(first, second, FIRST, profile, n=1))
    return files


def write_snapshots() -> None:
    """Write the snapshots. Raises `StepError`."""
    for path, content in snapshots().items():
        path.write_text(content, encoding="utf-8")
