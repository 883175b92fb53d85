"""`docwell put`: choose a key for each file, then wait for the final status of each upload."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from os.path import commonprefix
from pathlib import Path

from docwell.cli.failure import Busy, ExitCode, Failure
from docwell.cli.remote import Api, Bucket, Json
from docwell.media_types import MEDIA_TYPES, PDF
from docwell.models import FINAL, Status, collection_of

# PDF readers and ingest search the first 1,024 bytes for the header (ISO 32000, implementation notes).
_HEADER_BYTES = 1024
# Shown in place of a document's status.
NOT_UPLOADED = "NOT UPLOADED"
# Pending documents of a collection from which one list replaces single requests. A list is charged, unlike these.
_MANY = 10
# A list of more pages, of 1,000 documents each, costs more than single requests.
_MOST_PAGES = 5
_PAUSE_S, _LIST_PAUSE_S = 0.5, 5.0
# The pause grows by this factor while nothing moves, so that a long document does not cost a thousand requests.
_PAUSE_GROWTH, _LONGEST_PAUSE_S = 1.5, 5.0
# The firewall allows 600 requests in 300 s to an address (infra/firewall.yaml): after the first 60, one a second.
_FREE_REQUESTS, _SPACING_S = 60, 1.0
# Failed rounds in a row: a gateway that restarts must not end a long wait.
_FAILURES_ALLOWED = 5
# Pauses for a server that is busy and does not say for how long: 2 s, 4 s, up to the longest.
_FIRST_BUSY_S, _LONGEST_BUSY_S = 2.0, 60.0


@dataclass(slots=True)
class Upload:
    """One file and its key. `record` is the API's record of the uploaded version; `failure` is why it has none."""

    path: Path
    key: str
    size: int
    version: str | None = None
    record: Json = field(default_factory=dict)
    failure: str | None = None

    @property
    def done(self) -> bool:
        """Return whether the document has its final status, or was not uploaded."""
        return self.failure is not None or self.record.get("status") in FINAL

    def as_json(self) -> Json:
        """Return the API's record, with the file's path."""
        unknown = {
            "document": self.key,
            "collection": collection_of(self.key),
            "status": Status.PENDING.value,
            "version": self.version,
            "size": self.size,
        }
        if self.failure is not None:
            unknown |= {"status": NOT_UPLOADED, "reason": self.failure}
        return {"file": str(self.path), **(self.record or unknown)}


def plan(paths: Sequence[Path], prefix: str | None, key: str | None) -> list[Upload]:
    """Return the files to upload with their keys. Raises `Failure` (usage) where two files get one key.

    A folder's files are those with the suffix of a kind that docwell reads, without the hidden ones.
    """
    if key is not None and (len(paths) != 1 or paths[0].is_dir() or prefix):
        raise Failure("--key takes exactly one file and no --collection", ExitCode.USAGE)
    folder = (prefix or "").strip("/")
    uploads: dict[str, Upload] = {}
    for file, name in _walk(paths):
        target = key if key is not None else f"{folder}/{name}" if folder else name
        try:
            target.encode()
        except UnicodeEncodeError:
            raise Failure(f"the name {name!r} is not UTF-8: give --key", ExitCode.USAGE) from None
        if target in uploads:
            raise Failure(
                f"{uploads[target].path} and {file} both get the key {target}: rename one, or put them one by one"
                " with --key",
                ExitCode.USAGE,
            )
        uploads[target] = Upload(file, target, file.stat().st_size)
    return list(uploads.values())


def _walk(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    for path in paths:
        if not path.is_dir():
            yield path, path.name
            continue
        files = [file for file in _files(path) if _other_kind(file, path) is None]
        if not files:
            raise Failure(f"no documents in {path}: name a file or another folder", ExitCode.USAGE)
        yield from ((file, file.relative_to(path).as_posix()) for file in files)


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _other_kind(file: Path, folder: Path) -> str | None:
    """Return the kind for which `plan` leaves out a file of a folder, None for one that it uploads.

    Hidden are also the files of hidden folders, such as .git and .venv.
    """
    if any(part.startswith(".") for part in file.relative_to(folder).parts):
        return "hidden files"
    suffix = file.suffix.lower()
    if suffix in MEDIA_TYPES:
        return None
    return f"files with the suffix {suffix}" if suffix else "files without a suffix"


def left_out(paths: Sequence[Path]) -> Iterator[str]:
    """Yield a line for each kind of which `plan` leaves out files of the folders."""
    for folder in filter(Path.is_dir, paths):
        others: dict[str, list[Path]] = {}
        for file in _files(folder):
            if kind := _other_kind(file, folder):
                others.setdefault(kind, []).append(file)
        for kind, files in others.items():
            count = f"{len(files)} files, such as {files[0]}" if len(files) > 1 else f"{files[0]}"
            yield f"left out {count}: docwell takes no {kind} from a folder; name a file to upload it"


def looks_readable(path: Path) -> bool:
    """Return whether ingest may read the file: by its PDF header, or the suffix of another kind of document.

    Raises `Failure` when it cannot be read here.
    """
    try:
        with path.open("rb") as file:
            return b"%PDF-" in file.read(_HEADER_BYTES) or MEDIA_TYPES.get(path.suffix.lower(), PDF) != PDF
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}", ExitCode.USAGE) from None


def wait(
    uploads: Sequence[Upload], api: Api, bucket: Bucket, stall_s: float, on_change: Callable[[], None]
) -> None:
    """Return when each upload has its final status. Raises `Failure` after `stall_s` without any progress."""
    looks = _Looks(api, bucket)
    begun = moved = time.monotonic()
    failures, pause, busy_s = 0, _PAUSE_S, _FIRST_BUSY_S
    while pending := [upload for upload in uploads if not upload.done]:
        before, busy = [upload.record for upload in uploads], None
        try:
            for _ in looks.round(pending):
                on_change()
            failures, busy_s = 0, _FIRST_BUSY_S
        except Busy as error:
            busy = error
        except Failure:
            failures += 1
            if failures > _FAILURES_ALLOWED:
                raise
        now = time.monotonic()
        if before != [upload.record for upload in uploads]:
            moved, pause = now, _PAUSE_S
        elif max(now - moved, (busy and busy.retry_after) or 0) > stall_s:
            raise busy or Failure(
                f"no progress for {stall_s:g} s; {len(pending)} of {len(uploads)} documents are not finished"
                f" (the first: {pending[0].key}); `docwell status --watch` follows them"
            )
        if busy:
            time.sleep(busy.retry_after or busy_s)
            busy_s = min(2 * busy_s, _LONGEST_BUSY_S)
        elif not all(upload.done for upload in uploads):
            behind = (api.requests - _FREE_REQUESTS) * _SPACING_S - (now - begun)
            time.sleep(max(pause, looks.least_pause_s, behind))
            pause = min(pause * _PAUSE_GROWTH, _LONGEST_PAUSE_S)


class _Looks:
    """Asks for the records of pending uploads: one by one, or with one list for many of a collection."""

    def __init__(self, api: Api, bucket: Bucket) -> None:
        self._api, self._bucket = api, bucket
        self._turn = 0
        self._singly: set[str] = set()  # collections that a list does not serve
        self.least_pause_s = 0.0

    def round(self, pending: Sequence[Upload]) -> Iterator[None]:
        """Ask for some of the uploads; the next round begins at the following ones. Yield after each."""
        start = self._turn % len(pending)
        turned = [*pending[start:], *pending[:start]]
        home = collection_of(turned[0].key)
        group = [upload for upload in turned if collection_of(upload.key) == home]
        records = self._listed(home, group)
        self.least_pause_s = 0.0 if records is None else _LIST_PAUSE_S
        for number, upload in enumerate(turned[:_MANY] if records is None else group):
            record = self._api.document(upload.key) if records is None else records.get(upload.key)
            if number < _MANY or (record or {}).get("version") == upload.version:
                _settle(upload, record or {}, self._bucket)
            self._turn += number < _MANY
            yield

    def _listed(self, home: str, group: Sequence[Upload]) -> dict[str, Json] | None:
        """Return the records of a collection by key; None for few documents, and where a list does not serve."""
        if len(group) <= _MANY or home in self._singly:
            return None
        prefix = commonprefix([upload.key for upload in group])  # noqa: RUF071 - keys are no paths
        try:
            found = self._api.listed(home, prefix, _MOST_PAGES)
        except Busy as busy:
            if (busy.retry_after or 0) <= _LONGEST_BUSY_S:
                raise
            found = None  # today's quota is used up; single requests are free
        if found is None:
            self._singly.add(home)
            return None
        return {record["document"]: record for record in found}


def _settle(upload: Upload, record: Json, bucket: Bucket) -> None:
    if record.get("version") == upload.version:
        upload.record = record
    elif not record or record.get("status") in FINAL:
        # The record is of an older version, which ingest will replace, or of a newer one: another client
        # uploaded or deleted the key meanwhile. Wait for the current version. A key that was deleted before ingest
        # saw it has no record.
        current = bucket.version(upload.key)
        if current is not None:
            upload.version = current
        elif not record or record.get("status") == Status.DELETED:
            upload.record = record or {"document": upload.key, "status": Status.DELETED.value}
