"""What goes wrong, what a client is promised to see then, and whether it saw that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from benchmarks.chaos.door import Trouble
from benchmarks.chaos.model_host import Misdeed
from benchmarks.chaos.rig import Rig
from benchmarks.doors import Seen
from docwell.errors import DocwellError, Unavailable
from docwell.http.sse import CONTENT_TYPE

PROBLEM_JSON = "application/problem+json"
_PROBLEM_PREFIX = "urn:docwell:problem:"
_OK = 200

# A question's additions for each way to ask it. The first two are asked at once.
MODES: Mapping[str, dict[str, Any]] = {
    "no fallback": {},
    "extractive": {"fallback": "extractive"},
    "stream": {"stream": True},
}


class Promise(StrEnum):
    """What is promised of a row."""

    ANSWER = "an answer"
    FALLBACK = "a typed error, or the best sentences where the caller allows it"
    ERROR = "a typed error"
    IN_TIME = "an answer or a typed error"


@dataclass(frozen=True, slots=True)
class Row:
    """`begin` makes it go wrong."""

    name: str
    begin: Callable[[Rig], None]
    promise: Promise


def _model(misdeed: Misdeed, promise: Promise = Promise.FALLBACK) -> Row:
    return Row(f"model host: {misdeed}", lambda rig: rig.host.behave(misdeed), promise)


def _chroma(trouble: Trouble, promise: Promise = Promise.ERROR) -> Row:
    return Row(f"Chroma: {trouble}", lambda rig: rig.chroma.behave(trouble), promise)


def _ledger(trouble: Trouble, promise: Promise = Promise.ERROR) -> Row:
    return Row(f"ledger: {trouble}", lambda rig: rig.ledger.behave(trouble), promise)


ROWS = (
    _model(Misdeed.SLOW, Promise.ANSWER),
    *(_model(misdeed) for misdeed in Misdeed if misdeed not in {Misdeed.NONE, Misdeed.SLOW}),
    _chroma(Trouble.DOWN),
    _chroma(Trouble.BROKEN),
    _chroma(Trouble.HANG),
    _chroma(Trouble.SLOW, Promise.IN_TIME),
    _ledger(Trouble.THROTTLED),
    _ledger(Trouble.DOWN),
    _ledger(Trouble.HANG),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`what` the client saw, in words, and whether that was promised."""

    what: str
    ok: bool


def judge(seen: Seen, mode: str, promise: Promise) -> Verdict:
    """Hold what was seen against the promise."""
    if seen.broken is not None:
        return Verdict(f"{seen.status or 'no status'}, {seen.broken}", ok=False)
    answer, problem = _outcome(seen)
    if problem is not None:
        fault = problem_fault(problem, None if seen.content_type == CONTENT_TYPE else seen.status)
        place = "error event" if seen.content_type == CONTENT_TYPE else str(seen.status)
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
    """(answer, problem) of a response or of the end of a stream; one or both are None."""
    if seen.content_type == CONTENT_TYPE:
        last = seen.events[-1] if seen.events else None
        if last is None or not isinstance(last.data, dict):
            return None, None
        # An answer that follows an error, or the other way round, is none.
        ends = [event.name for event in seen.events if event.name in {"answer", "error"}]
        if ends == ["answer"] == [last.name]:
            return last.data, None
        return None, last.data if ends == ["error"] == [last.name] else None
    if not isinstance(seen.body, dict):
        return None, None
    if seen.content_type == PROBLEM_JSON:
        return None, seen.body
    return (seen.body if seen.status == _OK else None), None


def problem_fault(problem: Mapping[str, Any], status: int | None) -> str | None:
    """What is wrong with a problem document as the sign of a dependency that fails; None where it is right.

    `status` is the HTTP status that it came with, None for one that came in a stream.
    """
    stated = problem.get("status")
    if not {"type", "title", "status", "detail", "request_id"} <= problem.keys():
        return "incomplete"
    if not str(problem["type"]).startswith(_PROBLEM_PREFIX):
        return "not of docwell's types"
    if status is not None and status != stated:
        return f"says status {stated}"
    if stated == DocwellError.status or problem["type"] == _PROBLEM_PREFIX + DocwellError.problem:
        return "a bare 500"
    if stated not in {Unavailable.status, 504}:
        return "blames the caller"
    return None
