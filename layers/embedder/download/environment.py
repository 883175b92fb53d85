"""Python environments of their own, for what cannot stand beside docwell: torch, and what needs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from docwell.errors import Unavailable

# The versions of Python to try: torch's CPU builds lag behind Python's newest.
_PYTHONS = ("python3.11", "python3.12", sys.executable)
# In a folder that was filled from a lock: the lock's digest.
_STAMP = "lock.sha256"


def python_of(environment: Path, requirements: Path, say: Callable[[str], None]) -> Path:
    """The Python of an environment that has what the file requires, made anew when the file has changed.

    Installed by that environment's own pip, which decides on the build of torch (CPU or CUDA) by the
    machine's configuration. Raises `Unavailable` with the end of what failed.
    """
    python = environment / "bin" / "python"
    if is_current(environment, requirements):
        return python
    base = next(found for name in _PYTHONS if (found := shutil.which(name)))
    say(f"making {environment.name} with {base}: torch is large, this takes about 2 GB and a few minutes")
    _run([base, "-m", "venv", "--clear", str(environment)], environment)
    _run([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)], environment)
    mark_current(environment, requirements)
    return python


def is_current(folder: Path, lock: Path) -> bool:
    """Whether the folder was filled from this very lock."""
    stamp = folder / _STAMP
    return stamp.exists() and stamp.read_text(encoding="utf-8") == _digest(lock)


def mark_current(folder: Path, lock: Path) -> None:
    """Say that the folder has been filled from the lock."""
    (folder / _STAMP).write_text(_digest(lock), encoding="utf-8")


def _digest(lock: Path) -> str:
    return sha256(lock.read_bytes()).hexdigest()


def _run(command: list[str], environment: Path) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        detail = f"{environment.name} could not be made:\n{done.stdout[-2000:]}"
        raise Unavailable("Python environment", detail, retry_after=None)
