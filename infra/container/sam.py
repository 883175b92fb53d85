"""Docker, the base image and the SAM CLI: made ready, then used to check and build `template.yaml`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".aws-sam" / "build"
BUILT_TEMPLATE = BUILD / "template.yaml"
BASE_IMAGE = "public.ecr.aws/lambda/python:3.13"
# `sam build` names an image after its function, in small letters.
INGEST_IMAGE = "ingestfunction:latest"
SAM = ROOT / ".venv-sam" / "bin" / "sam"

_LOCK = ROOT / "requirements" / "sam.txt"
_MODEL = ROOT / "layers" / "embedder" / "model" / "manifest.json"


class StepError(Exception):
    """A step did not work; the message says what to do."""


def variables() -> dict[str, str]:
    """The environment of `sam`: no telemetry, and no AWS account.

    Credentials are left out because sam would check them over the network, for up to 10 s at each call.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    if "AWS_CA_BUNDLE" in os.environ:
        kept["AWS_CA_BUNDLE"] = os.environ["AWS_CA_BUNDLE"]
    return kept | {
        "SAM_CLI_TELEMETRY": "0",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def prepare() -> None:
    """Make sure of the embedding model, Docker, the base image and the SAM CLI. Raises `StepError`."""
    if not _MODEL.exists():
        raise StepError("there is no embedding model to pack: run `make model` first")
    _run([str(ROOT / "scripts" / "base-image")])
    environment = SAM.parents[1]
    stamp = environment / "lock.sha256"
    wanted = sha256(_LOCK.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        raise StepError("uv is missing: run `make test` once")
    _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(environment)])
    install = [uv, "pip", "install", "--quiet", "--python", f"{environment}/bin/python"]
    _run([*install, "--require-hashes", "-r", str(_LOCK)])
    stamp.write_text(wanted)


def validate() -> None:
    """Check the template, as CloudFormation and as SAM. Raises `StepError`."""
    _run([str(SAM), "validate", "--lint"])


def build() -> None:
    """Build the image, the zip and the layers. Raises `StepError`."""
    _run([str(SAM), "build"])


def _run(command: list[str]) -> None:
    """Run quietly; the end of what it said is shown only when it fails."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=variables(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        name = Path(command[0]).name
        raise StepError(
            f"{name} {command[1] if command[1:] else ''}: exit {done.returncode}\n{done.stdout[-3000:]}"
        )
