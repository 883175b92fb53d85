"""The progress of a pass of reconcile: phases, partitions, and what a pass leaves for the next one.

A pass has partitions, one for each run that shares it. Partition 0 leads: it starts the pass and knows when all
are done. Each has a range of the bucket's keys, a segment of the ledger, and some of the index's collections. The
ranges come from keys that the last pass noted: a bad range costs time and nothing else.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from docwell.ports import StateStore

# The notes that a partition keeps; with more, it keeps every second one.
_NOTES = 64
# What passes of changes cannot see waits no longer: tags whose event was lost, vectors that Chroma lost.
_WHOLE_EVERY_S = 24 * 3600.0
# The clocks of S3 and of the function differ by seconds; a worker may run for 15 minutes.
_OVERLAP_S = 1800.0


class Phase(StrEnum):
    """The phases of a pass, in order."""

    BUCKET = "bucket"
    LEDGER = "ledger"
    INDEX = "index"
    DONE = "done"


@dataclass
class Pass:
    """The place and the findings of one partition of a pass, stored between runs.

    `started` (seconds since the epoch) names the pass. `since` is 0 for a whole pass; otherwise the pass compares
    only what changed since then. `whole` is the start of the last whole pass. `after` and `until` bound the
    partition's keys: greater than the first, and not greater than the second; None for no key, empty for no bound.
    """

    phase: Phase = Phase.BUCKET
    cursor: str = ""
    keys: int = 0
    rows: int = 0
    chunks: int = 0
    drift: Counter[str] = field(default_factory=Counter)
    documents: Counter[str] = field(default_factory=Counter)
    started: float = 0.0
    since: float = 0.0
    whole: float = 0.0
    part: int = 0
    parts: int = 1
    after: str | None = ""
    until: str = ""
    cuts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stride: int = 1
    pages: int = 0
    # Of the lead: a run has reported the end of all partitions.
    reported: bool = False

    @classmethod
    def of(cls, fact: Mapping[str, str]) -> Pass:
        """Return the stored progress; fields that an earlier release did not store have their defaults."""
        if not fact:
            return cls(Phase.DONE)
        values: dict[str, Any] = {
            name: json.loads(text)
            for name, text in fact.items()
            if name in cls.__annotations__ and name not in _TEXTS
        }
        values |= {name: Counter(values.get(name, {})) for name in ("drift", "documents")}
        return cls(phase=Phase(fact["phase"]), cursor=fact["cursor"], **values)

    def fact(self) -> dict[str, str]:
        """Return the progress as it is stored."""
        return {name: str(one) if name in _TEXTS else json.dumps(one) for name, one in vars(self).items()}

    def advance(self, cursor: str | None) -> None:
        """Move to the next page, or to the next phase when the cursor is None."""
        if cursor is None:
            phases = list(Phase)
            self.phase = phases[phases.index(self.phase) + 1]
            # Only a crash or a restored store leaves chunks without a row: whole passes find them.
            if self.phase is Phase.INDEX and self.since:
                self.phase = Phase.DONE
        self.cursor = cursor or ""

    def note(self, key: str) -> None:
        """Note the last key of a page of the bucket, for the ranges of the next pass."""
        self.pages += 1
        if self.pages % self.stride == 0:
            self.notes.append(key)
        if len(self.notes) == _NOTES:
            self.notes, self.stride = self.notes[1::2], 2 * self.stride

    def partition(self, part: int) -> Pass:
        """Return the beginning of one of the partitions of the pass that this one leads."""
        edges: list[str | None] = ["", *self.cuts, *[None] * self.parts]
        until = self.cuts[part] if part < len(self.cuts) else ""
        begun = Pass(started=self.started, since=self.since, whole=self.whole, part=part, parts=self.parts)
        return replace(begun, after=edges[part], until=until, cuts=self.cuts)


# The fields that are stored as they are.
_TEXTS = frozenset({"phase", "cursor"})


def next_pass(done: Sequence[Pass], parts: int, now: float, *, whole: bool) -> Pass:
    """Return the lead partition of the pass after the one whose partitions are `done`.

    It is whole with one partition, when `whole`, and once a day. The others compare only what changed.
    """
    last = done[0]
    if whole or parts == 1 or not last.whole or now >= last.whole + _WHOLE_EVERY_S:
        since, begun = 0.0, now
    else:
        since, begun = last.started - _OVERLAP_S, last.whole
    return Pass(started=now, since=since, whole=begun, parts=parts, cuts=_cuts(done, parts)).partition(0)


def fact_of(fingerprint: str, part: int = 0, *, dry_run: bool = False) -> str:
    """Return the name of the fact that holds a partition's progress."""
    return f"reconcile/{fingerprint}{'/dry-run' if dry_run else ''}{f'/{part}' if part else ''}"


def partition_of(lead: Pass, part: int, state: StateStore, fingerprint: str) -> Pass:
    """Return a partition of the lead's pass, from its beginning where the stored one is of an earlier pass."""
    stored = Pass.of(state.read(fact_of(fingerprint, part)))
    return stored if stored.started == lead.started else lead.partition(part)


def last_pass(state: StateStore, fingerprint: str) -> Pass | None:
    """Return the pass in progress, else the last one, with the sums of its partitions; None before the first."""
    stored = state.read(fact_of(fingerprint))
    if not stored:
        return None
    lead = Pass.of(stored)
    return total([lead, *(partition_of(lead, part, state, fingerprint) for part in range(1, lead.parts))])


def total(parts: Sequence[Pass]) -> Pass:
    """Return the sum of the partitions of a pass, at the earliest of their places."""
    phases = list(Phase)
    sums = {name: sum(getattr(one, name) for one in parts) for name in ("keys", "rows", "chunks")}
    drift = sum((one.drift for one in parts), Counter[str]())
    documents = sum((one.documents for one in parts), Counter[str]())
    first = min((one.phase for one in parts), key=phases.index)
    return replace(parts[0], phase=first, drift=drift, documents=documents, **sums)


def _cuts(done: Sequence[Pass], parts: int) -> list[str]:
    """Return up to `parts` - 1 keys that divide the noted pages evenly."""
    noted = sorted((key, one.stride) for one in done for key in one.notes)
    pages, seen = sum(stride for _, stride in noted), 0
    cuts: list[str] = []
    for key, stride in noted[:-1]:
        seen += stride
        if len(cuts) < parts - 1 and seen * parts >= pages * (len(cuts) + 1):
            cuts.append(key)
    return cuts
