"""The pins of a deployment's outside parts: images and machine images."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import boto3

from infra.container.sam import StepError, aws_errors

STAGES = ("staging", "large")
# `sam build` reads these parameters, and one build serves all stages, so they must be equal.
BUILT_BY = ("Architecture", "BaseImage", "Index", "NextIndex")
MACHINE_IMAGES = "MachineImages"

_IMAGE = re.compile(r"^  (?P<name>\w*Image): \{Type: String, Default: (?P<value>[^\s,]+),", re.MULTILINE)
_AMI = re.compile(r"ami-[0-9a-f]+")
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
# The default of a nested template's image parameter: the newest image.
_NEWEST = re.compile(r'"\{\{resolve:ssm:(?P<parameter>[^}]+)\}\}"')


def templates(root: Path) -> list[Path]:
    """Return the templates of a checkout that name images: of the function, of Chroma and of Ollama."""
    return [root / f"{name}.yaml" for name in ("template", "infra/chroma", "infra/ollama")]


def profile(root: Path, stage: str) -> Path:
    """Return the file with the parameters of a stage."""
    return root / "infra" / "parameters" / f"{stage}.toml"


def images(root: Path) -> dict[str, str]:
    """Return the container images by template and parameter."""
    return {
        f"{path.name}: {image['name']}": image["value"]
        for path in templates(root)
        for image in _IMAGE.finditer(path.read_text(encoding="utf-8"))
    }


def machine_images(root: Path) -> list[str]:
    """Return the public SSM parameters with the newest machine images, in the order of `MachineImages`."""
    texts = (path.read_text(encoding="utf-8") for path in templates(root))
    return [image["parameter"] for text in texts for image in _NEWEST.finditer(text)]


def unpinned(root: Path) -> list[str]:
    """Return a line for each part of a release that is not pinned."""
    lines = [f"{name}: {value} has no digest" for name, value in images(root).items() if not _DIGEST.search(value)]
    profiles = {stage: tomllib.loads(profile(root, stage).read_text("utf-8")) for stage in STAGES}
    lines += [
        f"{' and '.join(f'{stage}.toml' for stage in STAGES)}: {name} differs, but one build serves both"
        for name in BUILT_BY
        if len({parameters.get(name) for parameters in profiles.values()}) > 1
    ]
    for stage, parameters in profiles.items():
        named = parameters.get(MACHINE_IMAGES, "").split(",")
        if len(named) != len(machine_images(root)) or not all(map(_AMI.fullmatch, named)):
            lines.append(f"{stage}.toml: {MACHINE_IMAGES} must name a machine image for each server")
        if "BaseImage" in parameters and not _DIGEST.search(parameters["BaseImage"]):
            lines.append(f"{stage}.toml: BaseImage: {parameters['BaseImage']} has no digest")
    return lines


def pin_images(root: Path, digest_of: Callable[[str], str]) -> list[str]:
    """Write the digest behind the tag of each container image; return the new references."""
    pinned = {}
    for value in images(root).values():
        tagged = value.partition("@")[0]
        pinned[value] = f"{tagged}@{digest_of(tagged)}"
    for path in templates(root):
        text = path.read_text(encoding="utf-8")
        for old, new in pinned.items():
            text = text.replace(f"Default: {old},", f"Default: {new},")
        path.write_text(text, encoding="utf-8")
    return list(pinned.values())


def pin_machine_images(root: Path, stages: tuple[str, ...], read: Callable[[str], str]) -> list[str]:
    """Write the machine images into the stages' parameters; return the new lines."""
    lines = [f'{MACHINE_IMAGES} = "{",".join(map(read, machine_images(root)))}"']
    for stage in stages:
        path = profile(root, stage)
        unchanged = [
            line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(MACHINE_IMAGES)
        ]
        path.write_text("".join(f"{line}\n" for line in (*unchanged, *lines)), encoding="utf-8")
    return lines


def public_parameter(region: str | None, name: str) -> str:
    """Return the value of one of AWS's public parameters in a region. Raises `StepError`."""
    with aws_errors(f"{name} in {region or 'this region'}"):
        ssm = boto3.client("ssm", region_name=region)
        return str(ssm.get_parameter(Name=name)["Parameter"]["Value"])


def digest_of(reference: str) -> str:
    """Return the digest of `HOST/REPOSITORY:TAG`, an index where the registry has one. Raises `StepError`."""
    command = ["docker", "buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", reference]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise StepError(f"{reference}: {getattr(error, 'stderr', '') or error}") from None
    if not _DIGEST.search(digest := f"@{done.stdout.strip()}"):
        raise StepError(f"{reference}: no digest, but {done.stdout!r}")
    return digest.removeprefix("@")
