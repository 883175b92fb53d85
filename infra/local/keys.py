"""The keys of a stack, kept in its data folder for its user alone."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from secrets import token_hex, token_urlsafe
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_FILE = "keys.json"
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


@dataclass(frozen=True)
class Keys:
    """The keys of the API, of the AWS server and of Chroma: random for each data folder."""

    api_key: str = field(default_factory=lambda: token_urlsafe(24))
    access_key: str = field(default_factory=lambda: f"DOCWELL{token_hex(8).upper()}")
    secret_key: str = field(default_factory=lambda: token_urlsafe(30))
    chroma_token: str = field(default_factory=lambda: token_urlsafe(24))

    @classmethod
    def of(cls, data: Path) -> Keys:
        """Return the keys of a data folder. The first call makes them."""
        path = data / _FILE
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            keys = cls()
            private_folder(data)
            write_private(path, json.dumps(asdict(keys)) + "\n")
            return keys
