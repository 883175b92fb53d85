"""Build the functions' packages, where possible without Docker and SAM, and measure their sizes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from docwell.adapters.embedding.model_manifest import QUESTIONS_FILE
from infra.container import sam

MEGABYTE = 1024 * 1024  # Lambda's: its 250 MB are 262,144,000 bytes
# The folder whose Makefile builds each zip.
ZIPS = {
    "QueryFunction": "functions/query",
    "ReconcileFunction": "functions/reconcile",
    "DeploymentStack/CanaryFunction": "functions/canary",
    "AuthorizerStack/AuthorizerFunction": "functions/authorizer",
    "EventsStack/EventsFunction": "functions/events",
    "DocwellLayer": "layers/docwell",
    "EmbedderLayer": "layers/embedder",
}
# The query function with its layers: Lambda counts them together.
QUERY = ("QueryFunction", "DocwellLayer", "EmbedderLayer")


def build_zip(name: str, folder: Path) -> None:
    """Build the content of a zip in a new folder, with the command that SAM runs. Raises `StepError`."""
    folder.mkdir(parents=True)
    target = f"build-{name.rpartition('/')[2]}"  # the stack's folder is sam's
    _run(["make", "--silent", "--file", f"{ZIPS[name]}/Makefile", target], {"ARTIFACTS_DIR": str(folder)})


def build_image_folder(folder: Path) -> None:
    """Build the ingest image's own files in a new folder, with the scripts of its Dockerfile.

    The bytecode is this Python's, which may be some MB more or less than 3.13's. Raises `StepError`.
    """
    _run(["scripts/install-for-lambda", "functions/ingest/requirements.txt", str(folder)])
    shutil.copytree(sam.ROOT / "layers/embedder/model", folder / "model")
    (folder / "model" / QUESTIONS_FILE).unlink(missing_ok=True)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(sam.ROOT / "layers/docwell/python/docwell", folder / "docwell", ignore=ignored)
    compiling = [sys.executable, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    _run([*compiling, str(folder)])
    for name in ("handler.py", "start.py"):
        shutil.copy(sam.ROOT / "functions/ingest" / name, folder)
    _run(["scripts/settle", str(folder)])


def package_folders(built: Callable[[str], Path]) -> list[Path]:
    """Return the folders of the query function's zips whose entries are packages; `built` finds a zip's folder."""
    layer = built("EmbedderLayer")
    return [built("QueryFunction"), built("DocwellLayer") / "python", layer / "python", layer / "embedder"]


def folder_megabytes(folder: Path) -> float:
    """Return the size of all files in a folder, as Lambda counts an unzipped package."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / MEGABYTE


def image_megabytes(image: str) -> float:
    """Return the size of a local image, base included."""
    command = ["docker", "image", "inspect", "--format", "{{.Size}}", image]
    return int(subprocess.check_output(command, text=True)) / MEGABYTE


def packages_megabytes(folders: Iterable[Path]) -> dict[str, float]:
    """Return each package's size, the largest first, with its metadata and libraries (`numpy.libs`)."""
    sizes: dict[str, float] = defaultdict(float)
    for entry in (entry for folder in folders for entry in folder.iterdir()):
        size = folder_megabytes(entry) if entry.is_dir() else entry.stat().st_size / MEGABYTE
        sizes[entry.name.split("-")[0].split(".")[0]] += size
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def _run(command: list[str], variables: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        cwd=sam.ROOT,
        env=os.environ | (variables or {}),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        raise sam.StepError(f"{' '.join(command[:4])}: exit {done.returncode}\n{done.stdout[-2000:]}")
