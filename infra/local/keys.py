"""Files and folders for the user of the stack alone."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Each data folder has this file.
LOCK = "stack.lock"


def private_folder(path: Path) -> Path:
    """Make a folder that only its user can enter, and return it. A folder with other content keeps its mode."""
    path.mkdir(parents=True, exist_ok=True)
    if (path / LOCK).exists() or not any(path.iterdir()):
        path.chmod(0o700)
    return path


def append_private(path: Path) -> IO[str]:
    """Open a file to append text; a new one is readable by its user alone."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8")


def write_private(path: Path, text: str) -> None:
    """Replace a file, readable by its user alone. It keeps its content through a crash or on a full disk."""
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    try:
        with os.fdopen(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:  # a partial file would keep the disk full
        temporary.unlink(missing_ok=True)
        raise
