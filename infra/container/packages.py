"""Build the functions' packages, where possible without Docker and SAM, and measure their sizes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from docwell.adapters.embedding.model_manifest import QUESTIONS_FILE
from infra.container import sam

MEGABYTE = 1024 * 1024  # Lambda's unit: its 250 MB are 262,144,000 bytes
# The folder whose Makefile builds each zip.
ZIPS = {
    "QueryFunction": "functions/query",
    "ReconcileFunction": "functions/reconcile",
    "CanaryFunction": "functions/canary",
    "AuthorizerFunction": "functions/authorizer",
    "EventsFunction": "functions/events",
    "DocwellLayer": "layers/docwell",
    "EmbedderLayer": "layers/embedder",
}
# The query function and its layers, which Lambda counts together.
QUERY = ("QueryFunction", "DocwellLayer", "EmbedderLayer")


def build_zip(name: str, folder: Path) -> None:
    """Build the content of a zip in a new folder, with the command that SAM runs. Raises `StepError`."""
    folder.mkdir(parents=True)
    make = ["make", "--silent", "--file", f"{ZIPS[name]}/Makefile", f"build-{name}"]
    sam.run(make, ARTIFACTS_DIR=str(folder))


def build_image_folder(folder: Path) -> None:
    """Build the ingest image's own files in a new folder, with the scripts of its Dockerfile.

    The bytecode is from the running Python, and may be some MB larger or smaller than 3.13's. Raises `StepError`.
    """
    sam.run(["scripts/install-for-lambda", "functions/ingest/requirements.txt", str(folder)])
    shutil.copytree(sam.ROOT / "layers/embedder/model", folder / "model")
    (folder / "model" / QUESTIONS_FILE).unlink(missing_ok=True)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(sam.ROOT / "layers/docwell/python/docwell", folder / "docwell", ignore=ignored)
    compiling = [sys.executable, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    sam.run([*compiling, str(folder)])
    for name in ("handler.py", "start.py"):
        shutil.copy(sam.ROOT / "functions/ingest" / name, folder)
    sam.run(["scripts/settle", str(folder)])


def folder_megabytes(folder: Path) -> float:
    """Return the size of all files in a folder, as Lambda counts an unzipped package."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / MEGABYTE


def image_megabytes(image: str) -> float:
    """Return the size of a local image, base included."""
    command = ["docker", "image", "inspect", "--format", "{{.Size}}", image]
    return int(subprocess.check_output(command, text=True)) / MEGABYTE
