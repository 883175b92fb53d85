"""The templates as tests read them: one by one, or joined as if the stacks had no borders."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from cfnlint.decode import decode  # type: ignore[import-untyped] # ships no types

from infra.container.sam import ROOT
from infra.whole_template import STACK, joined

MAIN = ROOT / "template.yaml"
NESTED = sorted((ROOT / "infra").glob("*.yaml"))
TEMPLATES = [MAIN, *NESTED]
SERVERS = ("NetworkStack", "ChromaStack", "OllamaStack")


@cache
def _read(path: Path) -> str:
    found, problems = decode(str(path))
    assert not problems, path
    return json.dumps(found, default=str)


def content(path: Path) -> dict[str, Any]:
    """A template with long-form functions."""
    return dict(json.loads(_read(path)))


@cache
def _whole(path: Path, apart: tuple[str, ...]) -> dict[str, Any]:
    return joined(path, content, apart)


def whole(path: Path = MAIN, apart: tuple[str, ...] = SERVERS) -> dict[str, Any]:
    """A template joined with its nested stacks."""
    return copy.deepcopy(_whole(path, apart))


def stacks() -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """Yield (template, name, properties) of each nested stack."""
    for path in TEMPLATES:
        for name, one in content(path)["Resources"].items():
            if one["Type"] == STACK:
                yield path, name, one["Properties"]
