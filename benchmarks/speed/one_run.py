"""The reports of one run of `make bench`, read back: of one commit and one machine, or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from infra.report import Row


class NotOneRunError(Exception):
    """Reports are missing, cannot be read or are of different runs; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One report. `name` is the benchmark's, without `bench-`; `seconds` is how long it took."""

    name: str
    commit: str
    machine: str
    started: str
    seconds: float
    rows: tuple[Row, ...]

    def has(self, metric: str) -> bool:
        """Whether there is such a figure."""
        return any(row.metric == metric for row in self.rows)

    def figure(self, metric: str) -> float:
        """The value (of repeats the median) of a figure. Raises `NotOneRunError`."""
        for row in self.rows:
            if row.metric == metric:
                return row.value
        raise NotOneRunError(
            f"bench-{self.name} has no figure {metric!r}: run `make bench-{self.name}` again, or mend the name"
        )


def read(folder: Path, names: Iterable[str]) -> dict[str, Bench]:
    """What there is of the named benchmarks, by name, in their order. Raises `NotOneRunError`."""
    paths = {name: folder / f"bench-{name}.json" for name in names}
    found = {name: _bench(name, path) for name, path in paths.items() if path.exists()}
    for what in ("commit", "machine"):
        values = {getattr(bench, what): name for name, bench in found.items()}
        if len(values) > 1:
            each = "; ".join(f"bench-{name}: {value}" for value, name in values.items())
            raise NotOneRunError(
                f"the reports in {folder} are not of one {what} ({each}): run `make bench` again, or with"
                f" `make bench-NAME` those of another {what}"
            )
    return found


def read_all(folder: Path, names: Iterable[str]) -> dict[str, Bench]:
    """As `read`, but each must be there. Raises `NotOneRunError`."""
    wanted = list(names)
    found = read(folder, wanted)
    if missing := [name for name in wanted if name not in found]:
        commands = ", ".join(f"`make bench-{name}`" for name in missing)
        raise NotOneRunError(f"{folder} has not all reports: run {commands} first")
    return found


def _bench(name: str, path: Path) -> Bench:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        rows = tuple(Row(**row) for row in document["rows"])
        whole = {key: document[key] for key in ("commit", "machine", "started", "seconds")}
        return Bench(name, **whole, rows=rows)
    except (ValueError, KeyError, TypeError) as error:
        raise NotOneRunError(f"{path} is no report: {error}") from None
