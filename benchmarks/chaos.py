"""``python -m benchmarks.chaos`` (`make chaos-query`): each fault of a dependency, and the client's view of it.

The real query function runs on a local stack with a short deadline. It gets every row's question in three forms:
plain, with the fallback to the best sentences, and as a stream. After each row the faults end, and the function
must answer the next question. The model host speaks Ollama's protocol.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from benchmarks.doors import SSE, Doors, Reply, local_stack, run_command, until
from benchmarks.model_host import MODEL, Misdeed, ModelHost
from benchmarks.pdfs import pdf
from benchmarks.proxy import Fault, Proxy
from infra.progress import CONSOLE, bar
from infra.report import Report

KEY = "chaos/boiler.pdf"
PAGES = [
    "The boiler in the cellar is inspected every March by two engineers of the city. A sticker shows the date.",
    "Bicycles are kept in the yard behind the kitchen. The gate is locked at ten in the evening.",
]
QUESTION = "When is the boiler in the cellar inspected?"
SAYS = "The boiler in the cellar is inspected every March [1]."
_INDEXED_S = 120.0
_RETRY_S = 0.2
# Long enough that two simultaneous questions reach two environments.
_ANSWER_S = 0.3
_GRACE_S = 1.0  # allowed time for an answer after the deadline
_RECOVERY_S = 5.0  # allowed time for a recovery after the breaker's rest
_WARM_S = 30.0
_STORM = 12
_ATTEMPTS = 2
_PROBLEM_JSON = "application/problem+json"
_PROBLEM_PREFIX = "urn:docwell:problem:"
# The fields to add to a question for each form. The first two are sent at once.
MODES: Mapping[str, dict[str, Any]] = {
    "no fallback": {},
    "extractive": {"fallback": "extractive"},
    "stream": {"stream": True},
}


@dataclass
class Rig:
    """The stack and its dependencies. `deadline_s` and `rest_s` are the function's settings."""

    host: ModelHost
    chroma: Proxy
    ledger: Proxy
    doors: Doors
    gateway: str
    headers: Mapping[str, str]  # the API key
    deadline_s: float
    rest_s: float

    def ask(self, **fields: Any) -> Reply:
        return self.doors.ask({"question": QUESTION, **fields})

    def together(self, *bodies: dict[str, Any]) -> list[Reply]:
        """Ask the question several times at once, each with its additions."""
        with ThreadPoolExecutor(len(bodies)) as pool:
            return list(pool.map(lambda fields: self.ask(**fields), bodies))

    def heal(self) -> None:
        self.host.behave(Misdeed.NONE)
        self.chroma.behave()
        self.ledger.behave()

    def recovery(self, patience_s: float) -> float:
        """Return the seconds until both environments answer again; `patience_s` if they do not."""
        started = time.monotonic()

        # Send two at once: each environment answers one question at a time.
        answered = until(
            lambda: all((reply.body or {}).get("status") == "answered" for reply in self.together({}, {})),
            patience_s,
            _RETRY_S,
        )
        return time.monotonic() - started if answered else patience_s


@contextmanager
def rig(deadline_s: float, rest_s: float) -> Iterator[Rig]:
    """Run a stack with one indexed document, and control its model host, Chroma and ledger."""
    with (
        closing(ModelHost(SAYS, first_s=_ANSWER_S)) as host,
        closing(Proxy()) as chroma,
        closing(Proxy()) as ledger,
    ):
        environment = {
            "DOCWELL_DEADLINE_S": f"{deadline_s}",
            "DOCWELL_BREAKER_REST_S": f"{rest_s}",
            "DOCWELL_CHROMA_URL": chroma.url,
            "AWS_ENDPOINT_URL_DYNAMODB": ledger.url,
            "DOCWELL_OLLAMA_URL": host.url,
        }
        options = {"environment": environment, "ingest_workers": 1, "reconcile_every_s": 0}
        with local_stack(MODEL, host.url, **options) as stack, Doors(stack, 4 * deadline_s + 10) as doors:
            chroma.backend_port = int(stack.chroma.rsplit(":", 1)[1])
            ledger.backend_port = int(stack.aws_endpoint.rsplit(":", 1)[1])
            doors.indexed(KEY, doors.put(KEY, pdf(PAGES)), _INDEXED_S)
            headers = {"x-api-key": stack.api_key}
            yield Rig(host, chroma, ledger, doors, stack.gateway, headers, deadline_s, rest_s)


class Promise(StrEnum):
    """The promise of a row."""

    ANSWER = "an answer"
    FALLBACK = "a typed error, or the best sentences where the caller allows it"
    ERROR = "a typed error"
    IN_TIME = "an answer or a typed error"


SLOWED = {Misdeed.SLOW: Promise.ANSWER, Fault.SLOW: Promise.IN_TIME}


@dataclass(frozen=True, slots=True)
class Row:
    """One fault of a part; `begin` causes it."""

    name: str
    begin: Callable[[Rig], None]
    promise: Promise


def _row(part: str, proxy: Callable[[Rig], Proxy | ModelHost], fault: Any, promise: Promise) -> Row:
    return Row(f"{part}: {fault}", lambda rig: proxy(rig).behave(fault), promise)


ROWS = [
    *(
        _row("model host", lambda rig: rig.host, fault, SLOWED.get(fault, Promise.FALLBACK))
        for fault in Misdeed
        if fault is not Misdeed.NONE
    ),
    *(
        _row("Chroma", lambda rig: rig.chroma, fault, SLOWED.get(fault, Promise.ERROR))
        for fault in (Fault.DOWN, Fault.ERROR_AFTER, Fault.HANG, Fault.SLOW)
    ),
    *(
        _row("ledger", lambda rig: rig.ledger, fault, Promise.ERROR)
        for fault in (Fault.THROTTLED, Fault.DOWN, Fault.HANG)
    ),
]


def judge(reply: Reply, mode: str, promise: Promise) -> tuple[str, bool]:
    """Return the client's view in words, and whether it keeps the promise."""
    if reply.broken is not None:
        return f"{reply.status or 'no status'}, {reply.broken}", False
    answer, problem = _outcome(reply)
    if problem is not None:
        status = None if reply.content_type == SSE else reply.status
        fault = problem_fault(problem, status)
        kind = str(problem.get("type", "no type")).removeprefix(_PROBLEM_PREFIX)
        allowed = promise is not Promise.ANSWER and not (promise is Promise.FALLBACK and mode == "extractive")
        return f"{status or 'error event'} {kind}{f' ({fault})' if fault else ''}", allowed and fault is None
    if answer is None:
        return f"{reply.status} {reply.content_type or 'without a type'}, no problem document", False
    status, citations = answer.get("status"), answer.get("citations") or []
    if status == "extractive":
        ok = mode == "extractive" and promise is Promise.FALLBACK and bool(citations)
        return f"extractive, {len(citations)} cited", ok
    return f"{status}", status == "answered" and promise in {Promise.ANSWER, Promise.IN_TIME}


def _outcome(reply: Reply) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return (answer, problem) of a response, or of the end of a stream; one or both are None."""
    name, body = "answer" if reply.status == 200 else "", reply.body
    if reply.content_type == SSE:
        # A stream ends with exactly one answer or error.
        ends = [event for event in reply.events if event[0] in {"answer", "error"}]
        name, body = ends[0] if len(ends) == 1 and ends[0] is reply.events[-1] else ("", None)
    elif reply.content_type == _PROBLEM_JSON:
        name = "error"
    if not isinstance(body, dict):
        return None, None
    return body if name == "answer" else None, body if name == "error" else None


def problem_fault(problem: Mapping[str, Any], status: int | None) -> str | None:
    """Return the error in a problem document for a failing dependency; None if it is right.

    `status` is its HTTP status; None for a problem in a stream.
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
    rows = [row for row in ROWS if not options.row or any(part in row.name for part in options.row)]
    if not rows:
        parser.error(f"no row's name contains {' or '.join(options.row)}")
    report = Report("chaos-query")
    CONSOLE.print("starting the stack…")
    deadline_s, rest_s = (2.5, 1.0) if options.short else (6.0, 3.0)
    with rig(deadline_s, rest_s) as world:
        _run(world, rows, report, short=options.short)
        if rows == ROWS:
            _storm(world, report)
    return report.finish()


def _run(world: Rig, rows: Sequence[Row], report: Report, *, short: bool) -> None:
    """Run every row and add its figures. Raises `RuntimeError` if the function does not answer at first."""
    limit, patience_s, slowest_recovery = world.deadline_s + _GRACE_S, world.rest_s + _RECOVERY_S, 0.0
    if world.recovery(_WARM_S) >= _WARM_S:  # both environments are warm from here on
        raise RuntimeError(f"the function gave no answer within {_WARM_S:g} s, before any fault")
    names = list(MODES)
    with bar("rows", len(rows)) as step:
        for number, row in enumerate(rows):
            step.say(row.name)
            seconds, wrong = list[float](), 0
            # The function has two environments, so two forms of the question are sent at once.
            for modes in [[names[number % len(names)]]] if short else [names[:2], names[2:]]:
                row.begin(world)
                answers = world.together(*(MODES[mode] for mode in modes))
                world.heal()
                for mode, reply in zip(modes, answers, strict=True):
                    view, ok = judge(reply, mode, row.promise)
                    seconds.append(reply.seconds)
                    wrong += not ok
                    line = f"{'ok   ' if ok else 'WRONG'} {row.name}, {mode}: {view}, {reply.seconds:.1f} s"
                    CONSOLE.print(line, markup=False)
                slowest_recovery = max(slowest_recovery, world.recovery(patience_s + 1))
            report.add(f"{row.name}: slowest answer", max(seconds), "s", f"<= {limit:g}")
            report.add(f"{row.name}: outcomes that were not promised", wrong, f"of {len(seconds)}", "== 0")
            step()
    report.add("end of the faults to the next answer, slowest", slowest_recovery, "s", f"<= {patience_s:g}")


def _storm(world: Rig, report: Report) -> None:
    """Ask many questions while the host fails: once the breaker is open, each may send at most one request."""
    counts, spared = [], 0
    with bar("retry storm", _STORM) as step:
        world.host.behave(Misdeed.BUSY)
        for _ in range(_STORM):
            before = world.host.chats
            reply = world.ask()
            counts.append(world.host.chats - before)
            spared += isinstance(reply.body, dict) and str(reply.body.get("type", "")).endswith(":overloaded")
            step()
        world.heal()
    half = _STORM // 2
    report.add("retry storm: most requests of one question", max(counts), "requests", f"<= {_ATTEMPTS}")
    # The breaker has opened: a question may probe once, and does not try again. On a slow machine each one may.
    last = sum(counts[half:])
    report.add(f"retry storm: requests of the last {half} questions", last, "requests", f"<= {half}")
    report.add("retry storm: questions told that the host is spared", spared, f"of {_STORM}", ">= 1")


if __name__ == "__main__":
    run_command(main)
