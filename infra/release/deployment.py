"""Build and deploy one profile: its parameters, and the digest that names the release.

A deployment sets every parameter. SAM would keep the previous value of others, so a new default in a template, or
a line removed from a profile, would have no effect.
"""

from __future__ import annotations

import os
import subprocess
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from infra.container.sam import BUILD, LOCK, ROOT, SAM, StepError, environment
from infra.release import pins, preflight, stage
from infra.release.pins import MACHINE_IMAGES
from infra.release.stage import RELEASE, TEMPLATES

PROFILES = ROOT / "infra" / "parameters"
RELEASES = BUILD.parent / "release"
APART = frozenset(stage.OUTAGES["apart"])


def parameters(profile: str) -> dict[str, str]:
    """Return all parameters of both stacks: the profile's, else the defaults. Raises `StepError`."""
    declared = preflight.settable()
    chosen = profile_parameters(profile)
    offered = {name: declared[name] for name in declared.keys() - {*stage.COMPUTED}}
    refuse(profile, preflight.refused(chosen, offered))
    return {name: str(parameter.get("Default", "")) for name, parameter in declared.items()} | chosen


def refuse(profile: str, problems: Iterable[str]) -> None:
    """Raise `StepError` with the problems, if there are any."""
    file = f"infra/parameters/{profile}.toml: "
    if lines := [problem if problem.startswith(("infra/", "Docker")) else file + problem for problem in problems]:
        raise StepError("\n".join(lines))


def profile_parameters(profile: str) -> dict[str, str]:
    """Return the parameters of `infra/parameters/PROFILE.toml`. Raises `StepError`."""
    path = PROFILES / f"{profile}.toml"
    if not path.is_file():
        profiles = ", ".join(sorted(path.stem for path in PROFILES.glob("*.toml")))
        raise StepError(f"there is no profile {profile!r}: choose one of {profiles}")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StepError(f"infra/parameters/{path.name}: {error}") from None
    # CloudFormation's form of a boolean.
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}


def digest(build: Path, values: Mapping[str, str]) -> str:
    """Return 64 hexadecimal digits that change with what the query function is made of.

    These are its code, the layers, the templates, and every parameter that it gets; `stage.deploy` adds outputs.
    """
    total = sha256()
    for path in sorted(path for path in build.rglob("*") if path.is_file()):
        parts = path.relative_to(build).parts
        if not any(part.endswith("Function") and part != "QueryFunction" for part in parts[:-1]):
            total.update(f"{'/'.join(parts)}\0{sha256(path.read_bytes()).hexdigest()}\n".encode())
    for name, value in sorted(values.items()):
        if name not in {RELEASE, TEMPLATES, *APART}:
            total.update(f"{name}\0{value}\n".encode())
    return total.hexdigest()


def write(profile: str, build: Path = BUILD, folder: Path = RELEASES) -> dict[str, str]:
    """Write the parameters of a deployment of the build where samconfig.toml expects them; return them."""
    values = parameters(profile)
    values |= {RELEASE: digest(build, values), TEMPLATES: preflight.templates()}
    stage.write(folder / f"{profile}.toml", values)
    return values


def machine_images(values: Mapping[str, str], running: str) -> str:
    """Return the machine images: the profile's, with POSTPONE=1 those that run, else AWS's newest.

    CloudFormation sees no change behind a public parameter, so a deployment names the images.
    """
    if (chosen := values.get(MACHINE_IMAGES, ",")) != ",":
        return chosen
    if os.environ.get("POSTPONE", "0") not in ("", "0"):
        return running
    try:
        newest = [pins.public_parameter(None, name) for name in pins.machine_images(ROOT)]
    except StepError as error:
        print(f"no patches: {error}")
        return running
    servers = zip(("ChromaUrl", "OllamaUrl"), newest, strict=True)
    return ",".join("" if values.get(url) else image for url, image in servers)


def stack_name(profile: str) -> str:
    """Return the name of the profile's stack, from samconfig.toml. Raises `StepError`."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    if profile not in config:
        raise StepError(f"samconfig.toml has no {profile!r}")
    return str(config[profile]["global"]["parameters"]["stack_name"])


def deploy(profile: str, options: Sequence[str] = ()) -> None:
    """Check, build, and deploy both stacks with SAM, which shows its change sets.

    Raises `StepError`.
    """
    if any(option.startswith("--parameter-overrides") for option in options):
        raise StepError(f"change infra/parameters/{profile}.toml: --parameter-overrides would replace all of them")
    values = parameters(profile)
    stack, path = stack_name(profile), RELEASES / f"{profile}.toml"
    before, _ = stage.protected(stack, profile, values)
    # An older release's topic of alarms is deleted when the app moves.
    check(profile, values, stage.deployed(f"{stack}-app")[1])
    package(profile)
    try:
        values = write(profile, BUILD, RELEASES)
        values[MACHINE_IMAGES] = machine_images(values, (before or {}).get(MACHINE_IMAGES, ","))
        stage.write(path, values)
        stage.deploy(stack, path, options)
    finally:
        # Remove it: `sam deploy` after another build would use this Release, and publish no version.
        path.unlink(missing_ok=True)


def check(profile: str, values: Mapping[str, str], outputs: Mapping[str, str]) -> None:
    """Refuse parameters that cannot work here, and alarms that reach no one. Raises `StepError`."""
    refuse(profile, preflight.impossible(values))
    stack = stack_name(profile)
    placed = stage.placed(stack, values)
    refuse(profile, preflight.of_account({**placed, "NetworkOfStack": stage.network_of(stack)}))
    stage.heard(profile, values, outputs)


def package(profile: str) -> None:
    """Build for a profile, packages for its architecture included. Raises `StepError`."""
    architecture = profile_parameters(profile).get("Architecture", "x86_64")
    environment(SAM.parents[1], LOCK)
    settings = {"SAM_CLI_TELEMETRY": "0", "DOCWELL_ARCH": architecture}
    done = subprocess.run(
        [str(SAM), "build", "--config-env", profile], cwd=ROOT, env=os.environ | settings, check=False
    )
    if done.returncode:
        raise StepError(f"sam build: exit {done.returncode}")
