"""Change from one pipeline to the next without a gap: build the new index, switch, remove the old one.

::

    start    build the next pipeline: ingest fills both indexes, and every key gets a hint
    status   count the bucket's keys that the next pipeline has settled
    switch   when all are settled: answer queries from the next pipeline, and remove the old index
    abort    remove the next index, and answer queries as before

Each step is one write, then work that can be repeated. After a crash, the same step or the next run of reconcile
finishes it.

A release that reads documents differently, or settings that skip these steps, no longer name the old pipeline and
so abandon it. Reconcile removes it a day later, so that a rollback still finds its index.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from docwell.errors import BadInput
from docwell.pipeline import Roles
from docwell.ports import StateStore
from docwell.upkeep.reconcile import Reconcile

# The time for a query that has read the active pipeline to search it: 0.1 s, or Chroma's timeout at worst.
DRAIN_S = 5.0
# Longer than an ingest function can run (900 s): one from before the switch may still write to the old index.
FORGET_AFTER_S = 1200.0
# How long an abandoned index stays, for a rollback.
ABANDONED_S = 24 * 3600.0

Answer = dict[str, Any]


@dataclass(frozen=True)
class Reindex:
    """The use case. `known` lists the settings' fingerprints; `reconcile` returns any pipeline's use case.

    `others` returns the fingerprints of rows in the ledger that belong to none of the settings' pipelines.
    """

    known: Sequence[str]
    state: StateStore
    reconcile: Callable[[str], Reconcile]
    clock: Callable[[], float] = time.time
    pause: Callable[[float], None] = time.sleep
    others: Callable[[], Collection[str]] = frozenset

    def run(self, step: str, remaining_s: Callable[[], float], *, force: bool = False) -> Answer:
        """Do one step. Raises `BadInput` for a step that is unknown or has nothing to do."""
        if step == "switch":
            return self._switch(remaining_s, force=force)
        steps = {"start": self._start, "status": self._status, "abort": self._abort}
        if step not in steps:
            raise BadInput(f"there is no step {step!r}: start, status, switch or abort")
        return steps[step](remaining_s)

    def tidy(self, remaining_s: Callable[[], float]) -> bool:
        """Remove retired pipelines that are due. Return false while a part of one is left."""
        roles, done = self._roles(), True
        # Retire abandoned pipelines a day from now, and no pipeline in use.
        retired = {name: at for name, at in roles.retired.items() if name not in roles.in_use(self.known)}
        due, known = self.clock() + ABANDONED_S, {*self.known, *retired}
        retired |= {name: due for name in self.others() if name not in known}
        if retired != roles.retired:
            roles = replace(roles, retired=retired)
            roles.write_retired(self.state)
        for fingerprint, since in roles.retired.items():
            if since > self.clock():
                continue
            removed = self.reconcile(fingerprint).remove(remaining_s)
            done = done and removed
            if removed and self.clock() > since + FORGET_AFTER_S:
                now = self._roles()  # another step may have changed the roles
                left = {name: at for name, at in now.retired.items() if (name, at) != (fingerprint, since)}
                replace(now, retired=left).write(self.state)
        return done

    def _start(self, remaining_s: Callable[[], float]) -> Answer:
        roles, following = self._roles(), self.known[-1]
        if len(self.known) == 1:
            raise BadInput(
                "the settings name one pipeline: set DOCWELL_NEXT_MODEL_DIR, DOCWELL_NEXT_CHUNK_TOKENS "
                "or DOCWELL_NEXT_SHARDS"
            )
        if following == roles.active:
            raise BadInput("the next pipeline is active already: make it the first of the settings and unset NEXT")
        reconcile = self.reconcile(following)
        if roles.building != following:
            # Do this before the roles: a crash in between must not leave an old pass for the new index.
            reconcile.forget_passes()
            retired = {name: at for name, at in roles.retired.items() if name != following}
            if roles.building:
                retired[roles.building] = self.clock()
            roles = Roles(roles.active, following, retired)
            roles.write(self.state)
        report = reconcile.run(remaining_s, force=True)
        return {**self._names(roles), "hinted": report["sent"], "all_hinted": report["phase"] != "bucket"}

    def _status(self, remaining_s: Callable[[], float]) -> Answer:
        roles = self._roles()
        if roles.building is None:
            return self._names(roles)
        progress = self.reconcile(roles.building).progress(remaining_s, self.reconcile(roles.active).ledger)
        return {**self._names(roles), **progress}

    def _switch(self, remaining_s: Callable[[], float], *, force: bool) -> Answer:
        roles = self._roles()
        if roles.building is None:
            if roles.active != self.known[-1] or (len(self.known) == 1 and not roles.retired):
                raise BadInput("no index is being built: run the step start first")
            return {**self._names(roles), "switched": True, "removed": self.tidy(remaining_s)}
        answer = self._status(remaining_s)
        if not (answer["complete"] or force):
            return {**answer, "switched": False}
        retired = {**roles.retired, roles.active: self.clock()}
        retired.pop(roles.building, None)
        roles = Roles(roles.building, None, retired)
        roles.write(self.state)
        self.pause(DRAIN_S)
        return {**answer, **self._names(roles), "switched": True, "removed": self.tidy(remaining_s)}

    def _abort(self, remaining_s: Callable[[], float]) -> Answer:
        roles = self._roles()
        if roles.building is not None:
            roles = Roles(roles.active, None, {**roles.retired, roles.building: self.clock()})
            roles.write(self.state)
        return {**self._names(roles), "removed": self.tidy(remaining_s)}

    def _roles(self) -> Roles:
        return Roles.read(self.state, self.known)

    def _names(self, roles: Roles) -> Answer:
        return {
            "active": roles.active,
            "building": roles.building,
            "retired": sorted(roles.retired),
            # Tells the operator to name the active pipeline first in the settings.
            "make_first_in_settings": roles.active != self.known[0],
        }
