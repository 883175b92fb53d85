"""The faults, the promise to the client for each, and whether an answer keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from benchmarks.chaos.model_host import Misdeed
from benchmarks.chaos.rig import Rig
from benchmarks.doors import SSE, Seen
from benchmarks.proxy import Fault

_PROBLEM_JSON = "application/problem+json"
_PROBLEM_PREFIX = "urn:docwell:problem:"

# The additions to a question for each way to ask it. The first two are asked at once.
MODES: Mapping[str, dict[str, Any]] = {
    "no fallback": {},
    "extractive": {"fallback": "extractive"},
    "stream": {"stream": True},
}


class Promise(StrEnum):
    """The promise of a row."""

    ANSWER = "an answer"
    FALLBACK = "a typed error, or the best sentences where the caller allows it"
    ERROR = "a typed error"
    IN_TIME = "an answer or a typed error"


@dataclass(frozen=True, slots=True)
class Row:
    """One fault; `begin` causes it."""

    name: str
    begin: Callable[[Rig], None]
    promise: Promise


def _model(misdeed: Misdeed, promise: Promise = Promise.FALLBACK) -> Row:
    return Row(f"model host: {misdeed}", lambda rig: rig.host.behave(misdeed), promise)


def _chroma(fault: Fault, promise: Promise = Promise.ERROR) -> Row:
    return Row(f"Chroma: {fault}", lambda rig: rig.chroma.behave(fault), promise)


def _ledger(fault: Fault) -> Row:
    return Row(f"ledger: {fault}", lambda rig: rig.ledger.behave(fault), Promise.ERROR)


ROWS = (
    _model(Misdeed.SLOW, Promise.ANSWER),
    *(_model(misdeed) for misdeed in Misdeed if misdeed not in {Misdeed.NONE, Misdeed.SLOW}),
    _chroma(Fault.DOWN),
    _chroma(Fault.BROKEN),
    _chroma(Fault.HANG),
    _chroma(Fault.SLOW, Promise.IN_TIME),
    _ledger(Fault.THROTTLED),
    _ledger(Fault.DOWN),
    _ledger(Fault.HANG),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The client's view in words, and whether it keeps the promise."""

    what: str
    ok: bool


def judge(seen: Seen, mode: str, promise: Promise) -> Verdict:
    """Judge an answer against the promise."""
    if seen.broken is not None:
        return Verdict(f"{seen.status or 'no status'}, {seen.broken}", ok=False)
    stream = seen.content_type == SSE
    answer, problem = _outcome(seen)
    if problem is not None:
        fault = problem_fault(problem, None if stream else seen.status)
        place = "error event" if stream else str(seen.status)
        kind = str(problem.get("type", "no type")).removeprefix(_PROBLEM_PREFIX)
        allowed = promise is not Promise.ANSWER and not (promise is Promise.FALLBACK and mode == "extractive")
        return Verdict(f"{place} {kind}{f' ({fault})' if fault else ''}", allowed and fault is None)
    if answer is None:
        return Verdict(f"{seen.status} {seen.content_type or 'without a type'}, no problem document", ok=False)
    status = str(answer.get("status"))
    if status == "extractive":
        ok = mode == "extractive" and promise is Promise.FALLBACK and bool(answer.get("citations"))
        return Verdict(f"extractive, {len(answer.get('citations') or [])} cited", ok)
    return Verdict(status, status == "answered" and promise in {Promise.ANSWER, Promise.IN_TIME})


def _outcome(seen: Seen) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return (answer, problem) of a response, or of the end of a stream; one or both are None."""
    if seen.content_type == SSE:
        # A stream ends with one answer or one error, and has no other.
        ends = [event for event in seen.events if event.name in {"answer", "error"}]
        if len(ends) != 1 or ends[0] is not seen.events[-1] or not isinstance(ends[0].data, dict):
            return None, None
        return (ends[0].data, None) if ends[0].name == "answer" else (None, ends[0].data)
    if not isinstance(seen.body, dict):
        return None, None
    if seen.content_type == _PROBLEM_JSON:
        return None, seen.body
    return (seen.body if seen.status == 200 else None), None


def problem_fault(problem: Mapping[str, Any], status: int | None) -> str | None:
    """Return the fault of a problem document for a failing dependency; None where it is right.

    `status` is the HTTP status that it came with, None for one in a stream.
    """
    stated = problem.get("status")
    if not {"type", "title", "status", "detail", "request_id"} <= problem.keys():
        return "incomplete"
    if not str(problem["type"]).startswith(_PROBLEM_PREFIX):
        return "not of docwell's types"
    if status is not None and status != stated:
        return f"says status {stated}"
    if stated == 500 or problem["type"] == f"{_PROBLEM_PREFIX}internal-error":
        return "a bare 500"
    return None if stated in {503, 504} else "blames the caller"
