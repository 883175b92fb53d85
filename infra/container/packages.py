"""The packages of the functions, made without Docker or SAM where that is possible, and what anything weighs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from infra.container import sam

MEGABYTE = 1024 * 1024  # Lambda's: its 250 MB are 262,144,000 bytes
# What SAM zips, and the folder whose Makefile builds it.
ZIPS = {
    "QueryFunction": "functions/query",
    "ReconcileFunction": "functions/reconcile",
    "DocwellLayer": "layers/docwell",
    "EmbedderLayer": "layers/embedder",
}
# The zip function that answers questions, with its layers: Lambda counts them together.
QUERY = ("QueryFunction", "DocwellLayer", "EmbedderLayer")


def build_zip(name: str, folder: Path) -> None:
    """Put into a new folder what SAM zips as `name`, by the command that SAM runs. Raises `StepError`."""
    folder.mkdir(parents=True)
    _run(["make", "--silent", "--file", f"{ZIPS[name]}/Makefile", f"build-{name}"], {"ARTIFACTS_DIR": str(folder)})


def build_image_folder(folder: Path) -> None:
    """Put into a new folder what the ingest image adds to its base, by the scripts that its Dockerfile runs.

    Bytecode is this Python's: of one that is not 3.13, some MB more or less. Raises `StepError`.
    """
    _run(["scripts/install-for-lambda", "functions/ingest/requirements.txt", str(folder)])
    shutil.copytree(sam.ROOT / "layers/embedder/model", folder / "model")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(sam.ROOT / "layers/docwell/python/docwell", folder / "docwell", ignore=ignored)
    compiling = [sys.executable, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    _run([*compiling, str(folder)])
    shutil.copy(sam.ROOT / "functions/ingest/handler.py", folder)
    _run(["scripts/settle", str(folder)])


def package_folders(built: Path) -> list[Path]:
    """The folders whose entries are packages, in what the zips and layers of `QUERY` were built into."""
    layer = built / "EmbedderLayer"
    return [built / "QueryFunction", built / "DocwellLayer" / "python", layer / "python", layer / "embedder"]


def folder_megabytes(folder: Path) -> float:
    """The bytes of all files in a folder, as Lambda counts an unzipped package."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / MEGABYTE


def image_megabytes(image: str) -> float:
    """The size of a local image, base included."""
    command = ["docker", "image", "inspect", "--format", "{{.Size}}", image]
    return int(subprocess.check_output(command, text=True)) / MEGABYTE


def packages_megabytes(folders: Iterable[Path]) -> dict[str, float]:
    """What each package weighs, the largest first; its record and its libraries (`numpy.libs`) count to it."""
    found: dict[str, float] = defaultdict(float)
    for entry in (entry for folder in folders for entry in folder.iterdir()):
        size = folder_megabytes(entry) if entry.is_dir() else entry.stat().st_size / MEGABYTE
        found[entry.name.split("-")[0].split(".")[0]] += size
    return dict(sorted(found.items(), key=lambda item: -item[1]))


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
