"""The documents of a folder on this machine: by suffix, without hidden files and those of its ignore file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from secrets import token_hex

from docwell.media_types import MEDIA_TYPES

# Patterns of files that are no documents, as in .gitignore.
IGNORE_FILE = ".docwellignore"
# The id of a folder that `docwell sync` has read. An empty mount point has another, so that nothing is removed.
_ID_FILE = ".docwell-sync"


def is_readable(key: str) -> bool:
    """Return whether docwell takes a key: by its suffix, which the content need not match, and only in UTF-8."""
    return PurePosixPath(key).suffix.lower() in MEDIA_TYPES and key.encode(errors="replace").decode() == key


def files_of(folder: Path, omitted: list[Path]) -> Iterator[tuple[Path, str]]:
    """Yield the documents of a folder with their paths below it; add the other files to `omitted`.

    Files in hidden folders, such as .git and .venv, count as hidden. Raises `OSError` for an unreadable folder.
    """
    ignore = folder / IGNORE_FILE
    patterns = ignore.read_text(encoding="utf-8", errors="replace").splitlines() if ignore.is_file() else []

    def is_left_out(name: str) -> bool:
        return name.startswith(".") or "/." in name or is_ignored(name, patterns)

    def fail(error: OSError) -> None:
        if not is_left_out((Path(error.filename).relative_to(folder) / "_").as_posix()):
            raise error

    walk = os.walk(folder, onerror=fail)
    for file in sorted(
        path for place, _, names in walk for name in names if (path := Path(place, name)).is_file()
    ):
        name = file.relative_to(folder).as_posix()
        if name in {IGNORE_FILE, _ID_FILE}:
            continue
        if is_left_out(name) or not is_readable(name) or not file.resolve().is_relative_to(folder.resolve()):
            omitted.append(file)
        else:
            yield file, name


def is_ignored(name: str, patterns: Sequence[str]) -> bool:
    """Return whether the last of the patterns of .gitignore that matches a path excludes it.

    >>> rules = ["*.md", "!README.md", "/drafts/", "a/*.txt", "**/foo/bar.pdf"]
    >>> names = ("x/b.md", "README.md", "drafts/c.pdf", "x/drafts/c.pdf", "a/b.txt", "x/foo/bar.pdf")
    >>> [is_ignored(name, rules) for name in names]
    [True, False, True, False, True, True]
    """
    path, ignored = PurePosixPath("/", name), False
    for line in patterns:
        text = line.strip().removeprefix("!")
        pattern = text.removeprefix("**/").removesuffix("/**")
        if not pattern or line.startswith("#"):
            continue
        # A pattern with a slash before its end begins at the folder; a slash at its end matches folders alone.
        is_rooted = "/" in text[:-1] and not text.startswith("**/")
        rooted = f"/{pattern.strip('/')}" if is_rooted else pattern.rstrip("/")
        places = path.parents if pattern.endswith("/") else (path, *path.parents)
        if any(place.match(rooted) for place in places if place.name):
            ignored = not line.startswith("!")
    return ignored


def id_of(folder: Path, *, store: bool) -> str:
    """Return the id of a folder; a new one is in its file only with `store`. Raises `OSError`."""
    path, id_ = folder / _ID_FILE, token_hex(8)
    # A kill can leave an empty file, which would be the id of several folders.
    if path.exists() and (stored := path.read_text(encoding="ascii", errors="replace").strip()):
        return stored
    if store:
        path.write_text(id_, encoding="ascii")
    return id_


def checksum_of(path: Path) -> str:
    """Return the MD5 of a file, as in S3's ETag of a small one; reads it once for each size and time of change."""
    stat = path.stat()
    return _checksum(path, stat.st_size, stat.st_mtime_ns)


@cache
def _checksum(path: Path, _size: int, _modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
