"""The route of a load, and its place and counts in a file, so that it can go on after any interruption."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from docwell.cli.settings import ExitCode, Failure

# So many denials in a row mean that the load lacks permissions, not that one object is closed to it.
_DENIALS_IN_A_ROW = 20
# A load that goes on after denials is meant to: its user has read them. A few stops pass a folder of any size.
_MORE_DENIALS = 10


@dataclass(frozen=True, slots=True)
class Route:
    """From a prefix of one bucket into a folder of the documents bucket; without a folder, keys stay the same."""

    source: str
    prefix: str
    target: str
    folder: str = ""

    @property
    def id(self) -> str:
        """The same for the same load: 8 hex digits."""
        return sha256(repr(self).encode()).hexdigest()[:8]

    @property
    def target_prefix(self) -> str:
        """The beginning of all keys in the documents bucket."""
        return self.key(self.prefix)

    def key(self, key: str) -> str:
        """Return the key in the documents bucket. Both buckets have the same order of keys.

        >>> Route("archive", "2026/rep", "documents", "reports").key("2026/report/a.pdf")
        'reports/report/a.pdf'
        """
        if not self.folder:
            return key
        above = self.prefix.rpartition("/")[0]
        return f"{self.folder}/{key[len(above) + 1 if above else 0 :]}"


@dataclass(slots=True)
class Partition:
    """A range of the source's keys: greater than `after`, up to `until`; an empty key is no bound.

    `place` is the last key that is done, so that a resumed load continues after it.
    """

    after: str = ""
    until: str = ""
    place: str = ""
    done: bool = False


def partitions(keys: Sequence[str], parts: int) -> list[Partition]:
    """Return up to `parts` ranges between some of the keys, with about as many keys in each.

    >>> [part.after for part in partitions(["d", "b", "a", "c", "e"], 3)]
    ['', 'b', 'd']
    """
    keys, count = sorted(keys), max(1, min(parts, len(keys)))
    cuts = [keys[len(keys) * part // count] for part in range(1, count)]
    return [Partition(after, until) for after, until in pairwise(["", *cuts, ""])]


class Omission(NamedTuple):
    """An object that was not loaded, and why."""

    key: str
    reason: str
    detail: str = ""


@dataclass
class LoadState:
    """The progress of a load. `documents` and `bytes` are the counts to load, from its beginning.

    `pace` is the gate's last pace, in documents a second. `most_denials` in a row stop the load. `omissions` lists
    the objects that are not loaded, one JSON line each. `listed` is the length of that file: lines after the
    stored place are removed, because their objects come again.
    """

    path: Path
    route: Route
    documents: int = 0
    bytes: int = 0
    loaded: int = 0
    unchanged: int = 0
    listed: int = 0
    pace: float = 0.0
    most_denials: int = _DENIALS_IN_A_ROW
    left_out: Counter[str] = field(default_factory=Counter)
    partitions: list[Partition] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    @property
    def complete(self) -> bool:
        """Whether every partition is done."""
        return all(partition.done for partition in self.partitions)

    @property
    def omissions(self) -> Path:
        """The file that lists the objects that were not loaded."""
        return self.path.with_suffix(".left-out.jsonl")

    @classmethod
    def read(cls, route: Route, folder: Path) -> LoadState:
        """Return the stored state of a load that is not complete, else a new one. Raises `Failure`."""
        new = cls(folder / f"docwell-load-{route.id}.json", route)
        try:
            stored: dict[str, Any] = json.loads(new.path.read_text("utf-8"))
            ranges = [Partition(**partition) for partition in stored["partitions"]]
            numbers = {name: stored[name] for name in _NUMBERS}
            state = cls(new.path, route, left_out=Counter(stored["left_out"]), partitions=ranges, **numbers)
        except FileNotFoundError:
            return new
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Failure(f"cannot read {new.path} ({error!r}): delete it to load anew", ExitCode.USAGE) from None
        return new if state.complete else state

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Store the beginning, and keep other processes from the same load meanwhile. Raises `Failure`.

        Drops the omissions that a killed run listed after its last stored place.
        """
        with self.omissions.open("ab") as file:
            try:
                with suppress(ImportError):  # Windows has no such lock
                    import fcntl

                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Failure(f"another process runs this load, and writes {self.path}") from None
            file.truncate(self.listed)
            self._store()
            yield

    def record(
        self,
        partition: Partition,
        place: str | None,
        *,
        loaded: int = 0,
        unchanged: int = 0,
        omitted: Sequence[Omission] = (),
    ) -> None:
        """Add the counts up to `place`, None for the end, and store it. Call it from any thread."""
        with self._lock:
            self.loaded += loaded
            self.unchanged += unchanged
            self.left_out.update(omission.reason for omission in omitted)
            if omitted:
                with self.omissions.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(omission._asdict()) + "\n" for omission in omitted)
                    file.flush()
                    self.listed = file.tell()
            if place is None:
                partition.done = True
            else:
                partition.place = place
            self._store()

    def allow_more_denials(self) -> None:
        """Raise the limit of denials for the next run of this load, and store it."""
        with self._lock:
            self.most_denials *= _MORE_DENIALS
            self._store()

    def summary(self) -> Mapping[str, object]:
        """Return the counts for `--json`."""
        return {
            "source": f"s3://{self.route.source}/{self.route.prefix}",
            "target": f"s3://{self.route.target}/{self.route.target_prefix}",
            "complete": self.complete,
            **{name: getattr(self, name) for name in ("documents", "bytes", "loaded", "unchanged")},
            "left_out": dict(self.left_out),
            "left_out_file": str(self.omissions) if self.left_out else None,
        }

    def _store(self) -> None:
        """Replace the file in one step: a kill leaves the old state or the new one."""
        values = {name: getattr(self, name) for name in _NUMBERS}
        ranges = [asdict(partition) for partition in self.partitions]
        stored = {"route": asdict(self.route), **values, "left_out": self.left_out, "partitions": ranges}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(stored), encoding="utf-8")
        new.replace(self.path)


_NUMBERS = ("documents", "bytes", "loaded", "unchanged", "listed", "pace", "most_denials")
