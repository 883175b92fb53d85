"""Use case: send dead letters to ingest again, and return the facts that an operator sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from docwell.audit import Action, AuditEvent
from docwell.errors import Forbidden
from docwell.identity import Principal
from docwell.ports import AuditTrail, StateStore
from docwell.upkeep import canary

# The most messages of one request: each takes about 20 ms, and a function answers within 28 s.
MOST_REDRIVEN = 100


class DeadLetters(Protocol):
    """The messages that ingest gave up. Raises `Unavailable`."""

    def waiting(self) -> int:
        """Return about how many messages there are."""

    def redrive(self, limit: int) -> int:
        """Send up to `limit` messages to ingest again; return how many. Repeating it does no harm."""


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """The last result of the canary: `found`, `unindexed`, `missing` or `failed`, `at` seconds since the epoch."""

    outcome: str
    at: float


def check_operates(principal: Principal) -> None:
    """Raise `Forbidden` for a principal that may not operate the system."""
    if not principal.operates:
        raise Forbidden("this principal may not operate the system: docwell principals add --operate")


def last_canary(state: StateStore) -> CanaryResult | None:
    """Return the last result; None where no canary has run."""
    stored = state.read(canary.FACT)
    return CanaryResult(stored["outcome"], float(stored["at"])) if stored else None


def redrive(letters: DeadLetters, trail: AuditTrail | None, principal: Principal) -> int:
    """Send up to `MOST_REDRIVEN` dead letters to ingest again; return how many. Raises `Forbidden`."""
    check_operates(principal)
    if trail:  # before the redrive, so that each has an event
        trail.append(AuditEvent(principal.id, Action.REDRIVEN))
    return letters.redrive(MOST_REDRIVEN)
