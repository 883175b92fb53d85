"""Python environments of their own, for what cannot stand beside docwell: torch, and what needs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import file_digest
from pathlib import Path

from docwell.errors import Unavailable

# The versions of Python to try: torch's CPU builds lag behind Python's newest.
_PYTHONS = ("python3.11", "python3.12", sys.executable)


def python_of(environment: Path, requirements: Path, say: Callable[[str], None]) -> Path:
    """The Python of an environment that has what the file requires, made anew when the file has changed.

    Installed by that environment's own pip, which decides on the build of torch (CPU or CUDA) by the
    machine's configuration. Raises `Unavailable` with the end of what failed.
    """
    python = environment / "bin" / "python"
    stamp = environment / "requirements.sha256"
    with requirements.open("rb") as content:
        wanted = file_digest(content, "sha256").hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    base = next(found for name in _PYTHONS if (found := shutil.which(name)))
    say(f"making {environment.name} with {base}: torch is large, this takes a few minutes")
    _run([base, "-m", "venv", "--clear", str(environment)], environment)
    _run([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)], environment)
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _run(command: list[str], environment: Path) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        detail = f"{environment.name} could not be made:\n{done.stdout[-2000:]}"
        raise Unavailable("Python environment", detail, retry_after=None)
