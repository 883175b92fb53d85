"""``python -m benchmarks.chaos`` (`make chaos-query`): each fault of a dependency, and the client's view of it.

The real query function runs on a local stack with a short deadline. It gets every row's question in three ways:
plainly, with the fallback to the best sentences, and as a stream. After each row the faults end, and the next
question must be answered. The rows of the model host run over both protocols.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from benchmarks.chaos.rig import Rig, rig
from benchmarks.doors import SSE, Seen
from benchmarks.model_host import Misdeed
from benchmarks.proxy import Fault
from infra.progress import CONSOLE, bar
from infra.report import Report

_GRACE_S = 1.0  # what an answer may take beyond the deadline
_RECOVERY_S = 5.0  # what a recovery may take beyond the breaker's rest
_WARM_S = 30.0
_STORM = 12
_ATTEMPTS = 2
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


# The model host's failures again, over the other protocol.
OPENAI_ROWS = tuple(replace(row, name=f"OpenAI {row.name}") for row in ROWS if row.name.startswith("model host"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The client's view in words, and whether it keeps the promise."""

    what: str
    ok: bool


def judge(seen: Seen, mode: str, promise: Promise) -> Verdict:
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
        ends = [event for event in seen.events if event[0] in {"answer", "error"}]
        if len(ends) != 1 or ends[0] is not seen.events[-1] or not isinstance(ends[0][1], dict):
            return None, None
        name, data = ends[0]
        return (data, None) if name == "answer" else (None, data)
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a deadline of 2.5 s, and one way to ask each row")
    parser.add_argument("--row", action="append", default=[], help="only rows with this in their name; repeatable")
    options = parser.parse_args()
    chosen = [
        [row for row in rows if not options.row or any(part in row.name for part in options.row)]
        for rows in (ROWS, OPENAI_ROWS)
    ]
    if unknown := [part for part in options.row if not any(part in row.name for rows in chosen for row in rows)]:
        parser.error(f"no row's name contains {' or '.join(unknown)}")
    # SIGTERM cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = Report("chaos-query")
    deadline_s, rest_s = (2.5, 1.0) if options.short else (6.0, 3.0)
    for rows in filter(None, chosen):
        CONSOLE.print("starting the stack…")
        with rig(deadline_s, rest_s, openai=rows[0] in OPENAI_ROWS) as world:
            _run(world, rows, report, short=options.short)
            if rows == list(ROWS):
                _storm(world, report)
    return report.finish()


def _run(world: Rig, rows: Sequence[Row], report: Report, *, short: bool) -> None:
    """Run every row and add its figures. Raises `RuntimeError` where the function does not answer at first."""
    limit, slowest_recovery = world.deadline_s + _GRACE_S, 0.0
    patience_s = world.rest_s + _RECOVERY_S
    if world.recovery(_WARM_S) >= _WARM_S:  # both environments are warm from here on
        raise RuntimeError(f"the function gave no answer within {_WARM_S:g} s, before any fault")
    with bar("rows", len(rows)) as step:
        for number, row in enumerate(rows):
            step.say(row.name)
            seconds, wrong = list[float](), 0
            for wave in _waves(number, short=short):
                row.begin(world)
                answers = world.together(*(MODES[mode] for mode in wave))
                world.heal()
                for mode, seen in zip(wave, answers, strict=True):
                    verdict = judge(seen, mode, row.promise)
                    seconds.append(seen.seconds)
                    wrong += not verdict.ok
                    mark = "ok   " if verdict.ok else "WRONG"
                    CONSOLE.print(f"{mark} {row.name}, {mode}: {verdict.what}, {seen.seconds:.1f} s", markup=False)
                slowest_recovery = max(slowest_recovery, world.recovery(patience_s + 1))
            report.add(f"{row.name}: slowest answer", max(seconds), "s", f"<= {limit:g}")
            report.add(f"{row.name}: outcomes that were not promised", wrong, f"of {len(seconds)}", "== 0")
            step()
    host = "the OpenAI model host" if rows[0] in OPENAI_ROWS else "the faults"
    report.add(f"{host} well again to the next answer, slowest", slowest_recovery, "s", f"<= {patience_s:g}")


def _waves(number: int, *, short: bool) -> list[tuple[str, ...]]:
    """Return the ways to ask a row, grouped by those at once: the function has two environments."""
    names = list(MODES)
    if short:
        return [(names[number % len(names)],)]
    return [tuple(names[:2]), tuple(names[2:])]


def _storm(world: Rig, report: Report) -> None:
    """Ask many questions while the host fails: once it is spared, none may send it more than one request."""
    counts, told = [], 0
    with bar("retry storm", _STORM) as step:
        world.host.behave(Misdeed.BUSY)
        for _ in range(_STORM):
            before = world.host.chats
            seen = world.ask()
            counts.append(world.host.chats - before)
            told += isinstance(seen.body, dict) and str(seen.body.get("type", "")).endswith(":overloaded")
            step()
        world.heal()
        patience_s = world.rest_s + _RECOVERY_S
        recovery = world.recovery(patience_s + 1)
    half = _STORM // 2
    first, last = sum(counts[:half]), sum(counts[half:])
    report.add("retry storm: most requests of one question", max(counts), "requests", f"<= {_ATTEMPTS}")
    report.add(f"retry storm: requests of the first {half} questions", first, "requests")
    # The breaker has opened: a question may probe once, and does not try again. On a slow machine each one may.
    report.add(f"retry storm: requests of the last {half} questions", last, "requests", f"<= {half}")
    report.add("retry storm: questions told that the host is spared", told, f"of {_STORM}", ">= 1")
    report.add("retry storm: well again to the next answer", recovery, "s", f"<= {patience_s:g}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
