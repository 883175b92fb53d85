"""Prepare Docker, the base image and the SAM CLI, then check and build `template.yaml`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".aws-sam" / "build"
BASE_IMAGE = "public.ecr.aws/lambda/python:3.13"
# `sam build` names an image after its function, in lower case.
INGEST_IMAGE = "ingestfunction:latest"
SAM = ROOT / ".venv-sam" / "bin" / "sam"
LOCK = ROOT / "requirements" / "sam.txt"

_MODEL = ROOT / "layers" / "embedder" / "model" / "manifest.json"


class StepError(Exception):
    """A step failed. The message says what to do."""


@contextmanager
def aws_errors(subject: str) -> Iterator[None]:
    """Raise `StepError`, which names the subject, for an error of AWS."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StepError(f"{subject}: {error}") from None


def variables() -> dict[str, str]:
    """Return the environment of `sam`: no telemetry and no AWS account.

    sam would check credentials over the network, for up to 10 s at each call.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    if "AWS_CA_BUNDLE" in os.environ:
        environ["AWS_CA_BUNDLE"] = os.environ["AWS_CA_BUNDLE"]
    return environ | {
        "SAM_CLI_TELEMETRY": "0",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def prepare() -> None:
    """Prepare Docker, the base image and the SAM CLI. Raises `StepError`, also without the embedding model."""
    if not _MODEL.exists():
        raise StepError("there is no embedding model to package: run `make model` first")
    run(["bash", "scripts/base-image"])
    environment(SAM.parents[1], LOCK)


def environment(folder: Path, lock: Path) -> None:
    """Install exactly the lock into a Python environment; quick when nothing changed. Raises `StepError`."""
    from layers.embedder.download.environment import is_current, mark_current  # a stage of CI lacks docwell

    if is_current(folder, lock):
        return
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        raise StepError("uv is missing: run `make test` once")
    run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)])
    install = [uv, "pip", "install", "--quiet", "--python", f"{folder}/bin/python"]
    run([*install, "--require-hashes", "--no-build", "-r", str(lock)])
    mark_current(folder, lock)


def artefact(name: str) -> Path:
    """Return the folder of a built function or layer. Raises `StepError`."""
    if not (folder := BUILD / name).is_dir():
        raise StepError(f"the build has no {name}")
    return folder


def build() -> None:
    """Build the image, the zip and the layers. Raises `StepError`."""
    # Override the base image: the substitute of `scripts/base-image` lacks the digest that the template may name.
    run([str(SAM), "build", "--parameter-overrides", f"BaseImage={BASE_IMAGE}"])


def run(command: list[str], **settings: str) -> None:
    """Run quietly, with further variables. Raise `StepError` with the end of the output if the command fails."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=variables() | settings,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        raise StepError(f"{Path(command[0]).name} {command[1]}: exit {done.returncode}\n{done.stdout[-3000:]}")
