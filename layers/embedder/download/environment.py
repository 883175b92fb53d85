"""Separate Python environments for packages that conflict with docwell's, such as torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from docwell.errors import Unavailable

# The Pythons to try in order: torch's CPU builds do not support the newest one at once.
_PYTHONS = ("python3.11", "python3.12", sys.executable)
# The environment's file with a digest of its lock and its path, because its programs contain the path.
_STAMP = "lock.sha256"


def python_of(environment: Path, requirements: Path, say: Callable[[str], None]) -> Path:
    """Return the Python of an environment with these requirements; build it again when they have changed.

    The environment's pip chooses the build of torch (CPU or CUDA) by the machine's configuration. Raises
    `Unavailable` with the end of the failed command's output.
    """
    python = environment / "bin" / "python"
    if is_current(environment, requirements):
        return python
    base = next(found for name in _PYTHONS if (found := shutil.which(name)))
    say(f"creating {environment.name} with {base}: torch takes about 2 GB and a few minutes")
    failure = f"{environment.name} could not be created"
    run([base, "-m", "venv", "--clear", str(environment)], "Python environment", failure)
    install = [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)]
    run(install, "Python environment", failure)
    mark_current(environment, requirements)
    return python


def is_current(folder: Path, lock: Path) -> bool:
    """Return whether the folder was installed from this lock, and not moved or copied since."""
    stamp = folder / _STAMP
    return stamp.exists() and stamp.read_text(encoding="utf-8") == _digest(folder, lock)


def mark_current(folder: Path, lock: Path) -> None:
    """Record that the folder was installed from this lock."""
    (folder / _STAMP).write_text(_digest(folder, lock), encoding="utf-8")


def _digest(folder: Path, lock: Path) -> str:
    return sha256(bytes(folder.resolve()) + b"\0" + lock.read_bytes()).hexdigest()


def run(command: list[str], dependency: str, failure: str) -> None:
    """Run a command without showing its output. Raises `Unavailable` with the end of the output."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(dependency, f"{failure}:\n{done.stdout[-2000:]}", retry_after=None)
