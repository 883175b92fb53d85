"""The pins of what a deployment takes from others by name: images, machine images and actions."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STAGES = ("staging", "large")
# `sam build` reads these, and a release is built once for all stages.
BUILT_BY = ("Architecture", "BaseImage", "Ocr", "NextOcr")

_IMAGE = re.compile(
    r"^  (?P<name>\w*(?<!Machine)Image):\n    Type: String\n    Default: (?P<value>\S+)$", re.MULTILINE
)
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
# The newest image, which a nested template takes when it gets none.
_NEWEST = re.compile(r'"\{\{resolve:ssm:(?P<parameter>[^}]+)\}\}"')
_USES = re.compile(r"^\s*-?\s*uses:\s*(?P<action>\S+)", re.MULTILINE)
_COMMIT = re.compile(r"@[0-9a-f]{40}$")


@dataclass(frozen=True, slots=True)
class Tree:
    """The files of a checkout that hold pins."""

    root: Path

    @property
    def template(self) -> Path:
        """Return the main template."""
        return self.root / "template.yaml"

    @property
    def profiles(self) -> Path:
        """Return the folder with the parameters of each stage."""
        return self.root / "infra" / "parameters"

    def profile(self, stage: str) -> dict[str, Any]:
        """Return the parameters of a stage."""
        return tomllib.loads((self.profiles / f"{stage}.toml").read_text(encoding="utf-8"))

    def images(self) -> dict[str, str]:
        """Return the container images by parameter."""
        return {one["name"]: one["value"] for one in _IMAGE.finditer(self.template.read_text(encoding="utf-8"))}

    def machine_images(self) -> dict[str, str]:
        """Return the public SSM parameter with the newest machine image, by template parameter."""
        found: dict[str, str] = {}
        for name in ("chroma", "ollama"):
            text = (self.root / "infra" / f"{name}.yaml").read_text(encoding="utf-8")
            found |= {f"{name.title()}MachineImage": one["parameter"] for one in _NEWEST.finditer(text)}
        return found

    def actions(self) -> Iterator[tuple[str, str]]:
        """Yield (workflow, action) of every action that a workflow uses."""
        for path in sorted((self.root / ".github" / "workflows").glob("*.yml")):
            for one in _USES.finditer(path.read_text(encoding="utf-8")):
                yield path.name, one["action"]


def unpinned(tree: Tree) -> list[str]:
    """Return a line for each thing that a release must not take by name."""
    found = [
        f"template.yaml: {name}: {value} has no digest"
        for name, value in tree.images().items()
        if not _DIGEST.search(value)
    ]
    profiles = {stage: tree.profile(stage) for stage in STAGES}
    found += [
        f"{' and '.join(f'{stage}.toml' for stage in STAGES)}: {name} differs, but one build serves both"
        for name in BUILT_BY
        if len({given.get(name) for given in profiles.values()}) > 1
    ]
    for stage, given in profiles.items():
        found += [
            f"{stage}.toml: {name} names no machine image"
            for name in tree.machine_images()
            if not given.get(name, "").startswith("ami-")
        ]
        found += [
            f"{stage}.toml: {name}: {given[name]} has no digest"
            for name in tree.images()
            if name in given and not _DIGEST.search(given[name])
        ]
    found += [
        f"{workflow}: {action} is not a commit"
        for workflow, action in tree.actions()
        if not action.startswith("./") and not _COMMIT.search(action)
    ]
    return found


def pin_images(tree: Tree, digest_of: Callable[[str], str]) -> list[str]:
    """Write the digest behind the tag of each container image; return the new references."""
    text = tree.template.read_text(encoding="utf-8")
    pinned = {}
    for value in tree.images().values():
        tagged = value.partition("@")[0]
        pinned[value] = f"{tagged}@{digest_of(tagged)}"
    for old, new in pinned.items():
        text = text.replace(f"    Default: {old}\n", f"    Default: {new}\n")
    tree.template.write_text(text, encoding="utf-8")
    return list(pinned.values())


def pin_machine_images(tree: Tree, stages: tuple[str, ...], read: Callable[[str], str]) -> list[str]:
    """Write each machine image into the stages' parameters; return the new lines."""
    lines = [f'{name} = "{read(parameter)}"' for name, parameter in tree.machine_images().items()]
    for stage in stages:
        path = tree.profiles / f"{stage}.toml"
        kept = [one for one in path.read_text(encoding="utf-8").splitlines() if "MachineImage = " not in one]
        path.write_text("".join(f"{one}\n" for one in (*kept, *lines)), encoding="utf-8")
    return lines
